"""Numba kernels of zero-padded windows; see `coding.zero_padded`.

The interval of a window is that of the arithmetic coder, but its span starts at
2^63. So the bytes of the code have one bit before the binary point.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import find
from keras_nc.coding.kernels.range_coder import narrow

WHOLE = np.uint64(1 << 63)
_ONE = np.uint64(1)
_BITS = np.uint64(64)


@jit
def _shortest(low, span):
    """Return how many bits the shortest code inside the interval takes.

    Also return how far the code lies above `low`. A span of 56 bits always
    holds a code of 9 bits.
    """
    for j in range(1, 9):
        unit = _ONE << (_BITS - np.uint64(j))
        gap = (~low + _ONE) & (unit - _ONE)
        if gap + unit <= span:
            return j, gap
    return 9, (~low + _ONE) & ((_ONE << np.uint64(55)) - _ONE)


@jit
def _write_padded(low, gap, at, bits, padded):
    """Write the bytes of a code, padded with zeros, without its first bit."""
    top = low + gap
    carry = top < low
    size = padded.size
    code = np.zeros(size + 9, np.uint8)
    code[:at] = bits[:at]
    for i in range(8):
        code[at + i] = (top >> np.uint64(56 - 8 * i)) & np.uint64(255)
    i = at
    while carry:
        i -= 1
        code[i] += np.uint8(1)
        carry = code[i] == 0
    for i in range(size):
        first = np.int64(code[i]) << 1 & 255
        padded[i] = first | np.int64(code[i + 1]) >> 7


@jit
def try_bytes(
    lows, spans, ats, bits, padded, lengths, sames, tables, symbols, active,
    precision, fits,
):  # fmt: skip
    """Put a byte into the window of every active row where it fits.

    A row keeps the bytes of its interval in `bits` and the code of its text in
    `padded`. `lengths` counts the bytes of its window, and `sames` counts how
    many of them give the same code. `fits` tells whether the byte fits.
    """
    W = 8 * padded.shape[1]
    trial = np.empty(bits.shape[1], np.uint8)
    code = np.empty(padded.shape[1], np.uint8)
    for d in range(ats.size):
        fits[d] = False
        if not active[d]:
            continue
        trial[:] = bits[d]
        b = np.int64(symbols[d])
        below, above = tables[d, b], tables[d, b + 1]
        low, span, at = narrow(
            lows[d], spans[d], ats[d], below, above, precision, trial
        )
        taken, gap = _shortest(low, span)
        if 8 * at + taken - 1 > W:
            continue
        fits[d] = True
        bits[d] = trial
        lows[d], spans[d], ats[d] = low, span, at
        _write_padded(low, gap, at, trial, code)
        lengths[d] += 1
        if lengths[d] == 1 or (code != padded[d]).any():
            sames[d] = lengths[d]
        padded[d] = code


@jit
def choose_bytes(lows, spans, ats, codes, tables, active, precision, symbols):
    """Find the byte whose part holds the code, for every active row.

    A row whose code lies in no part, because of rounding, becomes inactive.
    """
    for d in range(ats.size):
        if not active[d]:
            continue
        at = ats[d]
        distance = begin_stream(codes[d], at, codes.shape[1]) - lows[d]
        step = spans[d] >> np.uint64(precision)
        b = find(tables[d], step, distance, precision)
        if b == 256:
            active[d] = False
        else:
            symbols[d] = b
