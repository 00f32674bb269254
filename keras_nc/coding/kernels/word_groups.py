"""Numba kernels that cut groups of words.

A group is a run of words that phrases may join. The cuts of frequent groups are
in the cache. The other groups of a block are cut together.
"""

import collections

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import MOST_WORDS
from keras_nc.coding.kernels.phrases import NEAR
from keras_nc.coding.kernels.phrases import START_AT
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.phrases import find_phrases
from keras_nc.coding.kernels.phrases import is_bond
from keras_nc.coding.kernels.phrases import join_phrases
from keras_nc.coding.kernels.word_cuts import COST
from keras_nc.coding.kernels.word_cuts import COST_BITS
from keras_nc.coding.kernels.word_cuts import COUNT_BITS
from keras_nc.coding.kernels.word_cuts import fill_row
from keras_nc.coding.kernels.word_cuts import find_row
from keras_nc.coding.kernels.word_cuts import find_rows
from keras_nc.coding.kernels.word_cuts import first_row
from keras_nc.coding.kernels.word_cuts import make_cut
from keras_nc.coding.kernels.word_cuts import prefetch
from keras_nc.coding.kernels.word_cuts import read_row
from keras_nc.coding.kernels.word_cuts import write_cut
from keras_nc.coding.kernels.word_cuts import write_cut_before

LONGEST_GROUP = 6  # words of the longest group in the cache
SPARE = 4  # ids that may be written after the last one

#: Arrays that `kernels.likely` works in, for one block of text.
Block = collections.namedtuple(
    "Block",
    [
        "starts",  # where words begin
        "words",  # their numbers, as in phrases
        "costs",  # of words, each cut by itself
        "values",  # of words, see `kernels.word_cuts`
        "cuts",  # of words, see `kernels.word_cuts`
        "groups",  # at which word each group begins
        "long_ids",  # ids of long cuts
        "keys",  # of words or groups, see `find_rows`
        "group_values",  # the lowest bits: how many ids each has
        "group_cuts",  # of groups, as `cuts`
        "tables",  # see `phrases.cut_words` and `phrases.find_alive`
        "row",  # words, values, best cuts; see `_join_groups`
        "lists",  # see `phrases.find_phrases`
        "found",  # see `phrases.find_phrases`
        "ids",  # room for the ids of one group
    ],
)


@jit
def make_block(size):
    """Return a `Block` for `size` bytes of text."""
    keys = (
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int64),
    )
    tables = (
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
    )
    # Groups in the row have two words or more, and a word 0 after them.
    room = min(2 * size, MOST_WORDS)
    row = (
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty(room + NEAR + 1, np.uint64),
    )
    lists = (
        np.empty(room, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.uint8),
    )
    found = (
        np.empty(NEAR * room, np.uint64),
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty((room, 2), np.int32),
    )
    return Block(
        np.empty(size + 2, np.int64),
        np.zeros(size + LONGEST_GROUP, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size + 2, np.int64),
        # Words have at most one id for each byte, and so have groups.
        np.empty(2 * size, np.uint16),
        keys,
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        tables,
        row,
        lists,
        found,
        np.empty(size + SPARE, np.uint16),
    )


#: A group's key has 21 bits for each word. If the trie of phrases has more than
#: 2^21 nodes, groups of several words are not kept.
_KEY_BITS, _KEY_WORDS = np.uint64(21), 1 << 21

_START_BITS, _ID_BITS = np.uint64(MOST_WORDS - 1), np.uint64(0xFFFF)


@jit
def find_groups(n, words, bonds, groups):
    """Write where each group begins, and the end; return how many there are."""
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
def cut_group(first, end, phrases, block):
    """Fill the tables of `cut_words` for the words from `first` to `end`."""
    costs = block.costs[first:end]
    for k in range(end - first):
        costs[k] = (block.values[first + k] >> COST) & COST_BITS
    best, back, back_ids, _ = block.tables
    words = block.words[first:end]
    cut_words(words.size, words, costs, phrases, best, back, back_ids)


