"""Next tokens as digits of a number between two bounds.

A window whose code no int32 holds is written in several tokens, and only its
entropy model knows which codes begin with the last bytes of a prompt: one
interval. A token is a digit of the code, and allowed if some number between the
bounds begins with it and the digits before.
"""

import numpy as np
from keras import ops

from keras_nc.coding import NUM_SPECIAL

#: In the place of a digit that a row does not have.
NO_DIGIT = -1


def within_bounds(bounds, token_ids, start, position, num_ids):
    """Ids that keep the number between its bounds.

    Args:
        bounds: An int tensor of shape `(B, 2, D)`; see `pack_bounds`.
        token_ids: An int tensor of shape `(B, S)`: the ids so far.
        start: An int tensor of shape `(B,)`: where the number begins.
        position: An int tensor of shape `(B,)`: how many tokens came since.
        num_ids: int. Ids lie in `[0, num_ids)`.

    Returns:
        A bool tensor of shape `(B, num_ids)`; True for all ids after the last
        digit.
    """
    D = bounds.shape[2]
    index = ops.arange(D, dtype="int32")[None, :]
    places = ops.minimum(start[:, None] + index, token_ids.shape[1] - 1)
    digits = ops.take_along_axis(token_ids, places, axis=1)
    digits = ops.cast(digits, "int32") - NUM_SPECIAL
    to_come = index >= position[:, None]
    now = ops.minimum(position, D - 1)[:, None]
    ids = ops.arange(num_ids, dtype="int32")[None, :]

    def outside(bound, beyond):
        # A bound holds for the next digit if all before are the bound's.
        bound_now = ops.take_along_axis(bound, now, axis=1)
        tight = ops.all((digits == bound) | to_come, axis=1, keepdims=True)
        tight = tight & (position[:, None] < D) & (bound_now != NO_DIGIT)
        return tight & beyond(ids - NUM_SPECIAL, bound_now)

    below = outside(bounds[:, 0], ops.less)
    return ~(below | outside(bounds[:, 1], ops.greater))


def count_digits(bounds):
    """Digits that each row has: `(B,)`."""
    has = ops.cast(bounds[:, 0] != NO_DIGIT, "int32")
    return ops.sum(has, axis=-1)


def pack_bounds(prompts):
    """Give the bounds of a batch of prompts.

    Args:
        prompts: A list of `keras_nc.tokenizers.Prompt`.

    Returns:
        An int32 array of shape `(B, 2, D)`, `NO_DIGIT` after the last digit of
        a row, or `None` if no prompt has bounds.
    """
    rows = [prompt.bounds for prompt in prompts]
    given = [row.shape[1] for row in rows if row is not None]
    if not given:
        return None
    packed = np.full((len(rows), 2, max(given)), NO_DIGIT, "int32")
    for one, row in zip(packed, rows, strict=True):
        if row is not None:
            one[:, : row.shape[1]] = row
    return packed
