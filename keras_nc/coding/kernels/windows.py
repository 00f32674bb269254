"""Numba kernels of live windows: states of up to 128 bits.

A code and a size are two words, high and low, each 64 bits without sign. All
words are np.uint64, because Numba turns mixed signs into floats.

Each row of a batch works on its own document. A kernel advances every row until
it needs the model.
"""

import numpy as np

from keras_nc.coding.kernels import jit

_0 = np.uint64(0)
_1 = np.uint64(1)
_32 = np.uint64(32)
_LOW32 = np.uint64(0xFFFFFFFF)
_255 = np.uint64(255)
_256 = np.uint64(256)
_NEGATIVE = np.uint64(1 << 63)
_BYTES = np.arange(256).astype(np.uint64)

#: Columns of the table of rows, int64: the document's number; the place in the
#: text or among the codes, and where it stops; bytes of the window so far; node
#: of the cache, OUTSIDE or NOT_BEGUN (decoding only); what is next;
#: bytes written (decoding only).
DOCUMENT, PLACE, STOP, LENGTH, NODE, NEXT, WRITTEN = range(7)
ROW_FIELDS = 7
OUTSIDE, NOT_BEGUN = -1, -2
#: What is next: a new document; a step; a query to the model; a step with the
#: model's answer; an empty buffer; nothing, because the code stands for no
#: window.
IDLE, RUN, ASK, ANSWERED, FULL, BAD = range(6)


@jit
def add(a_high, a_low, b_high, b_low):
    """Return the sum, modulo 2^128."""
    low = a_low + b_low
    carry = _1 if low < a_low else _0
    return a_high + b_high + carry, low


@jit
def subtract(a_high, a_low, b_high, b_low):
    """Return the difference, modulo 2^128."""
    borrow = _1 if a_low < b_low else _0
    return a_high - b_high - borrow, a_low - b_low


@jit
def less(a_high, a_low, b_high, b_low):
    """Return whether a < b."""
    return a_high < b_high or (a_high == b_high and a_low < b_low)


@jit
def divide(high, low, divisor):
    """Return quotient (two words) and remainder by a divisor below 2^32."""
    q3 = high >> _32
    r = q3 % divisor
    q3 = q3 // divisor
    x = (r << _32) | (high & _LOW32)
    q2, r = x // divisor, x % divisor
    x = (r << _32) | (low >> _32)
    q1, r = x // divisor, x % divisor
    x = (r << _32) | (low & _LOW32)
    q0, r = x // divisor, x % divisor
    return (q3 << _32) | q2, (q1 << _32) | q0, r


@jit
def multiply(high, low, factor):
    """Return the product with a factor below 2^32, modulo 2^128."""
    p0 = (low & _LOW32) * factor
    p1 = (low >> _32) * factor + (p0 >> _32)
    return high * factor + (p1 >> _32), (p1 << _32) | (p0 & _LOW32)