@jit
def write_groups(n, phrases, caches, block, placed, ids, written):
    """Write the ids of the first n groups; return where the next id goes."""
    groups, own = block.groups, block.ids
    firsts, lasts, places, targets, left = block.keys
    values, cuts = block.group_values, block.group_cuts
    _, rows, _, pool = caches
    longest = LONGEST_GROUP if phrases[1].shape[0] <= _KEY_WORDS else 1
    several = 0
    for g in range(n):
        first = groups[g]
        values[g] = block.values[first]
        cuts[g] = block.cuts[first]
        targets[several] = g
        several += groups[g + 1] - first > 1
    for k in range(several):
        first = groups[targets[k]]
        size = groups[targets[k] + 1] - first
        firsts[k], lasts[k] = _group_key(block.words, first, size, longest)
        places[k] = first_row(firsts[k], lasts[k])
        prefetch(rows, places[k])
    count = find_rows(
        several, rows, firsts, lasts, places, targets, values, cuts, left
    )
    unknown = 0
    for k in left[:count]:
        g = targets[k]
        row, known = find_row(rows, pool, firsts[k], lasts[k])
        if known:
            values[g], cuts[g], placed = read_row(
                rows, pool, row, block.long_ids, placed
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
            begin = _write_joined(first, size, at, block)
            at += size + 1
        else:
            cut_group(first, first + size, phrases, block)
            end = write_path(first, size, block, own, 0)
            begin = own.size - end
            own[begin:] = own[:end].copy()
        group_ids = own[begin:]
        values[g] = group_ids.size
        cuts[g], placed = make_cut(
            group_ids, group_ids.size, block.long_ids, placed
        )
        if size <= longest:
            row, _ = find_row(rows, pool, firsts[k], lasts[k])
            fill_row(
                rows, pool, row, firsts[k], lasts[k], values[g], cuts[g],
                group_ids
            )  # fmt: skip
    for g in range(n):
        size = np.int64(values[g] & COUNT_BITS)
        written = write_cut(size, cuts[g], block.long_ids, ids, written)
    return written


@jit
def _join_groups(numbers, phrases, block):
    """Find the best cuts of several groups at once.

    Put their words in a row, with word 0 after each group. Return 0, the place
    of the first group in this row, or -1 if the arrays are too small.
    """
    words, values, best = block.row
    targets = block.keys[3]
    if block.values.size > MOST_WORDS:
        return -1
    n = 0
    for k in numbers:
        first = block.groups[targets[k]]
        size = block.groups[targets[k] + 1] - first
        if n + size >= words.size:
            return -1
        for word in range(first, first + size):
            words[n] = block.words[word]
            values[n] = block.values[word]
            n += 1
        words[n] = 0
        values[n] = 0
        n += 1
    if find_phrases(n, words, phrases, block.lists, *block.found) < 0:
        return -1
    join_phrases(n, values, *block.found, best)
    return 0


@jit
def _write_joined(first, size, start, block):
    """Write the ids of a group at the end of `block.ids`.

    Return where they begin. In the row of `_join_groups`, the group begins at
    `start`.
    """
    values, cuts, best = block.values, block.cuts, block.row[2]
    end = np.uint64(block.ids.size)
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
        end = write_cut_before(count, cut, block.long_ids, block.ids, end)
    return np.int64(end)


@inline
def _group_key(words, first, size, longest):
    """Return the key of a group, two numbers that hold its words.

    If the group has more than `longest` words, no row has its key.
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
def write_path(first, n, block, ids, written):
    """Write the ids of the best cut of n words; return where the next id goes.

    The words begin at `first`, and `cut_words` has found their best cut.
    """
    _, back, back_ids, path = block.tables
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
            count = np.int64(block.values[word] & COUNT_BITS)
            written = write_cut(
                count, block.cuts[word], block.long_ids, ids, written
            )
    return written
