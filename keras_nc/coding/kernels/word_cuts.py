"""Numba kernels that cut single words into ids.

Most words are in a cache; see `kernels.word_cache`. The others are cut in
batches, because their windows lie all over the trie: so the lookups of one word
do not wait for those of another. The best cut of the first j bytes of a word is
one number: its cost from bit 40 on, where its last window begins from bit 32
on, and the id of that window in the bits below. So the least number is the
cheapest cut and, of several, the one with the longest last window.

The trie of windows is read from one table of uint64, so that a step is one
lookup: the lower half of a slot is its cell, see `kernels.trie`; the upper half
has the cost of its window from bit 16 on, and its id below.
"""

import collections

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.trie import BASE_SHIFT
from keras_nc.coding.kernels.trie import IS_WINDOW as CELL_IS_WINDOW
from keras_nc.coding.kernels.trie import NO_BYTE
from keras_nc.coding.kernels.trie import step
from keras_nc.coding.kernels.word_cache import COST
from keras_nc.coding.kernels.word_cache import EXACT
from keras_nc.coding.kernels.word_cache import INLINE
from keras_nc.coding.kernels.word_cache import WORD
from keras_nc.coding.kernels.word_cache import keep
from keras_nc.coding.kernels.word_cache import look_up
from keras_nc.coding.kernels.word_cache import make_keys
from keras_nc.coding.kernels.word_cache import prefetch
from keras_nc.coding.kernels.word_cache import row_mark

LONG = 255  # bytes of the longest window: no phrase holds a longer word
BATCH = 32  # words
_WALKS = BATCH * EXACT

#: The best cut of the beginning of a word; see above.
_COST, _START = np.uint64(40), np.uint64(32)
_BYTE, _ID = np.uint64(0xFF), np.uint64(0xFFFF)
_NONE = np.uint64(1 << 62)  # more than any cut of EXACT bytes costs
_UNREACHED = np.uint64(0xFFFFFFFFFFFFFFFF)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_IS_WINDOW = np.uint64(CELL_IS_WINDOW)
_BASE, _BYTE_BITS = np.uint64(BASE_SHIFT), np.uint64(NO_BYTE)
_ONE = np.uint64(1)  # Unsigned indices save a check for negative ones.

#: What words are cut with.
Tries = collections.namedtuple(
    "Tries",
    [
        "windows",  # the trie of all windows; see above
        "least_cost",  # uint64, that of the cheapest window
        "word_cells",  # the trie of all words that phrases have
        "word_of_slot",  # the same
        "word_filter",  # see `kernels.word_cache.filter_words`
        "content",  # of windows; see `kernels.trie.decode`
        "places",  # the same
    ],
)

#: Walks through the trie of windows, one from each byte of each word.
Walks = collections.namedtuple(
    "Walks",
    [
        "active",  # the numbers of the walks that go on
        "places",  # at which byte of the text each begins
        "ends",  # where its word ends
        "slots",  # to which slot it leads if that slot has the byte
        "found",  # by walk and depth: a window, or _NONE; see `_window`
        "depths",  # how many windows `found` has
        "bests",  # by word and byte: the best cuts of its beginnings
    ],
)


@jit
def make_walks():
    """Return `Walks` for a batch."""
    return Walks(
        np.empty(_WALKS, np.uint64),
        np.empty(_WALKS, np.uint64),
        np.empty(_WALKS, np.uint64),
        np.empty(_WALKS, np.uint64),
        np.empty((_WALKS, EXACT), np.uint64),
        np.empty(_WALKS, np.uint8),
        np.empty((BATCH, LONG + 1), np.uint64),
    )


@jit
def cut_single_words(n, tries, text, cache, walks, block):
    """Look the words of a block up in the cache; cut those that are not there.

    Args:
        n: int, the number of words, of at most LONG bytes each.
        tries: `Tries`.
        text: uint8 of shape (L,).
        cache: see `kernels.word_cache.make_cache`.
        walks: `Walks`.
        block: `Block` of `kernels.likely_words`. Its values and cuts are
            filled.
    """
    make_keys(n, text, block.starts, block.keys, cache[0])
    left, placed = look_up(n, text, tries, cache, block)
    for first in range(0, left, BATCH):
        numbers = block.keys[3][first : min(left, first + BATCH)]
        _walk(numbers, tries.windows, text, block.starts, walks)
        _find_best(numbers, tries, text, block.starts, walks)
        placed = _read_cuts(numbers, tries, text, walks, block, placed)
        keep(numbers, cache, block)


@inline
def _window(slot):
    """Return the cost of a slot's window from bit 40 on, and its id."""
    cost_and_id = slot >> _HALF
    cost = cost_and_id >> np.uint64(16) << _COST
    return cost | cost_and_id & _ID


