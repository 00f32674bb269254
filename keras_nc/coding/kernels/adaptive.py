"""The Numba kernel of the adaptive coder; `coding.adaptive` states the rule."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import end_stream
from keras_nc.coding.kernels.range_coder import fault_at_end
from keras_nc.coding.kernels.range_coder import follow
from keras_nc.coding.kernels.range_coder import narrow

_16 = np.uint64(16)
_WHOLE = np.uint64((1 << 64) - 1)
_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_1 = np.uint64(1)

#: An id takes at most 16 decisions of 12 bits each, a guess of 10 bits and what
#: the window of the range coder holds.
MAX_ID_BYTES = 40
#: A code that became longer than its limit.
TOO_LONG = -1
LARGEST = 2047  # of the logarithms of odds
FRESH = np.uint16(2048 << 4)  # a cell without a use: p = 1/2
_CELL_LIMIT = 7
_NODE_LIMIT = 127
_GUESS_AT_LEAST = 40000
_GUESS_AT_MOST = (1 << 16) - 64
_MIXER_RATE = 3


@jit
def _code_bit(bit, part, decoding, low, span, at, code, end):
    """Code a bit that is 1 with probability `part / 2^16`.

    `low` is the range coder's `low` in encoding, and its distance in decoding.
    Return the bit and the new low, span and at.
    """
    if decoding:
        bit = np.int64(low < (span >> _16) * np.uint64(part))
    below, above = (0, part) if bit else (part, 1 << 16)
    if decoding:
        low, span, at = follow(low, span, at, below, above, 16, code, end)
    else:
        low, span, at = narrow(low, span, at, below, above, 16, code)
    return bit, low, span, at


@jit
def _find_slot(slots, context, node):
    """Return the slot of four decisions from a node on; make it if needed."""
    key = (np.uint64(context) << _16 | np.uint64(node)) * _MIX_1
    i = np.int64(key >> np.uint64(40)) & (slots.shape[0] - 1)
    check = np.uint16(key >> np.uint64(20) & np.uint64(0xFFFF))
    if slots[i, 0] == check:
        return i
    other = i ^ 1
    if slots[other, 0] == check:
        return other
    # Keep the one whose first cell was used more often.
    if slots[other, 1] & 15 < slots[i, 1] & 15:
        i = other
    slots[i, 0] = check
    slots[i, 1:] = FRESH
    return i


@jit
def _find_match(ids, at, start):
    """Return how many ids before `at` equal those before `start`, up to 15."""
    length = 0
    while (
        length < min(15, start)
        and ids[start - 1 - length] == ids[at - 1 - length]
    ):
        length += 1
    return length


@jit
def run(decoding, ids, code, limit, bits, tables, nodes, slots, last, weights,
        hits, agreements):  # fmt: skip
    """Encode or decode ids.

    Args:
        decoding: bool.
        ids: uint16 (T,), read in encoding, written in decoding.
        code: uint8, written in encoding, read in decoding.
        limit: bytes that a code may have in encoding.
        bits: decisions of an id.
        tables: the constant tables `stretch`, `squash` and `rates`.
        nodes: uint32 (2^bits,): probabilities of order 0.
        slots: uint16 (slots, 16): a check and the cells of order 1.
        last: int32: where pairs of ids were seen last.
        weights: int32 (16, 3): weights of the mixer.
        hits: int32 (16,): how often guesses were right, by length of the match.
        agreements: int32 (16,): how often their bits were right.

    Returns:
        In encoding the bytes of the code, or TOO_LONG; in decoding the fault
        that `range_coder.fault_at_end` finds.
    """
    stretch, squash, rates = tables
    low, span, at, end = np.uint64(0), _WHOLE, np.int64(0), np.int64(code.size)
    if decoding:
        low = begin_stream(code, 0, end)
    previous, match, length = np.int64(0), np.int64(0), np.int64(0)
    for t in range(ids.size):
        if not decoding and at > limit:
            return TOO_LONG
        i = np.int64(ids[t])
        guess = np.int64(ids[match]) if length else np.int64(-1)
        is_hit = np.int64(0)
        asked = length > 0 and hits[length] >= _GUESS_AT_LEAST
        if asked:
            part = min(np.int64(hits[length]), _GUESS_AT_MOST)
            is_hit, low, span, at = _code_bit(
                np.int64(i == guess), part, decoding, low, span, at, code, end
            )
        node = np.int64(1)
        agrees = length > 0 and not asked
        for j in range(0 if is_hit else bits):
            if j & 3 == 0:
                slot = _find_slot(slots, previous, node)
                cell = 1
            # The probabilities of the three models, and their confidence.
            e0, e1 = np.int64(nodes[node]), np.int64(slots[slot, cell])
            n0, n1 = e0 & 1023, e1 & 15
            p1 = e1 >> 4 if n1 else e0 >> 20
            x0 = np.int64(stretch[e0 >> 20])
            x1 = np.int64(stretch[e1 >> 4])
            x2 = np.int64(0)
            w = weights[min(n1, 7)]
            expected = np.int64(0)
            if agrees:
                ahead = guess >> (bits - 1 - j)
                expected = ahead & 1
                agrees = ahead >> 1 == node - (1 << j)
                if agrees:
                    x2 = np.int64(stretch[agreements[length] >> 4])
                    x2 = x2 if expected else -x2
                    w = weights[min(n1, 7) + 8]
            x = (w[0] * x0 + w[1] * x1 + w[2] * x2) >> 16
            x = min(max(x, -LARGEST), LARGEST)
            part = np.int64(squash[x + LARGEST])
            bit, low, span, at = _code_bit(
                i >> (bits - 1 - j) & 1,
                part,
                decoding,
                low,
                span,
                at,
                code,
                end,
            )
            # Learn from the bit.
            error = ((bit << 16) - part) * _MIXER_RATE
            w[0] += (x0 * error + (1 << 15)) >> 16
            w[1] += (x1 * error + (1 << 15)) >> 16
            if agrees:
                w[2] += (x2 * error + (1 << 15)) >> 16
                if bit == expected:
                    agreements[length] += (65535 - agreements[length]) >> 6
                else:
                    agreements[length] -= agreements[length] >> 6
            p0 = e0 >> 10
            p0 += (((bit << 22) - p0) * rates[n0]) >> 16
            nodes[node] = p0 << 10 | min(n0 + 1, _NODE_LIMIT)
            p1 += ((bit * 4095 - p1) * rates[n1]) >> 16
            slots[slot, cell] = p1 << 4 | min(n1 + 1, _CELL_LIMIT)
            cell = 2 * cell + bit
            node = 2 * node + bit
        if decoding:
            i = guess if is_hit else node - (1 << bits)
            ids[t] = i
        if length:
            if i == guess:
                hits[length] += (65535 - hits[length]) >> 5
                match += 1
                length = min(length + 1, 15)
            else:
                hits[length] -= hits[length] >> 5
                length = np.int64(0)
        pair = np.uint64(previous << 16 | i) * _MIX_2
        place = np.int64(pair >> np.uint64(40)) & (last.size - 1)
        if length == 0 and t > 0:
            match = np.int64(last[place])
            length = _find_match(ids, t + 1, match)
            length = length if length > 1 else 0
        last[place] = t + 1
        previous = i
    if decoding:
        return fault_at_end(low, at, end, ids.size)
    if ids.size:
        at = end_stream(low, at, code)
    return at
