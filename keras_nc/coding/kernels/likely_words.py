"""Numba kernels of the most probable parse into parts of words and phrases.

A word is cut by itself unless a phrase covers it, so its best cut does not
depend on the words around it. Two words in a row that no phrase holds have a
cut between them, so a text falls into groups of words that do not depend on
each other. Most groups are single words. The best cuts of words and of groups
are found once and then kept in hash tables.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.cut_cache import fill_row
from keras_nc.coding.kernels.cut_cache import find_row
from keras_nc.coding.kernels.cut_cache import make_cut
from keras_nc.coding.kernels.cut_cache import read_row
from keras_nc.coding.kernels.cut_cache import write_cut
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.phrases import is_bond
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

BLOCK = 1 << 13  # bytes of the first block
LONG = 255  # bytes of the longest window: no phrase holds a longer word
KEPT = 15  # bytes of the longest word in the cache
GROUP = 6  # words of the longest group in the cache
SPARE = 4  # ids that may be written after the last one

#: Masks for the first and the last 8 of 16 bytes that begin with n bytes.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
#: The value of a word: its number from bit 40 on, its cost from bit 16 on, and
#: the number of its ids.
_WORD, _COST = np.uint64(40), np.uint64(16)
_COUNT_BITS = np.uint64(0xFFFF)
_COST_BITS = np.uint64((1 << 24) - 1)
#: See `_cut_word`.
_BEST_COST, _BEST_START = np.uint64(40), np.uint64(32)
_BEST_BYTE, _BEST_SLOT = np.uint64(0xFF), np.uint64(0xFFFFFFFF)
_UNREACHED = np.uint64(0xFFFFFFFFFFFFFFFF)
#: Words of a group's key have 21 bits each; larger numbers are in no key.
_KEY_BITS, _KEY_WORDS = np.uint64(21), 1 << 21


@jit
def encode_likely_words(
    cells,
    id_of_slot,
    costs,
    slot_costs,
    word_cells,
    word_of_slot,
    phrases,
    caches,
    marks,
    text,
    offsets,
    ids,
    id_offsets,
):
    """Take the windows with the smallest total cost that the rule allows.

    A window that begins inside a word ends inside it or with it. A window that
    begins with a word may also end with a later word. Ties go to the
    segmentation whose last window is longest, then the one before it, and so
    on. Text is read in blocks, as in `kernels.likely`. Returns the same as
    `kernels.longest`.

    Args:
        cells: the trie of all windows; see `kernels.trie`.
        id_of_slot: the same.
        costs: uint16, by id.
        slot_costs: uint16, by slot of the trie.
        word_cells: the trie of all words that phrases have.
        word_of_slot: the same.
        phrases: their trie; see `kernels.phrases.build_phrases`.
        caches: of words and of groups, a tuple; see `kernels.cut_cache`.
        marks: uint8 of shape (L,), 1 where a word begins.
        text: uint8 of shape (L,).
        offsets: int64 of shape (documents + 1,).
        ids: of shape (L + SPARE,), is filled.
        id_offsets: is filled.
    """
    no_marks = np.zeros(0, np.uint8)
    tries = cells, id_of_slot, costs, slot_costs, word_cells, word_of_slot
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    block = _make_block(BLOCK)
    best = np.empty(LONG + 1, np.uint64)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            starts, words, _, values, _, groups, _, _ = block
            size = values.size
            found = _find_words(marks, i, min(i + size, end), end, starts)
            n, placed = _cut_single_words(
                tries, text, found, caches, best, block
            )
            if n == 0:  # the first word is a long one
                stop = starts[1] if found else min(i + size, end)
                while stop < end and not marks[stop]:
                    stop += 1
                written, _, _ = encode_range(
                    cells, id_of_slot, costs, no_marks, text, i, stop, ids,
                    written, make_tables(min(stop - i, 1 << 16))
                )  # fmt: skip
                # More text may change a phrase before it, or the word itself.
                if stop == end:
                    opened = i
                i = stop
                continue
            count = _find_groups(n, words, phrases[2], groups)
            # More text may change the last groups: they are cut below.
            ends = starts[n] == end
            if ends and d == offsets.size - 2:
                while count > 0 and groups[count] > max(n - 2, 0):
                    count -= 1
            elif not ends and n == found:
                count -= 1
            written = _write_groups(
                count, phrases, caches, block, placed, ids, written
            )
            first = groups[count]
            if first < n and (ends or count == 0):
                back, alive = block[-1][1], block[-1][3]
                _cut_group(first, n, phrases, block)
                rest = n - first
                find_alive(rest, words[first:n], phrases, alive)
                committed = rest
                if ends:
                    # More text may change the last word.
                    changes = alive[: rest + 1] > 0
                    changes[rest - 1] = True
                    changes[rest] = False
                    opened = starts[
                        first + common_ancestor(back, changes, rest)
                    ]
                else:
                    committed = common_ancestor(
                        back, alive[: rest + 1] == 1, rest
                    )
                    if committed == 0:  # nothing is certain yet: read more
                        block = _make_block(2 * size)
                        continue
                written = _write_path(first, committed, block, ids, written)
                first += committed
            i = starts[first]
        id_offsets[d + 1] = written
    return written, opened


@jit
def _make_block(size):
    """Return tables for the words of a block of bytes."""
    tables = (
        np.empty(size + 1, np.int64),  # these and the next: see `cut_words`
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),  # see `find_alive`
    )
    return (
        np.empty(size + 2, np.int64),  # where words begin
        np.zeros(size + GROUP, np.int32),  # words, as phrases number them
        np.empty(size, np.int32),  # costs of words by themselves
        np.empty(size, np.uint64),  # values of words, see `cut_cache`
        np.empty(size, np.uint64),  # their cuts
        np.empty(size + 2, np.int64),  # where groups begin
        # Words have at most as many ids as bytes, and so have groups.
        np.empty(2 * size, np.uint16),  # ids of long cuts
        tables,
    )


@jit
def _find_words(marks, start, stop, end, starts):
    """Find the words of a block.

    Write where they begin and where the last one ends, and return how many
    there are. A word that goes on after the block does not count.
    """
    starts[0] = start
    n = 1
    for i in range(start + 1, stop):
        starts[n] = i
        n += marks[i]
    starts[n] = stop
    return n if stop == end or marks[stop] else n - 1


@jit
def _cut_single_words(tries, text, found, caches, best, block):
    """Look words up; cut new ones.

    Return how many words come before a long one, and the number of their ids
    that lie in the block.
    """
    starts, words, _, values, cuts, _, block_ids, _ = block
    rows, _, pool, _ = caches
    path = np.empty(LONG, np.int32)
    placed = 0
    for n in range(found):
        start = starts[n]
        length = starts[n + 1] - start
        if length > LONG:
            return n, placed
        first, last = _key(text, start, min(length, KEPT))
        row, known = find_row(rows, first, last)
        if known and length <= KEPT:
            value, cut, placed = read_row(rows, pool, row, block_ids, placed)
        else:
            cost, count = _cut_word(tries, text, start, length, best, path)
            word = _find_word(tries, text, start, length)
            value = (
                np.uint64(word) << _WORD
                | np.uint64(cost) << _COST
                | np.uint64(count)
            )
            cut, placed = make_cut(path, count, block_ids, placed)
            if length <= KEPT:
                fill_row(rows, pool, row, first, last, value, cut, path)
        words[n] = value >> _WORD
        values[n] = value
        cuts[n] = cut
    return found, placed


@inline
def _key(text, start, length):
    """Return 16 bytes as two numbers: the word, zeros and its length."""
    first = np.uint64(0)
    last = np.uint64(0)
    if start + 16 <= text.size:
        first = _load(text, np.uint64(start)) & _FIRST[length]
        last = _load(text, np.uint64(start + 8)) & _LAST[length]
    else:
        for k in range(min(length, 8)):
            first |= np.uint64(text[start + k]) << np.uint64(8 * k)
        for k in range(8, length):
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

    `best[j]` has the cost of the best cut of the first j bytes from bit 40 on,
    from bit 32 on where its last window begins, and below the slot of this
    window. So the least number is the best cut, with the longest last window.
    """
    cells, id_of_slot, costs, slot_costs, _, _ = tries
    best[0] = 0
    best[1 : length + 1] = _UNREACHED
    for i in range(length):
        before = (best[i] >> _BEST_COST << _BEST_COST) | np.uint64(
            i
        ) << _BEST_START
        t = np.uint64(text[start + i])
        cell = cells[t]
        for j in range(i + 1, length + 1):
            found = before + (np.uint64(slot_costs[t]) << _BEST_COST) + t
            if not cell & np.uint32(IS_WINDOW):
                found = _UNREACHED
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
    _, _, _, _, word_cells, word_of_slot = tries
    t = np.uint64(0)
    cell = np.uint32(0)  # the start: its base is 0
    for k in range(start, start + length):
        t, cell = step(word_cells, cell, text[k])
        if not cell:
            return np.int64(0)
    return np.int64(word_of_slot[t]) if cell & np.uint32(IS_WINDOW) else 0


