"""The Numba kernel of the adaptive coder; `coding.adaptive` states the rule."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import end_stream
from keras_nc.coding.kernels.range_coder import fault_at_end
from keras_nc.coding.kernels.range_coder import follow
from keras_nc.coding.kernels.range_coder import narrow

_WHOLE = np.uint64((1 << 64) - 1)
_HASH = np.uint64(0xD6E8FEB86659FD93)

#: Bits of a probability.
PRECISION = 15
#: An id takes at most a guess and two candidates of 10 bits each, four digits
#: of 15 bits each, and what the window of the range coder holds.
MAX_ID_BYTES = 24
#: A code that became longer than its limit.
TOO_LONG = -1
_ONE = 1 << PRECISION
#: Probabilities of answers to a question are in units of 2^-16.
LEAST = 64
_MOST = (1 << 16) - LEAST
_ASK_FROM = 26000
_LONGEST = 15  # match that is told from others
_MOST_TRUST = 62000
_NODE_LIMIT = 60
_OTHER_LIMIT = 20


@jit
def _code(below, above, decoding, coder, code):
    """Code a symbol that has the parts from `below` up to `above`."""
    low, span, at = coder
    if decoding:
        end = np.int64(code.size)
        return follow(low, span, at, below, above, PRECISION, code, end)
    return narrow(low, span, at, below, above, PRECISION, code)


@jit
def _ask(answer, p, decoding, coder, code):
    """Code a yes of probability `p / 2^16`, or a no.

    `coder` is the range coder's low, span and at. In decoding, its low is the
    distance of the code. Return the answer and the new coder.
    """
    part = np.int64(p) >> 1
    if decoding:
        step = coder[1] >> np.uint64(PRECISION)
        answer = coder[0] < step * np.uint64(part)
    below, above = (0, part) if answer else (part, _ONE)
    return answer, _code(below, above, decoding, coder, code)


# Rows of arrays are passed as arrays and numbers: Numba would count references
# to slices.


@jit
def _part(cells, cell, digit):
    """Return the probability of a digit."""
    above = np.int32(cells[cell, digit + 1]) if digit < 15 else _ONE
    return above - np.int32(cells[cell, digit])


@jit
def _code_digit(digit, cells, cell, decoding, coder, code):
    """Code a digit with the parts of a cell."""
    if decoding:
        target = coder[0] // (coder[1] >> np.uint64(PRECISION))
        target = np.int32(min(target, np.uint64(_ONE - 1)))
        count = np.int32(-1)
        for d in range(16):
            count += np.int32(np.int32(cells[cell, d]) <= target)
        digit = np.int64(count)
    below = np.int32(cells[cell, digit])
    above = below + _part(cells, cell, digit)
    return digit, _code(below, above, decoding, coder, code)


@jit
def _mix(cells, cell, others, other, w, mixed):
    """Mix a cell of order 0 with one of order 1."""
    for d in range(16):
        part = np.int32(cells[cell, d])
        difference = np.int32(others[other, d]) - part
        mixed[0, d] = part + ((difference * w) >> np.int32(16))


@jit
def _learn(cells, cell, goals, digit, rate):
    """Move a cell towards the digit that came."""
    for d in range(16):
        part = np.int32(cells[cell, d])
        change = ((goals[digit, d] - part) * rate) >> np.int32(16)
        cells[cell, d] = part + change


@jit
def _remember(candidates, streaks, previous, i):
    """Rank the ids that followed an id."""
    if candidates[previous, 0] == i:
        streaks[previous] = min(streaks[previous] + 1, _LONGEST)
        return
    streaks[previous] >>= 1
    if candidates[previous, 1] == i:
        candidates[previous, 1] = candidates[previous, 0]
        candidates[previous, 0] = i
    elif candidates[previous, 0] == 0:
        candidates[previous, 0] = i
    else:
        candidates[previous, 1] = i


@jit
def _find_match(ids, at, start):
    """Return how many ids before `at` equal those before `start`, up to 15."""
    length = 0
    while (
        length < min(_LONGEST, start)
        and ids[start - 1 - length] == ids[at - 1 - length]
    ):
        length += 1
    return length


@jit
def _moved(p, is_yes, shift):
    """Return the probability of a yes after an answer."""
    return p + ((_MOST - p) >> shift) if is_yes else p - ((p - LEAST) >> shift)


def _make_kernel(decoding):
    """Return the kernel that encodes or decodes ids.

    Numba leaves out what the other one needs, which halves the time.

    The arguments of the kernel:
        ids: uint16 (T,), read in encoding, written in decoding.
        code: uint8, written in encoding, read in decoding.
        limit: bytes that a code may have in encoding.
        digits: of an id.
        tables: the constant tables `rates` and `goals`.
        cells: uint16 (cells, 16): parts of order 0, for all beginnings of ids.
        uses: uint8 (cells,): how often a cell was used.
        mixed_digits: of an id, which have a cell of order 1.
        per_id: cells of order 1 for a previous id.
        others: uint16 (ids * per_id, 16): parts of order 1.
        other_uses: uint8 (ids * per_id,).
        trust: int32 (digits, uses): the weight of order 1 after so many uses.
        candidates: uint16 (ids, 2): ids that followed an id, or 0.
        streaks: uint8 (ids,): how often the first of them was right of late.
        answers: int32 (streaks, 2): how often candidates were right.
        hits: int32 (lengths,): how often guesses were right.
        last: int32: where pairs of ids were seen last.

    The kernel returns the bytes of the code, or TOO_LONG, in encoding; in
    decoding it returns the fault that `range_coder.fault_at_end` finds.
    """

    @jit
    def run(
        ids, code, limit, digits, tables, cells, uses, mixed_digits, per_id,
        others, other_uses, trust, candidates, streaks, answers, hits, last,
    ):  # fmt: skip
        rates, goals = tables
        coder = (np.uint64(0), _WHOLE, np.int64(0))
        if decoding:
            first = begin_stream(code, 0, np.int64(code.size))
            coder = (first, _WHOLE, np.int64(0))
        mixed = np.empty((1, 16), np.int32)
        previous, match, length = np.int64(0), np.int64(0), np.int64(0)
        for t in range(ids.size):
            if not decoding and coder[2] > limit:
                return TOO_LONG
            i = np.int64(ids[t])
            known = False
            # Does the id follow that followed the longest match?
            guess = np.int64(ids[match]) if length else np.int64(-1)
            refused = np.int64(-1)
            if length and hits[length] >= _ASK_FROM:
                known, coder = _ask(
                    i == guess, hits[length], decoding, coder, code
                )
                if known:
                    i = guess
                else:
                    refused = guess
            # Is it one that followed the previous id?
            streak = np.int64(streaks[previous])
            for k in range(2):
                candidate = np.int64(candidates[previous, k])
                if known or candidate == 0:
                    break
                if candidate == refused:
                    continue
                p = answers[streak, k]
                known, coder = _ask(i == candidate, p, decoding, coder, code)
                answers[streak, k] = _moved(p, known, 6)
                if known:
                    i = candidate
            if not known:
                found, cell = np.int64(0), np.int64(0)
                for j in range(digits):
                    digit = i >> (4 * (digits - 1 - j)) & 15
                    if j < mixed_digits:
                        other = previous * per_id + cell
                        n = np.int64(other_uses[other])
                        if n == 0:
                            for d in range(16):
                                others[other, d] = cells[cell, d]
                        _mix(cells, cell, others, other, trust[j, n], mixed)
                        digit, coder = _code_digit(
                            digit, mixed, 0, decoding, coder, code
                        )
                        p0 = _part(cells, cell, digit)
                        p1 = _part(others, other, digit)
                        if p1 > p0:
                            trust[j, n] += (_MOST_TRUST - trust[j, n]) >> 6
                        elif p1 < p0:
                            trust[j, n] -= trust[j, n] >> 6
                        _learn(others, other, goals, digit, rates[n])
                        other_uses[other] = min(n + 1, _OTHER_LIMIT)
                    else:
                        digit, coder = _code_digit(
                            digit, cells, cell, decoding, coder, code
                        )
                    n0 = np.int64(uses[cell])
                    _learn(cells, cell, goals, digit, rates[n0])
                    uses[cell] = min(n0 + 1, _NODE_LIMIT)
                    cell = 16 * cell + 1 + digit
                    found = 16 * found + digit
                i = found
            ids[t] = i
            _remember(candidates, streaks, previous, i)
            if length:
                is_hit = i == guess
                hits[length] = _moved(hits[length], is_hit, 5)
                match += 1
                length = min(length + 1, _LONGEST) if is_hit else 0
            pair = np.uint64(previous << 16 | i) * _HASH
            place = np.int64(pair >> np.uint64(40)) & (last.size - 1)
            if length == 0 and t > 0:
                match = np.int64(last[place])
                length = _find_match(ids, t + 1, match)
                length = length if length > 1 else 0
            last[place] = t + 1
            previous = i
        if decoding:
            low, _, at = coder
            return fault_at_end(low, at, np.int64(code.size), ids.size)
        return end_stream(coder[0], coder[2], code) if ids.size else 0

    return run


encode = _make_kernel(decoding=False)
decode = _make_kernel(decoding=True)
