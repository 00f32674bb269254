"""Numba kernels of the most probable parse into parts of words and phrases.

A phrase is a window of several words. A word that no phrase covers is cut by
itself, and its best cut does not depend on the words around it. If no phrase
holds two neighbouring words, there is a cut between them. So text falls into
groups of words that do not depend on each other, most of them single words. The
best cuts of words and of groups are found once and then kept in hash tables.
"""

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
from keras_nc.coding.kernels.cut_cache import write_cut
from keras_nc.coding.kernels.cut_cache import write_cut_before
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.phrases import MOST_WORDS
from keras_nc.coding.kernels.phrases import NEAR
from keras_nc.coding.kernels.phrases import START_AT
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.phrases import find_phrases
from keras_nc.coding.kernels.phrases import is_bond
from keras_nc.coding.kernels.phrases import join_phrases
from keras_nc.coding.kernels.word_cuts import COST
from keras_nc.coding.kernels.word_cuts import COST_BITS
from keras_nc.coding.kernels.word_cuts import COUNT_BITS
from keras_nc.coding.kernels.word_cuts import LONG
from keras_nc.coding.kernels.word_cuts import cut_single_words

BLOCK = 1 << 11  # bytes of the first block
GROUP = 6  # words of the longest group in the cache
SPARE = 4  # ids that may be written after the last one

#: Each word of a group's key has 21 bits. If the trie of phrases has more nodes
#: than that, groups of several words are not kept.
_KEY_BITS, _KEY_WORDS = np.uint64(21), 1 << 21

_START_BITS, _ID_BITS = np.uint64(MOST_WORDS - 1), np.uint64(0xFFFF)


