"""The Numba kernel of the adaptive coder; `coding.adaptive` states the rule.

Most of the time goes into cells, rows of 16 parts. Loops over them use 32 bits
and no table, so that they become a few vector instructions.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels import make_prefetch
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import carry
from keras_nc.coding.kernels.range_coder import end_stream
from keras_nc.coding.kernels.range_coder import fault_at_end

_WHOLE = np.uint64((1 << 64) - 1)
_HASH = np.uint64(0xD6E8FEB86659FD93)

#: Bits of a probability.
PRECISION = 15
#: An id takes at most a guess and two candidates of 10 bits each, four digits
#: of 15 bits each, and what the window of the range coder holds.
MAX_ID_BYTES = 24
#: What encoding returns if a code is longer than its limit.
TOO_LONG = -1
#: Zero bytes that decoding needs after the code.
PADDING = 16
#: The least part of a digit, and what is left of 2^15 when each digit has it.
LEAST_PART = 4
SPARE = (1 << PRECISION) - 16 * LEAST_PART
_ONE = 1 << PRECISION
#: Probabilities of answers to a question are in units of 2^-16.
LEAST = 64
_MOST = (1 << 16) - LEAST
_ASK_FROM = 26000
_LONGEST = 15  # ids of a match, or hits of a streak, that are counted
_MOST_TRUST = 62000
_NODE_LIMIT = 60
_OTHER_LIMIT = 20
_TWO_BYTES, _ONE_BYTE = np.uint64(1 << 48), np.uint64(1 << 56)
_BYTE, _TOP, _STEP = np.uint64(8), np.uint64(56), np.uint64(PRECISION)

_prefetch = make_prefetch()


@inline
def _code(below, part, decoding, coder, code, end):
    """Code a symbol whose part begins at `below`, as `range_coder` does.

    `coder` is low, span and at of the range coder. In decoding, low is the
    distance from the start of the interval to the code.
    """
    low, span, at = coder
    step = span >> _STEP
    moved = step * np.uint64(below)
    # A part is 1 at least, so a symbol takes two bytes at most.
    span = step * np.uint64(part)
    count = np.int64(span < _ONE_BYTE) + np.int64(span < _TWO_BYTES)
    bits = np.uint64(count << 3)
    if decoding:
        low = (low - moved) << bits
        place = min(at + 8, end)
        following = np.uint64(code[place]) << _BYTE | np.uint64(code[place + 1])
        low |= following >> (np.uint64(16) - bits)
    else:
        moved += low
        if moved < low:
            carry(code, at)
        code[at] = moved >> _TOP
        code[at + 1] = moved >> np.uint64(48)
        low = moved << bits
    return low, span << bits, at + count


@inline
def _ask(answer, p, decoding, coder, code, end):
    """Code a yes of probability `p / 2^16`, or a no.

    Return the answer and the new coder.
    """
    part = np.int64(p) >> 1
    if decoding:
        answer = coder[0] < (coder[1] >> _STEP) * np.uint64(part)
    below, part = (0, part) if answer else (part, _ONE - part)
    return answer, _code(below, part, decoding, coder, code, end)


@inline
def _target(coder):
    """Return the place of the code among the parts; for decoding."""
    target = coder[0] // (coder[1] >> _STEP)
    return np.int32(min(target, np.uint64(_ONE - 1)))


@inline
def _find(cells, cell, target):
    """Return the digit of a cell that holds a target."""
    count = np.int32(-1)
    for d in range(cells.shape[1] & 16):
        count = np.int32(count + np.int32(np.int32(cells[cell, d]) <= target))
    return np.int64(count)


@inline
def _mixed(part, other, w):
    """Mix a part of order 0 with one of order 1, which has the weight w."""
    product = np.int32((np.int32(other) - np.int32(part)) * w)
    return np.int32(np.int32(part) + (product >> np.int32(16)))


@inline
def _find_mixed(cells, cell, others, other, w, target):
    """Return the digit of a mixed cell that holds a target."""
    count = np.int32(-1)
    for d in range(cells.shape[1] & 16):
        part = _mixed(cells[cell, d], others[other, d], w)
        count = np.int32(count + np.int32(part <= target))
    return np.int64(count)


@inline
def _learn(cells, cell, digit, rate):
    """Move a cell towards the digit that came."""
    for d in range(cells.shape[1] & 16):
        part = np.int32(cells[cell, d])
        goal = np.int32(LEAST_PART * d) + np.int32(SPARE if d > digit else 0)
        change = np.int32(np.int32(goal - part) * rate) >> np.int32(16)
        cells[cell, d] = part + change


@inline
def _remember(candidates, streaks, previous, i):
    """Rank the ids that followed an id."""
    first = candidates[2 * previous]
    if first == i:
        streaks[previous] = min(streaks[previous] + 1, _LONGEST)
    else:
        streaks[previous] >>= 1
        if candidates[2 * previous + 1] == i:
            candidates[2 * previous + 1] = first
            candidates[2 * previous] = i
        elif first == 0:
            candidates[2 * previous] = i
        else:
            candidates[2 * previous + 1] = i


@inline
def _find_match(ids, at, start):
    """Return how many ids before `at` equal those before `start`, up to 15."""
    length = 0
    while (
        length < min(_LONGEST, start)
        and ids[start - 1 - length] == ids[at - 1 - length]
    ):
        length += 1
    return length


@inline
def _moved(p, is_yes, shift):
    """Return the probability of a yes after an answer."""
    return p + ((_MOST - p) >> shift) if is_yes else p - ((p - LEAST) >> shift)


def _make_kernel(decoding):
    """Return the kernel that encodes or decodes ids.

    Numba leaves out the code of the other direction, which halves the time.

    The arguments of the kernel:
        ids: uint16 (T,), read in encoding, written in decoding.
        code: uint8, written in encoding. Read in decoding, with `PADDING`.
        limit: bytes that a code may have in encoding, or has in decoding.
        digits: digits of an id.
        rates: int32 (uses,): how much a cell moves after each number of uses.
        cells: uint16 (cells, 16): parts of order 0, for all beginnings of
            ids.
        uses: uint8 (cells,): how often a cell was used.
        mixed_digits: digits of an id that have a cell of order 1.
        per_id: cells of order 1 for a previous id.
        others: uint16 (ids * per_id, 16): parts of order 1. They need no
            initial values.
        other_uses: uint8 (ids * per_id,).
        trust: int32 (digits, uses): the weight of order 1 by number of uses.
        candidates: uint16 (ids * 2,): ids that followed an id, or 0.
        streaks: uint8 (ids,): how often the first of them was right of late.
        answers: int32 (streaks, 2): how often candidates were right.
        hits: int32 (lengths,): how often guesses were right.
        last: int32: where pairs of ids were seen last.

    The kernel returns the bytes of the code, or TOO_LONG, in encoding; in
    decoding it returns the fault that `range_coder.fault_at_end` finds.
    """

    @jit
    def run(
        ids, code, limit, digits, rates, cells, uses, mixed_digits, per_id,
        others, other_uses, trust, candidates, streaks, answers, hits, last,
    ):  # fmt: skip
        coder = (np.uint64(0), _WHOLE, np.int64(0))
        end = np.int64(limit)
        if decoding:
            coder = (begin_stream(code, 0, end), _WHOLE, np.int64(0))
        previous, match, length = np.int64(0), np.int64(0), np.int64(0)
        for t in range(ids.size):
            if not decoding and coder[2] > limit:
                return TOO_LONG
            i = np.int64(ids[t])
            if not decoding and t + 2 < ids.size:
                first = np.int64(ids[t + 1]) * per_id
                second = 1 + (np.int64(ids[t + 2]) >> (4 * (digits - 1)))
                _prefetch(others, first)
                _prefetch(other_uses, first)
                _prefetch(others, first + second)
                _prefetch(candidates, 2 * np.int64(ids[t + 1]))
            known = False
            # Is it the id that followed the longest match?
            guess = np.int64(ids[match]) if length else np.int64(-1)
            refused = np.int64(-1)
            if length and hits[length] >= _ASK_FROM:
                known, coder = _ask(
                    i == guess, hits[length], decoding, coder, code, end
                )
                if known:
                    i = guess
                else:
                    refused = guess
            # Is it one that followed the previous id?
            streak = np.int64(streaks[previous])
            for k in range(2):
                candidate = np.int64(candidates[2 * previous + k])
                if known or candidate == 0:
                    break
                if candidate == refused:
                    continue
                p = answers[streak, k]
                known, coder = _ask(
                    i == candidate, p, decoding, coder, code, end
                )
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
                            for d in range(cells.shape[1] & 16):
                                others[other, d] = cells[cell, d]
                        w = trust[j, n]
                        if decoding:
                            digit = _find_mixed(
                                cells, cell, others, other, w, _target(coder)
                            )
                        a = np.int32(cells[cell, digit])
                        b = np.int32(others[other, digit])
                        a_end, b_end = np.int32(_ONE), np.int32(_ONE)
                        if digit < 15:
                            a_end = np.int32(cells[cell, digit + 1])
                            b_end = np.int32(others[other, digit + 1])
                        below = _mixed(a, b, w)
                        part = _ONE - below
                        if digit < 15:
                            part = _mixed(a_end, b_end, w) - below
                        coder = _code(below, part, decoding, coder, code, end)
                        if b_end - b > a_end - a:
                            trust[j, n] = w + ((_MOST_TRUST - w) >> 6)
                        elif b_end - b < a_end - a:
                            trust[j, n] = w - (w >> 6)
                        _learn(others, other, digit, rates[n])
                        other_uses[other] = min(n + 1, _OTHER_LIMIT)
                    else:
                        if decoding:
                            digit = _find(cells, cell, _target(coder))
                        below = np.int32(cells[cell, digit])
                        part = _ONE - below
                        if digit < 15:
                            part = np.int32(cells[cell, digit + 1]) - below
                        coder = _code(below, part, decoding, coder, code, end)
                    n0 = np.int64(uses[cell])
                    _learn(cells, cell, digit, rates[n0])
                    uses[cell] = min(n0 + 1, _NODE_LIMIT)
                    cell = 16 * cell + 1 + digit
                    found = 16 * found + digit
                i = found
            ids[t] = i
            if decoding:
                _prefetch(others, i * per_id)
                _prefetch(other_uses, i * per_id)
                _prefetch(candidates, 2 * i)
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
            return fault_at_end(coder[0], coder[2], end, ids.size)
        return end_stream(coder[0], coder[2], code) if ids.size else 0

    return run


encode = _make_kernel(decoding=False)
decode = _make_kernel(decoding=True)
