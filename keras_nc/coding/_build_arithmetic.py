"""Codebooks true to arithmetic coding: codes shared at every state."""

import numpy as np

from keras_nc.coding._prefixes import next_byte_frequencies
from keras_nc.coding.shares import allocate
from keras_nc.coding.special import NUM_SPECIAL


def build_arithmetic(model, window_bits, max_window_bytes, batch=4096):
    """Find the window of every code.

    A state is a range of codes `[low, low + size)`. The start state holds
    `[3, 2^W)`; it gives each byte one code and shares the rest. Every other
    state keeps `low`, which means that the window ends here, and shares
    `size - 1` codes among the next bytes in byte order. A state of one code
    or of `max_window_bytes` is a leaf; what a leaf cannot use stands for no
    window.

    Args:
        model: an entropy model.
        window_bits: W, bits per code.
        max_window_bytes: bytes that a window has at most.
        batch: prefixes that the model is asked for at a time. The result
            does not depend on it as long as the model's rows do not.

    Returns:
        The windows, bytes by id.
    """
    windows = {}
    prefixes = [b""]
    lows = np.array([NUM_SPECIAL])
    sizes = np.array([(1 << window_bits) - NUM_SPECIAL])
    for depth in range(max_window_bytes):
        # The start state gives every byte a code; others keep one instead.
        given, kept = (1, 0) if depth == 0 else (0, 1)
        children = []
        child_lows = []
        child_sizes = []
        for i in range(0, len(prefixes), batch):
            some = slice(i, i + batch)
            f = next_byte_frequencies(model, prefixes[some])
            shares = allocate(f, sizes[some] - kept - 256 * given) + given
            ends = lows[some, None] + kept + np.cumsum(shares, axis=1)
            rows, next_bytes = np.nonzero(shares)
            child_sizes.append(shares[rows, next_bytes])
            child_lows.append((ends - shares)[rows, next_bytes])
            children += [
                prefixes[i + row] + _BYTES[byte]
                for row, byte in zip(
                    rows.tolist(), next_bytes.tolist(), strict=True
                )
            ]
        lows = np.concatenate(child_lows)
        sizes = np.concatenate(child_sizes)
        windows.update(zip(lows.tolist(), children, strict=True))
        inner = np.flatnonzero(sizes > 1)
        if not inner.size:
            break
        prefixes = [children[i] for i in inner.tolist()]
        lows, sizes = lows[inner], sizes[inner]
    return windows


_BYTES = [bytes([b]) for b in range(256)]