@jit
def encode_likely_words(
    cells,
    id_of_slot,
    costs,
    slot_costs,
    least_cost,
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
        least_cost: uint64, that of the cheapest window.
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
    tries = (
        cells, id_of_slot, costs, slot_costs, word_cells, word_of_slot,
        least_cost
    )  # fmt: skip
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
            starts, words, _, values, _, groups, _, tables, _ = block[:9]
            size = values.size
            found = _find_words(marks, i, min(i + size, end), end, starts)
            n, placed = cut_single_words(
                tries, text, found, caches, best, block
            )
            if n == 0:  # the first word is longer than any window
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
                _, back, _, alive = tables
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
    keys = (
        np.empty(size, np.uint64),  # keys of words or groups in the cache
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),  # see `find_rows`
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int64),
        np.empty(size, np.uint64),  # values of groups
        np.empty(size, np.uint64),  # their cuts
    )
    lists = (
        np.empty(2 * size, np.uint64),  # see `find_phrases`
        np.empty(2 * size, np.uint64),
        np.empty(2 * size, np.uint64),
        np.empty(2 * size, np.uint8),
    )
    found = (
        np.empty(2 * size * NEAR, np.uint64),  # the same
        np.empty(2 * size, np.int32),
        np.empty(size, np.uint64),
        np.empty((size, 2), np.int32),
    )
    joined = (
        np.zeros(2 * size, np.int32),  # see `_join_groups`
        np.zeros(2 * size, np.uint64),
        np.empty(2 * size + NEAR + 1, np.uint64),  # see `join_phrases`
        lists,
        found,
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
        keys,
        joined,
        np.empty(size + SPARE, np.uint16),  # ids of one group
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


@inline
def _cut_group(first, end, phrases, block):
    """Fill the tables of `cut_words` for the words from `first` to `end`."""
    words, costs, values, tables = block[1], block[2], block[3], block[7]
    for k in range(first, end):
        costs[k] = (values[k] >> COST) & COST_BITS
    cut_words(
        end - first, words[first:end], costs[first:end], phrases, tables[0],
        tables[1], tables[2]
    )  # fmt: skip


@jit
def _write_groups(n, phrases, caches, block, placed, ids, written):
    """Write the ids of the first n groups; return where the next id goes."""
    words, values, cuts, groups, block_ids = (
        block[1], block[3], block[4], block[5], block[6]
    )  # fmt: skip
    firsts, lasts, places, targets, left, group_values, group_cuts = block[8]
    own = block[10]
    _, rows, _, pool = caches
    longest = GROUP if phrases[1].shape[0] <= _KEY_WORDS else 1
    several = 0
    for g in range(n):
        first = groups[g]
        group_values[g] = values[first]
        group_cuts[g] = cuts[first]
        targets[several] = g
        several += groups[g + 1] - first > 1
    for k in range(several):
        first = groups[targets[k]]
        size = groups[targets[k] + 1] - first
        firsts[k], lasts[k] = _group_key(words, first, size, longest)
        places[k] = first_row(firsts[k], lasts[k])
        prefetch(rows, places[k])
    count = find_rows(
        several, rows, firsts, lasts, places, targets, group_values,
        group_cuts, left
    )  # fmt: skip
    unknown = 0
    for k in left[:count]:
        g = targets[k]
        row, known = find_row(rows, pool, firsts[k], lasts[k])
        if known:
            group_values[g], group_cuts[g], placed = read_row(
                rows, pool, row, block_ids, placed
            )
        else:
            left[unknown] = k
            unknown += 1
    at = _join_groups(left[:unknown], phrases, block)
    for k in left[:unknown]:
        g = targets[k]
        first = groups[g]
        size = groups[g + 1] - first
        if at >= 0:
            begin = _write_best(first, size, at, block)
            at += size + 1
        else:
            _cut_group(first, first + size, phrases, block)
            end = _write_path(first, size, block, own, 0)
            begin = own.size - end
            own[begin:] = own[:end].copy()
        count = own.size - begin
        group_values[g] = count
        group_cuts[g], placed = make_cut(own[begin:], count, block_ids, placed)
        if size <= longest:
            row, _ = find_row(rows, pool, firsts[k], lasts[k])
            fill_row(
                rows, pool, row, firsts[k], lasts[k], group_values[g],
                group_cuts[g], own[begin:]
            )  # fmt: skip
    for g in range(n):
        size = np.int64(group_values[g] & COUNT_BITS)
        written = write_cut(size, group_cuts[g], block_ids, ids, written)
    return written


@jit
def _join_groups(numbers, phrases, block):
    """Find the best cuts of some groups, all at once.

    Put their words in a row, with word 0 between groups. Return where the first
    group begins in this row, or -1 if the tables are too small.
    """
    words, values, groups, targets = block[1], block[3], block[5], block[8][3]
    all_words, all_values, best, lists, found = block[9]
    n = 0
    for k in numbers:
        g = targets[k]
        for word in range(groups[g], groups[g + 1]):
            all_words[n] = words[word]
            all_values[n] = values[word]
            n += 1
        all_words[n] = 0
        all_values[n] = 0
        n += 1
    if n > MOST_WORDS or find_phrases(n, all_words, phrases, lists, *found) < 0:
        return -1
    join_phrases(n, all_values, *found, best)
    return 0


@jit
def _write_best(first, size, start, block):
    """Write the ids of a group so that they end where the block's array ends.

    Return where they begin. The group's words begin at `start` in the row of
    `_join_groups`.
    """
    values, cuts, block_ids, own = block[3], block[4], block[6], block[10]
    best = block[9][2]
    end = np.uint64(own.size)
    at = np.uint64(start + size)
    word = np.uint64(first) - np.uint64(start)
    while at > np.uint64(start):
        part = best[at]
        at = part >> START_AT & _START_BITS
        phrase = part & _ID_BITS
        count = values[word + at] & COUNT_BITS
        cut = cuts[word + at]
        if phrase:
            count = np.uint64(1)
            cut = phrase
        end = write_cut_before(count, cut, block_ids, own, end)
    return np.int64(end)


@inline
def _group_key(words, first, size, longest):
    """Return the key of a group: its words, in two numbers.

    No row has the key of a group of more than `longest` words.
    """
    low = np.uint64(0)
    high = np.uint64(0)
    for k in range(3):
        shift = np.uint64(k) * _KEY_BITS
        low |= np.uint64(words[first + k] * (k < size)) << shift
        high |= np.uint64(words[first + 3 + k] * (k + 3 < size)) << shift
    high |= np.uint64(size <= longest) << np.uint64(63)
    return low, high | np.uint64(size > longest)


@inline
def _write_path(first, n, block, ids, written):
    """Write the ids of n words from `first` on, by what `cut_words` found."""
    values, cuts, block_ids, tables = block[3], block[4], block[6], block[7]
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
            count = np.int64(values[word] & COUNT_BITS)
            written = write_cut(count, cuts[word], block_ids, ids, written)
    return written
