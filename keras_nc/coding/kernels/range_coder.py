"""Numba kernels of the arithmetic coder; `arithmetic` states the rule.

A stream is coded in a window of 64 bits that moves over the bytes of the code.
`low` and `span` are the interval inside the window, `at` is the number of the
byte that the window begins with.

For zero-padded windows (`coding.zero_padded`), `span` starts at 2^63. So the
bytes of the code have one bit before the binary point.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.shares import FREQUENCY_BITS

# Numba turns mixed signed and unsigned integers into floats, so all are
# unsigned.
_BYTE = np.uint64(8)
_TOP = np.uint64(56)
_LEAST = np.uint64(1 << 56)
_WHOLE = np.uint64((1 << 64) - 1)
_ONE = np.uint64(1)
_BITS = np.uint64(64)
_SCALE = float(1 << FREQUENCY_BITS)
#: The span that a zero-padded window starts with.
PADDED_SPAN = np.uint64(1 << 63)

#: The faults that decoding may find.
FINE = 0
NO_SYMBOL = 1
TOO_SHORT = 2
TOO_LONG = 3
NOT_SHORTEST = 4


@jit
def cumulate_row(probabilities, precision, table):
    """Fill a table, 257 integers, as `shares.cumulative_frequencies` does."""
    F = np.int64(0)
    for b in range(256):
        table[b] = F
        F += np.int64(np.floor(probabilities[b] * _SCALE))
    spare = (np.int64(1) << precision) - 256
    for b in range(256):
        table[b] = table[b] * spare // F + b
    table[256] = spare + 256


@jit
def carry(out, at):
    """Add one to the bytes before the window."""
    at -= 1
    while out[at] == 255:
        out[at] = 0
        at -= 1
    out[at] += 1


@jit
def narrow(low, span, at, below, above, precision, out):
    """Encode one symbol; return the new low, span and at."""
    step = span >> np.uint64(precision)
    moved = low + step * np.uint64(below)
    if moved < low:
        carry(out, at)
    low = moved
    span = step * np.uint64(above - below)
    while span < _LEAST:
        out[at] = low >> _TOP
        at += 1
        low <<= _BYTE
        span <<= _BYTE
    return low, span, at


@jit
def end_stream(low, at, out):
    """Write the last byte; return the number of the byte after it."""
    up = low + (_LEAST - np.uint64(1))
    if up < low:
        carry(out, at)
    out[at] = up >> _TOP
    return at + 1


@jit
def begin_stream(codes, at, end):
    """Return the distance of the code from `low`, which is 0."""
    distance = np.uint64(0)
    for i in range(at, at + 8):
        distance <<= _BYTE
        if i < end:
            distance |= np.uint64(codes[i])
    return distance


@jit
def find(table, step, distance, precision):
    """Return the symbol whose part of the interval holds the code, or 256."""
    target = distance // step
    if target >> np.uint64(precision):
        return 256
    lo = 0
    hi = 256
    while hi - lo > 1:
        middle = (lo + hi) >> 1
        if np.uint64(table[middle]) <= target:
            lo = middle
        else:
            hi = middle
    return lo


@jit
def follow(distance, span, at, below, above, precision, codes, end):
    """Decode one known symbol; return the new distance, span and at."""
    step = span >> np.uint64(precision)
    distance -= step * np.uint64(below)
    span = step * np.uint64(above - below)
    while span < _LEAST:
        distance <<= _BYTE
        span <<= _BYTE
        at += 1
        if at + 7 < end:
            distance |= np.uint64(codes[at + 7])
    return distance, span, at


@jit
def decode_symbol(table, distance, span, at, precision, codes, end):
    """Decode one symbol; return it, a fault, and the new state."""
    b = find(table, span >> np.uint64(precision), distance, precision)
    if b == 256:
        return b, NO_SYMBOL, distance, span, at
    below, above = table[b], table[b + 1]
    if below >= above:  # not a table: an empty span would never widen
        return b, NO_SYMBOL, distance, span, at
    distance, span, at = follow(
        distance, span, at, below, above, precision, codes, end
    )
    return b, TOO_SHORT if at >= end else FINE, distance, span, at


@jit
def fault_at_end(distance, at, end, length):
    """Return what is wrong with a stream after its last symbol."""
    if length == 0:  # no symbols, no code
        return TOO_LONG if end > at else FINE
    if end < at + 1:
        return TOO_SHORT
    if end > at + 1:
        return TOO_LONG
    return FINE if distance < _LEAST else NOT_SHORTEST


@jit
def encode_static(text, offsets, table, precision, out, firsts, ends):
    """Encode documents with one table."""
    for d in range(offsets.size - 1):
        low, span, at = np.uint64(0), _WHOLE, firsts[d]
        for i in range(offsets[d], offsets[d + 1]):
            b = text[i]
            low, span, at = narrow(
                low, span, at, table[b], table[b + 1], precision, out
            )
        if offsets[d] < offsets[d + 1]:
            at = end_stream(low, at, out)
        ends[d] = at


@jit
def encode_parts(parts, offsets, precision, out, firsts, ends):
    """Encode documents by the parts `[below, above)` of their bytes, (L, 2)."""
    for d in range(offsets.size - 1):
        low, span, at = np.uint64(0), _WHOLE, firsts[d]
        for i in range(offsets[d], offsets[d + 1]):
            low, span, at = narrow(
                low, span, at, parts[i, 0], parts[i, 1], precision, out
            )
        if offsets[d] < offsets[d + 1]:
            at = end_stream(low, at, out)
        ends[d] = at


@jit
def decode_static(codes, code_offsets, table, precision, text, offsets):
    """Decode documents with one table; return a bad document and its fault."""
    # The first bits of the target tell where the search for a symbol begins.
    shift = np.uint64(precision - 10)
    guide = np.empty(1 << 10, np.uint8)
    b = 0
    for g in range(guide.size):
        while np.uint64(table[b + 1]) <= np.uint64(g) << shift:
            b += 1
        guide[g] = b
    for d in range(offsets.size - 1):
        at, end = code_offsets[d], code_offsets[d + 1]
        span, distance = _WHOLE, begin_stream(codes, at, end)
        for i in range(offsets[d], offsets[d + 1]):
            target = distance // (span >> np.uint64(precision))
            if target >> np.uint64(precision):
                return d, NO_SYMBOL
            b = np.int64(guide[target >> shift])
            while np.uint64(table[b + 1]) <= target:
                b += 1
            text[i] = b
            below, above = table[b], table[b + 1]
            distance, span, at = follow(
                distance, span, at, below, above, precision, codes, end
            )
            if at >= end:
                return d, TOO_SHORT
        length = offsets[d + 1] - offsets[d]
        fault = fault_at_end(distance, at, end, length)
        if fault:
            return d, fault
    return -1, FINE


@jit
def begin_states(codes, code_offsets, distances):
    """Read the first window of every stream."""
    for d in range(distances.size):
        distances[d] = begin_stream(codes, code_offsets[d], code_offsets[d + 1])


@jit
def encode_step(lows, spans, ats, tables, symbols, active, precision, out):
    """Encode a symbol of every active document; return one without a share."""
    for d in range(ats.size):
        if not active[d]:
            continue
        below = tables[d, symbols[d]]
        above = tables[d, np.int64(symbols[d]) + 1]
        if below >= above or above > np.int64(1) << precision:
            return d
        lows[d], spans[d], ats[d] = narrow(
            lows[d], spans[d], ats[d], below, above, precision, out
        )
    return -1


@jit
def end_streams(lows, ats, active, out):
    """Write the last byte of every stream that has symbols."""
    for d in range(ats.size):
        if active[d]:
            ats[d] = end_stream(lows[d], ats[d], out)


@jit
def decode_step(
    distances, spans, ats, tables, symbols, active, precision, codes, ends
):
    """Decode a symbol of every active document; return one with its fault."""
    for d in range(ats.size):
        if not active[d]:
            continue
        b, fault, distances[d], spans[d], ats[d] = decode_symbol(
            tables[d],
            distances[d],
            spans[d],
            ats[d],
            precision,
            codes,
            ends[d],
        )
        if fault:
            return d, fault
        symbols[d] = b
    return -1, FINE


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