@jit
def _walk(numbers, table, text, starts, walks):
    """Find the windows from each byte of words of at most EXACT bytes on."""
    active, places, ends, slots, found, depths, _ = walks
    count = np.uint64(0)
    for k in numbers:
        if starts[k + 1] - starts[k] <= EXACT:
            for i in range(starts[k], starts[k + 1]):
                active[count] = count
                places[count] = i
                ends[count] = starts[k + 1]
                slots[count] = text[i]
                count += _ONE
    depth = np.uint64(0)
    while count:
        left = np.uint64(0)
        for m in range(count):
            # Without branches: none can foresee where windows and walks end.
            w = active[m]
            i = places[w] + depth
            slot = table[slots[w]]
            exists = np.uint64(slot & _BYTE_BITS == np.uint64(text[i]))
            no_window = np.uint64(slot & _IS_WINDOW != 0) - _ONE
            found[w, depth] = _window(slot) | (_NONE & no_window)
            depths[w] = depth + exists
            i += _ONE
            inside = np.uint64(i < ends[w])
            # At the end of the text, any byte will do.
            byte = np.uint64(text[i - (inside ^ _ONE)])
            slots[w] = ((slot & _LOW) >> _BASE) + byte
            prefetch(table, slots[w])
            active[left] = w
            left += exists & inside
        count = left
        depth += _ONE


@jit
def _find_best(numbers, tries, text, starts, walks):
    """Find the best cuts of the beginnings of words."""
    _, _, _, _, found, depths, best = walks
    w = np.uint64(0)
    for m in range(np.uint64(numbers.size)):
        k = numbers[m]
        length = starts[k + 1] - starts[k]
        if length > EXACT:
            _find_best_of_long(tries, text, starts[k], length, best[m])
            continue
        best[m, 0] = 0
        for j in range(1, length + 1):
            best[m, j] = _NONE
        for i in range(np.uint64(length)):
            before = (best[m, i] >> _COST << _COST) | i << _START
            for d in range(np.uint64(depths[w])):
                j = i + d + _ONE
                best[m, j] = min(best[m, j], before + found[w, d])
            w += _ONE


@jit
def _find_best_of_long(tries, text, start, length, best):
    """Find the best cuts of a word of any length."""
    table, least = tries.windows, tries.least_cost
    best[0] = 0
    best[1 : length + 1] = _UNREACHED
    for i in range(length):
        # Any cut with a window from here on costs more than a known cut.
        if best[i] >> _COST > (best[length] >> _COST) - least:
            continue
        before = (best[i] >> _COST << _COST) | np.uint64(i) << _START
        slot = table[text[start + i]]
        for j in range(i + 1, length + 1):
            if slot & _IS_WINDOW:
                best[j] = min(best[j], before + _window(slot))
            if j < length:
                byte = np.uint64(text[start + j])
                slot = table[((slot & _LOW) >> _BASE) + byte]
                if slot & _BYTE_BITS != byte:
                    break


@jit
def _read_cuts(numbers, tries, text, walks, block, placed):
    """Fill the values and cuts of words; return `placed` afterwards."""
    starts, values, cuts = block.starts, block.values, block.cuts
    places, long_ids = block.keys[2], block.long_ids
    best, word_filter = walks.bests, tries.word_filter
    for m in range(np.uint64(numbers.size)):
        k = numbers[m]
        length = np.uint64(starts[k + 1] - starts[k])
        count = np.uint64(0)
        cut = np.uint64(0)
        j = length
        while j:
            cut = cut << np.uint64(16) | best[m, j] & _ID
            count += _ONE
            j = best[m, j] >> _START & _BYTE
        if count > INLINE:
            cut = np.uint64(placed)
            placed += np.int64(count)
            at = placed
            j = length
            while j:
                at -= 1
                long_ids[at] = best[m, j] & _ID
                j = best[m, j] >> _START & _BYTE
        word = np.int64(0)
        if word_filter[row_mark(places[k])]:
            word = _find_word(tries, text, starts[k], starts[k + 1])
        cost = best[m, length] >> _COST
        values[k] = np.uint64(word) << WORD | cost << COST | count
        cuts[k] = cut
    return placed


@jit
def _find_word(tries, text, start, end):
    """Return the number of a word, or 0 if it is in no phrase."""
    slot = np.uint64(0)
    cell = np.uint32(0)  # the start: its base is 0
    for k in range(start, end):
        slot, cell = step(tries.word_cells, cell, text[k])
        if not cell:
            return np.int64(0)
    return np.int64(tries.word_of_slot[slot]) if cell & CELL_IS_WINDOW else 0
