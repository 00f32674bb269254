"""Numba kernels that cut words into ids, and remember the cuts.

Single words are cut here, each by itself. The cache remembers their cuts, and
those of groups of words.

In the cache, a key stands for a string. It is two numbers, and the second is
not 0. A row is four uint64: the key (two), a value, and a cut. The lowest 16
bits of the value are the number of ids of the cut. A cut of at most 4 ids holds
them, 16 bits each. The ids of a longer cut lie in a pool that has 16 places for
each row. While a block of text is cut, they are copied to an array of the
block, and the cut is their place there.

Rows form pairs. A key may be in either row of its pair. A new key replaces the
second one. A key that is found in the second row changes places with the first
one. So frequent strings are in first rows, and rare ones replace each other.
The cache changes only the speed: what is not in it is cut again.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels import make_prefetch
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

LONG = 255  # bytes of the longest window: no phrase holds a longer word
KEPT = 15  # bytes of the longest word in the cache
ROW_BITS = 17
INLINE = 4  # ids that a row holds
MOST = 16  # ids of a cut that has a row
_ID = np.uint64(0xFFFF)

#: Masks for the first and the last 8 of 16 bytes that begin with n bytes.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
#: The value of a word: its number from bit 40 on, its cost from bit 16 on, and
#: the number of its ids.
WORD, COST = np.uint64(40), np.uint64(16)
COUNT_BITS = np.uint64(0xFFFF)
COST_BITS = np.uint64((1 << 24) - 1)
#: See `_cut_word`.
_BEST_COST, _BEST_START = np.uint64(40), np.uint64(32)
_BEST_BYTE, _BEST_SLOT = np.uint64(0xFF), np.uint64(0xFFFFFFFF)
_UNREACHED = np.uint64(0xFFFFFFFFFFFFFFFF)

prefetch = make_prefetch()


def make_caches():
    """Return two empty caches, a tuple: their rows, and their pools."""
    rows = [np.zeros((1 << ROW_BITS, 4), np.uint64) for _ in range(2)]
    pools = [np.zeros((1 << ROW_BITS, MOST), np.uint16) for _ in range(2)]
    return *rows, *pools


@inline
def first_row(first, last):
    """Return the first row of a key's pair."""
    h = (first ^ last * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    return h >> np.uint64(65 - ROW_BITS) << np.uint64(1)


@jit
def find_rows(n, rows, firsts, lasts, places, targets, values, cuts, left):
    """Read the first rows of n keys.

    Callers prefetch a row when they compute its place, so that it is in the
    processor's cache here.

    Args:
        n: int.
        rows: uint64 of shape (rows, 4).
        firsts: uint64 of shape (n,).
        lasts: uint64 of shape (n,), not 0.
        places: uint64 of shape (n,), the `first_row` of each key.
        targets: int64 of shape (n,).
        values: is filled at `targets`, 0 if the key is not in its first row.
        cuts: the same, with the cuts.
        left: int64, is filled with the numbers of the keys that are not in
            their first row, or have more than INLINE ids.

    Returns:
        How many keys are left.
    """
    count = 0
    for k in range(n):
        row = places[k]
        known = (rows[row, 0] == firsts[k]) & (rows[row, 1] == lasts[k])
        value = rows[row, 2] if known else np.uint64(0)
        values[targets[k]] = value
        cuts[targets[k]] = rows[row, 3]
        left[count] = k
        count += (value == 0) | (value & COUNT_BITS > INLINE)
    return count


@inline
def find_row(rows, pool, first, last):
    """Return the row of a key, or where to put it, and whether it is there.

    Args:
        rows: uint64 of shape (rows, 4).
        pool: uint16 of shape (rows, MOST).
        first: uint64.
        last: uint64, not 0.
    """
    at = first_row(first, last)
    if rows[at, 0] == first and rows[at, 1] == last:
        return at, True
    second = at | np.uint64(1)
    if rows[second, 0] == first and rows[second, 1] == last:
        for k in range(4):
            rows[at, k], rows[second, k] = rows[second, k], rows[at, k]
        longest = max(rows[at, 2] & COUNT_BITS, rows[second, 2] & COUNT_BITS)
        if longest > INLINE:
            for k in range(longest):
                pool[at, k], pool[second, k] = pool[second, k], pool[at, k]
        return at, True
    return (second if rows[at, 1] else at), False


@inline
def read_row(rows, pool, row, long_ids, placed):
    """Return the value and the cut of a row, and the end of the block's ids.

    Args:
        rows: uint64 of shape (rows, 4).
        pool: uint16 of shape (rows, MOST).
        row: int.
        long_ids: uint16, to which the ids of long cuts are copied.
        placed: int, the number of ids that are there already.
    """
    value = rows[row, 2]
    count = np.int64(value & COUNT_BITS)
    if count <= INLINE:
        return value, rows[row, 3], placed
    for k in range(count):
        long_ids[placed + k] = pool[row, k]
    return value, np.uint64(placed), placed + count


@jit
def fill_row(rows, pool, row, first, last, value, cut, ids):
    """Put a key, its value, its cut and the ids into a row.

    A cut of more than MOST ids gets no row. `ids` begins with those of the cut.
    """
    count = np.int64(value & COUNT_BITS)
    if count > MOST:
        return
    rows[row, 0] = first
    rows[row, 1] = last
    rows[row, 2] = value
    rows[row, 3] = cut
    if count > INLINE:
        for k in range(count):
            pool[row, k] = ids[k]


@jit
def make_cut(ids, count, long_ids, placed):
    """Return the cut of `ids[:count]`, and the end of the block's ids."""
    cut = np.uint64(0)
    if count <= INLINE:
        for k in range(count):
            cut |= np.uint64(ids[k]) << np.uint64(16 * k)
        return cut, placed
    for k in range(count):
        long_ids[placed + k] = ids[k]
    return np.uint64(placed), placed + count


@inline
def write_cut(count, cut, long_ids, ids, written):
    """Write the ids of a cut; return where they end.

    A cut of up to INLINE ids always overwrites INLINE places.

    Args:
        count: int, number of ids.
        cut: uint64.
        long_ids: uint16, the ids of long cuts.
        ids: is filled from `written` on.
        written: int.
    """
    if count <= INLINE:
        ids[written] = cut & _ID
        ids[written + 1] = (cut >> np.uint64(16)) & _ID
        ids[written + 2] = (cut >> np.uint64(32)) & _ID
        ids[written + 3] = cut >> np.uint64(48)
    else:
        place = np.int64(cut)
        for k in range(count):
            ids[written + k] = long_ids[place + k]
    return written + count


@inline
def write_cut_before(count, cut, long_ids, ids, end):
    """Write the ids of a cut up to `end`; return where they begin.

    A cut of up to INLINE ids always overwrites INLINE places.

    Args:
        count: uint64, number of ids.
        cut: uint64.
        long_ids: uint16, the ids of long cuts.
        ids: is filled up to `end`.
        end: uint64.
    """
    if count <= INLINE:
        cut <<= np.uint64(16) * (np.uint64(INLINE) - count)
        at = end - np.uint64(INLINE)
        ids[at] = cut & _ID
        ids[at + np.uint64(1)] = (cut >> np.uint64(16)) & _ID
        ids[at + np.uint64(2)] = (cut >> np.uint64(32)) & _ID
        ids[at + np.uint64(3)] = cut >> np.uint64(48)
    else:
        for k in range(count):
            ids[end - count + k] = long_ids[cut + k]
    return end - count


@jit
def cut_single_words(tries, text, found, caches, best, block):
    """Look the words of a block up in the cache; cut those that are not there.

    Return how many words there are before the first of more than LONG bytes,
    and how many ids of long cuts now lie in the block.
    """
    starts, values, cuts = block.starts, block.values, block.cuts
    firsts, lasts, places, targets, left = block.keys
    rows, _, pool, _ = caches
    path = np.empty(LONG, np.int32)
    n = 0
    while n < found and starts[n + 1] - starts[n] <= LONG:
        firsts[n], lasts[n] = _key(text, starts[n], starts[n + 1] - starts[n])
        places[n] = first_row(firsts[n], lasts[n])
        prefetch(rows, places[n])
        targets[n] = n
        n += 1
    count = find_rows(
        n, rows, firsts, lasts, places, targets, values, cuts, left
    )
    placed = 0
    for k in left[:count]:
        first, last = firsts[k], lasts[k]
        row, known = find_row(rows, pool, first, last)
        if known:
            values[k], cuts[k], placed = read_row(
                rows, pool, row, block.long_ids, placed
            )
            continue
        start = starts[k]
        length = starts[k + 1] - start
        cost, size = _cut_word(tries, text, start, length, best, path)
        word = _find_word(tries, text, start, length)
        values[k] = (
            np.uint64(word) << WORD | np.uint64(cost) << COST | np.uint64(size)
        )
        cuts[k], placed = make_cut(path, size, block.long_ids, placed)
        if length <= KEPT:
            fill_row(rows, pool, row, first, last, values[k], cuts[k], path)
    for k in range(n):
        block.words[k] = values[k] >> WORD
    return n, placed


@inline
def _key(text, start, length):
    """Return the key of a word: its first bytes and its length, two numbers.

    No row has the key of a word of more than KEPT bytes.
    """
    size = min(length, KEPT)
    first = np.uint64(0)
    last = np.uint64(0)
    if start + 16 <= text.size:
        first = _load(text, np.uint64(start)) & _FIRST[size]
        last = _load(text, np.uint64(start + 8)) & _LAST[size]
    else:
        for k in range(min(size, 8)):
            first |= np.uint64(text[start + k]) << np.uint64(8 * k)
        for k in range(8, size):
            last |= np.uint64(text[start + k]) << np.uint64(8 * k - 64)
    return first, last | np.uint64(length) << np.uint64(56)


@inline
def _load(text, i):
    # This compiles to one load.
    return (
        np.uint64(text[i])
        | np.uint64(text[i + np.uint64(1)]) << np.uint64(8)
        | np.uint64(text[i + np.uint64(2)]) << np.uint64(16)
        | np.uint64(text[i + np.uint64(3)]) << np.uint64(24)
        | np.uint64(text[i + np.uint64(4)]) << np.uint64(32)
        | np.uint64(text[i + np.uint64(5)]) << np.uint64(40)
        | np.uint64(text[i + np.uint64(6)]) << np.uint64(48)
        | np.uint64(text[i + np.uint64(7)]) << np.uint64(56)
    )


@jit
def _cut_word(tries, text, start, length, best, path):
    """Write the ids of a word to `path`; return their cost and number.

    `best[j]` describes the best cut of the first j bytes: its cost from bit 40
    on, where its last window begins from bit 32 on, and the slot of that window
    in the bits below. So the least number is the cheapest cut and, of several,
    the one with the longest last window.
    """
    cells, id_of_slot, _, slot_costs, _, _, least = tries
    best[0] = 0
    best[1 : length + 1] = _UNREACHED
    for i in range(length):
        # Any cut with a window from here on costs more than a known cut.
        if best[i] >> _BEST_COST > (best[length] >> _BEST_COST) - least:
            continue
        before = (best[i] >> _BEST_COST << _BEST_COST) | np.uint64(
            i
        ) << _BEST_START
        t = np.uint64(text[start + i])
        cell = cells[t]
        for j in range(i + 1, length + 1):
            if cell & np.uint32(IS_WINDOW):
                found = before + (np.uint64(slot_costs[t]) << _BEST_COST) + t
                best[j] = min(best[j], found)
            if j < length:
                t, cell = step(cells, cell, text[start + j])
                if not cell:
                    break
    count = 0
    j = np.int64(length)
    while j > 0:
        j = np.int64(best[j] >> _BEST_START & _BEST_BYTE)
        count += 1
    j = np.int64(length)
    for place in range(count - 1, -1, -1):
        path[place] = id_of_slot[best[j] & _BEST_SLOT]
        j = np.int64(best[j] >> _BEST_START & _BEST_BYTE)
    return best[length] >> _BEST_COST, count


@jit
def _find_word(tries, text, start, length):
    """Return the number of a word, or 0 if it is in no phrase."""
    _, _, _, _, word_cells, word_of_slot, _ = tries
    t = np.uint64(0)
    cell = np.uint32(0)  # the start: its base is 0
    for k in range(start, start + length):
        t, cell = step(word_cells, cell, text[k])
        if not cell:
            return np.int64(0)
    return np.int64(word_of_slot[t]) if cell & np.uint32(IS_WINDOW) else 0