@jit
def _find_groups(n, words, bonds, groups):
    """Write where groups begin and the last one ends; return their number."""
    groups[0] = 0
    count = 1
    for k in range(1, n):
        groups[count] = k
        before = words[k - 1]
        word = words[k]
        bond = is_bond(bonds, before, word) != 0
        count += 1 - ((before != 0) & (word != 0) & bond)
    groups[count] = n
    return count


@jit
def _cut_group(first, end, phrases, block):
    """Fill the tables of `cut_words` for some words of a block."""
    _, words, costs, values, _, _, _, tables = block
    best, back, back_ids, _ = tables
    for k in range(first, end):
        costs[k] = (values[k] >> _COST) & _COST_BITS
    cut_words(
        end - first, words[first:end], costs[first:end], phrases, best, back,
        back_ids
    )  # fmt: skip


@jit
def _write_groups(n, phrases, caches, block, placed, ids, written):
    """Write the ids of the first n groups; return where the next id goes."""
    _, words, _, values, cuts, groups, block_ids, _ = block
    _, rows, _, pool = caches
    longest = GROUP if phrases[1].shape[0] <= _KEY_WORDS else 1
    # The values and cuts of the first words become those of the groups.
    for g in range(n):
        first = groups[g]
        size = groups[g + 1] - first
        if size == 1:
            continue
        low, high = _group_key(words, first, size)
        row, known = find_row(rows, low, high)
        if known and size <= longest:
            values[first], cuts[first], placed = read_row(
                rows, pool, row, block_ids, placed
            )
            continue
        _cut_group(first, first + size, phrases, block)
        # What is written here is written over below.
        count = _write_path(first, size, block, ids, written) - written
        own = ids[written:]
        values[first] = count
        cuts[first], placed = make_cut(own, count, block_ids, placed)
        if size <= longest:
            fill_row(
                rows, pool, row, low, high, values[first], cuts[first], own
            )
    for g in range(n):
        first = groups[g]
        count = np.int64(values[first] & _COUNT_BITS)
        written = write_cut(count, cuts[first], block_ids, ids, written)
    return written


@inline
def _group_key(words, first, size):
    """Return the words of a group as two numbers."""
    low = np.uint64(0)
    high = np.uint64(0)
    for k in range(3):
        shift = np.uint64(k) * _KEY_BITS
        low |= np.uint64(words[first + k] * (k < size)) << shift
        high |= np.uint64(words[first + 3 + k] * (k + 3 < size)) << shift
    return low, high | np.uint64(1) << np.uint64(63)


@jit
def _write_path(first, n, block, ids, written):
    """Write the ids of n words by the tables of `cut_words`."""
    _, _, _, values, cuts, _, block_ids, tables = block
    _, back, back_ids, path = tables
    parts = 0
    at = np.int64(n)
    while at > 0:
        path[parts] = at
        parts += 1
        at = np.int64(back[at])
    for k in range(parts - 1, -1, -1):
        at = np.int64(path[k])
        phrase = back_ids[at]
        if phrase:
            ids[written] = phrase
            written += 1
        else:
            word = first + at - 1
            count = np.int64(values[word] & _COUNT_BITS)
            written = write_cut(count, cuts[word], block_ids, ids, written)
    return written
