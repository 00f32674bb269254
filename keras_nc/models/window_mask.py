"""Which ids may come next: the part of exact prompting that runs in the model.

A prompt's last bytes rarely fill a window, and a window cut short is a token
that a model seldom saw there. So only the windows that no continuation can
change are committed; the rest of the bytes, the remainder, is an interval of
codes: the next window must be one of those that begin with it. With several
tokens per window the interval is masked token by token.
"""

import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import NUM_SPECIAL

#: Logit of an id that may not come next: its probability is exactly 0.
FORBIDDEN = -1e30


class WindowMask:
    """Masks the logits of ids that cannot come next.

    Letters: `B` batch, `S` positions, `V` rows of logits, `W` window bits, `N`
    token bits.

    Args:
        layout: A `keras_nc.tokenizers.TokenLayout`: which codes are windows,
            and how a code is written in tokens.
        start: An int tensor of shape `(B,)`: the first generated position of
            every row; windows begin there.
        low: An int tensor of shape `(B,)`.
        high: An int tensor of shape `(B,)`: the first window's code lies in
            `[low, high)`.
    """

    def __init__(self, layout, start, low, high):
        self.layout = layout
        self.start = ops.cast(start, "int32")
        self.low = ops.cast(low, "int32")
        self.high = ops.cast(high, "int32")
        # Codes below c that are windows, for every c: two look-ups then tell
        # whether an interval holds any.
        self._below = np.concatenate([[0], np.cumsum(layout.is_code)])
        self._below = self._below.astype("int32")

    def __call__(self, logits, token_ids, index):
        """Mask the logits of position `index`.

        Args:
            logits: A float tensor of shape `(B, V)`.
            token_ids: An int tensor of shape `(B, S)`: the ids so far.
            index: int or scalar int tensor, the position to be generated.

        Returns:
            Float32 logits of shape `(B, V)`.
        """
        # A sampler that keeps several beams of a prompt repeats its rows.
        beams = logits.shape[0] // self.start.shape[0]
        start, low, high = (
            ops.repeat(x, beams) if beams > 1 else x
            for x in (self.start, self.low, self.high)
        )
        position = ops.maximum(index - start, 0)  # (B,)
        constrained = position < self.layout.tokens_per_window
        low = ops.where(constrained, low, 0)
        high = ops.where(constrained, high, self.layout.num_codes)
        if self.layout.tokens_per_window == 1:
            allowed, phase = self._whole(low, high), ops.zeros_like(position)
        else:
            phase = position % self.layout.tokens_per_window
            allowed = self._pieces(token_ids, index, phase, low, high)
        whole_range = (low <= NUM_SPECIAL) & (high >= self.layout.num_codes)
        end = (phase == 0) & whole_range
        # Rows that have ended go on until all have: leave them something.
        end = end | ~ops.any(allowed, axis=-1)
        rows = ops.arange(logits.shape[-1], dtype="int32")[None, :]
        allowed = pad_columns(allowed, after=logits.shape[-1])
        allowed = allowed | (end[:, None] & (rows == END_ID))
        return ops.where(allowed, ops.cast(logits, "float32"), FORBIDDEN)

    def _whole(self, low, high):
        """Ids that are windows with codes in `[low, high)`: `(B, codes)`."""
        codes = ops.arange(self.layout.num_codes, dtype="int32")[None, :]
        is_code = ops.convert_to_tensor(self.layout.is_code)[None, :]
        return is_code & (codes >= low[:, None]) & (codes < high[:, None])

    def _pieces(self, token_ids, index, phase, low, high):
        """Ids of pieces that lead to a code in `[low, high)`.

        Returns:
            A bool tensor of shape `(B, NUM_SPECIAL + 2^N)`.
        """
        bits = self.layout.token_bits
        value = ops.zeros_like(phase)  # of the window's earlier pieces
        last = token_ids.shape[1] - 1
        for i in range(self.layout.tokens_per_window - 1):
            at = ops.clip(index - phase + i, 0, last)
            piece = ops.take_along_axis(token_ids, at[:, None], axis=1)[:, 0]
            piece = ops.maximum(ops.cast(piece, "int32") - NUM_SPECIAL, 0)
            value = ops.where(i < phase, value * 2**bits + piece, value)
        pieces = ops.arange(2**bits, dtype="int32")[None, :]
        free_bits = self.layout.window_bits - bits * (phase + 1)
        span = ops.take(
            ops.convert_to_tensor(2 ** np.arange(31, dtype="int32")), free_bits
        )[:, None]
        first = (value[:, None] * 2**bits + pieces) * span
        low = ops.maximum(low[:, None], first)
        high = ops.maximum(ops.minimum(high[:, None], first + span), low)
        below = ops.convert_to_tensor(self._below)
        low = ops.minimum(low, self.layout.num_codes)
        high = ops.minimum(high, self.layout.num_codes)
        count = ops.take(below, high) - ops.take(below, low)
        return pad_columns(count > 0, before=NUM_SPECIAL)


def pad_columns(mask, before=0, after=None):
    """Add `before` columns of False, then more until there are `after`."""
    after = mask.shape[1] + before if after is None else after
    left = ops.zeros_like(mask[:, :1]) & ops.zeros((1, before), dtype="bool")
    missing = after - before - mask.shape[1]
    right = ops.zeros_like(mask[:, :1]) & ops.zeros((1, missing), dtype="bool")
    return ops.concatenate([left, mask, right], axis=1)
