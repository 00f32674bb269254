"""Numba kernels that cut single words, each by itself."""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.cut_cache import fill_row
from keras_nc.coding.kernels.cut_cache import find_row
from keras_nc.coding.kernels.cut_cache import find_rows
from keras_nc.coding.kernels.cut_cache import first_row
from keras_nc.coding.kernels.cut_cache import make_cut
from keras_nc.coding.kernels.cut_cache import prefetch
from keras_nc.coding.kernels.cut_cache import read_row
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

LONG = 255  # bytes of the longest window: no phrase holds a longer word
KEPT = 15  # bytes of the longest word in the cache

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