@jit
def share(f, high, low, given, small, keys):
    """Share k codes among 256 bytes, as `allocate` does.

    Let k = q F + r. Then f k = f q F + f r, so the share is f q + (f r) // F,
    and the remainder is (f r) % F. Byte b gets `f[b] * q + small[b]`; this
    returns the two words of q.
    """
    F = _0
    for b in range(256):
        F += np.uint64(f[b])
    q_high, q_low, r = divide(high, low, F)
    inverse = 1.0 / np.float64(F)
    total = _0
    for b in range(256):
        x = np.uint64(f[b]) * r
        # x is below 2^53, so the float quotient is off by one at most.
        s = np.uint64(np.float64(x) * inverse)
        x -= s * F
        if x >= _NEGATIVE:
            x += F
            s -= _1
        elif x >= F:
            x -= F
            s += _1
        total += x
        small[b] = s + given
        keys[b] = (x << np.uint64(8)) | (_255 - _BYTES[b])
    left = np.int64(total // F)
    if left > 0:
        # Keys are unique, so exactly `left` of them reach the threshold.
        threshold = np.partition(keys, 256 - left)[256 - left]
        for b in range(256):
            if keys[b] >= threshold:
                small[b] += _1
    return q_high, q_low


@jit
def share_state(f, state, is_start, small, keys):
    """Share the codes of a state; return q and the first child's first code."""
    codes, given = (_256, _1) if is_start else (_1, _0)
    high, low = subtract(state[2], state[3], _0, codes)
    q_high, q_low = share(f, high, low, given, small, keys)
    high, low = add(state[0], state[1], _0, _1 - given)
    return q_high, q_low, high, low


@jit
def narrow_to_byte(f, state, is_start, byte, small, keys):
    """Go to the child of a byte; return whether it exists."""
    q_high, q_low, high, low = share_state(f, state, is_start, small, keys)
    s_high, s_low = multiply(q_high, q_low, np.uint64(f[byte]))
    s_high, s_low = add(s_high, s_low, _0, small[byte])
    if s_high == _0 and s_low == _0:
        return False
    before, small_before = _0, _0
    for b in range(byte):
        before += np.uint64(f[b])
        small_before += small[b]
    b_high, b_low = multiply(q_high, q_low, before)
    high, low = add(high, low, b_high, b_low)
    state[0], state[1] = add(high, low, _0, small_before)
    state[2], state[3] = s_high, s_low
    return True


@jit
def narrow_to_code(f, state, is_start, code, small, keys):
    """Go to the child that holds a code; return its byte, or -1."""
    q_high, q_low, high, low = share_state(f, state, is_start, small, keys)
    for b in range(256):
        s_high, s_low = multiply(q_high, q_low, np.uint64(f[b]))
        s_high, s_low = add(s_high, s_low, _0, small[b])
        next_high, next_low = add(high, low, s_high, s_low)
        # For 128 bits, the end of all codes is 2^128, which wraps to 0.
        at_end = next_high == _0 and next_low == _0
        if at_end or less(code[0], code[1], next_high, next_low):
            state[0], state[1], state[2], state[3] = high, low, s_high, s_low
            return b
        high, low = next_high, next_low
    return -1


@jit
def child_of(node, byte, firsts, node_bytes):
    """Return the node of the prefix with one more byte."""
    for i in range(firsts[node], firsts[node + 1]):
        if node_bytes[i] >= byte:
            return i if node_bytes[i] == byte else OUTSIDE
    return OUTSIDE


@jit
def begin_window(row, state, start, has_cache):
    """Return a row to the start state."""
    row[LENGTH] = 0
    row[NODE] = 0 if has_cache else OUTSIDE
    state[:] = start


@jit
def can_grow(row, state, longest):
    """Return whether a state has codes to share among next bytes."""
    alone = state[2] == _0 and state[3] == _1
    return row[LENGTH] == 0 or (row[LENGTH] < longest and not alone)


@jit
def encode(
    text, offsets, start, longest, cache, rows, states, f, fed, following,
    codes, lengths, counts, last_sizes, lookups,
):  # fmt: skip
    """Cut documents into windows until every row needs the model.

    Args:
        text: documents joined, uint8.
        offsets: where documents begin and end, (documents + 1,).
        start: the start state, uint64 (4,): low, size, two words each.
        longest: bytes that a window has at most.
        cache: firsts, bytes and frequencies of a trie of prefixes.
        rows: int64 (B, ROW_FIELDS).
        states: uint64 (B, 4).
        f: (B, 256): frequencies for the rows that queried the model.
        fed: (B,): bytes of the window that the model has seen; -1 until it is
            restarted for a new window.
        following: (1,): the next document to work on.
        codes: uint64 (L, 2): the codes of a document begin at its offset.
        lengths: uint16 (L,): bytes of the window of each code.
        counts: (documents,): codes of each document.
        last_sizes: uint64 (documents, 2): for each document, how many codes
            begin with the bytes of its last window.
        lookups: (2,): states that were shared, and how many of them the cache
            knew.
    """
    firsts, node_bytes, cached = cache
    has_cache = cached.shape[0] > 0
    small = np.empty(256, np.uint64)
    keys = np.empty(256, np.uint64)
    for i in range(rows.shape[0]):
        row, state = rows[i], states[i]
        told = row[NEXT] == ANSWERED
        while True:
            if row[NEXT] == IDLE:
                if following[0] == offsets.size - 1:
                    break
                row[DOCUMENT] = following[0]
                row[PLACE] = offsets[following[0]]
                row[STOP] = offsets[following[0] + 1]
                row[NEXT] = RUN
                following[0] += 1
                begin_window(row, state, start, has_cache)
                fed[i] = -1
            at_end = row[PLACE] == row[STOP]
            fits = not at_end and can_grow(row, state, longest)
            if fits:
                node = row[NODE]
                if node < 0 and not told:
                    row[NEXT] = ASK
                    break
                byte = text[row[PLACE]]
                known = cached[node] if node >= 0 else f[i]
                told = False
                row[NEXT] = RUN
                lookups[0] += 1
                lookups[1] += node >= 0
                is_start = row[LENGTH] == 0
                fits = narrow_to_byte(known, state, is_start, byte, small, keys)
            if fits:
                if node >= 0:
                    row[NODE] = child_of(node, byte, firsts, node_bytes)
                row[PLACE] += 1
                row[LENGTH] += 1
                continue
            if row[LENGTH]:
                document = row[DOCUMENT]
                at = offsets[document] + counts[document]
                codes[at] = state[:2]
                lengths[at] = row[LENGTH]
                counts[document] += 1
                grows = can_grow(row, state, longest)
                last_sizes[document, 0] = state[2] if grows else _0
                last_sizes[document, 1] = state[3] if grows else _1
                begin_window(row, state, start, has_cache)
                fed[i] = -1
            if at_end:
                row[NEXT] = IDLE


@jit
def decode(
    codes, start, longest, cache, rows, states, f, fed, out, lookups
):  # fmt: skip
    """Turn codes into bytes until every row needs the model or is full.

    `codes` is uint64 (n, 2); a row decodes those from its place to its stop.
    `out` is uint8 (B, capacity), the bytes that rows have written. The other
    arguments are as in `encode`.
    """
    firsts, node_bytes, cached = cache
    has_cache = cached.shape[0] > 0
    small = np.empty(256, np.uint64)
    keys = np.empty(256, np.uint64)
    for i in range(rows.shape[0]):
        row, state = rows[i], states[i]
        told = row[NEXT] == ANSWERED
        while row[NEXT] == RUN or row[NEXT] == ANSWERED:
            if row[PLACE] == row[STOP]:
                row[NEXT] = IDLE
                break
            code = codes[row[PLACE]]
            if row[LENGTH] == 0 and row[NODE] == NOT_BEGUN:
                if row[WRITTEN] + longest > out.shape[1]:
                    row[NEXT] = FULL
                    break
                begin_window(row, state, start, has_cache)
                fed[i] = -1
            if row[LENGTH] and code[0] == state[0] and code[1] == state[1]:
                row[PLACE] += 1
                row[LENGTH] = 0
                row[NODE] = NOT_BEGUN
                continue
            # Codes below the first one belong to no child.
            beneath = less(code[0], code[1], state[0], state[1])
            if beneath or not can_grow(row, state, longest):
                row[NEXT] = BAD
                break
            node = row[NODE]
            if node < 0 and not told:
                row[NEXT] = ASK
                break
            known = cached[node] if node >= 0 else f[i]
            told = False
            row[NEXT] = RUN
            lookups[0] += 1
            lookups[1] += node >= 0
            is_start = row[LENGTH] == 0
            byte = narrow_to_code(known, state, is_start, code, small, keys)
            if byte < 0:
                row[NEXT] = BAD
                break
            if node >= 0:
                row[NODE] = child_of(node, byte, firsts, node_bytes)
            out[i, row[WRITTEN]] = byte
            row[WRITTEN] += 1
            row[LENGTH] += 1


@jit
def gather(source, starts, counts, data):
    """Copy the bytes of each row from one buffer to `data`, (B, n)."""
    for i in range(starts.size):
        for j in range(counts[i]):
            data[i, j] = source[starts[i] + j]
