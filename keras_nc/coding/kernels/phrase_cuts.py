"""Numba kernels that cut numbered words into phrases and words by themselves.

The best cut of the first words is one number, a part. It describes the last
part of this cut, a phrase or a word by itself, and less is better. From bit 24
on, it has the cost of the cut. From bit 16 on, it has 255 minus the number of
words of the last part: of equal cuts, the one with the longest last part is the
best. Below is the id of this part if it is a phrase, else 0.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import CONTINUES
from keras_nc.coding.kernels.phrases import COST
from keras_nc.coding.kernels.phrases import FAIL
from keras_nc.coding.kernels.phrases import ID
from keras_nc.coding.kernels.phrases import LONGEST
from keras_nc.coding.kernels.phrases import NEXT
from keras_nc.coding.kernels.phrases import PHRASE
from keras_nc.coding.kernels.phrases import WORDS
from keras_nc.coding.kernels.phrases import find_slot
from keras_nc.coding.kernels.phrases import first_slot
from keras_nc.coding.kernels.phrases import is_bond
from keras_nc.coding.kernels.word_cache import COST as WORD_COST
from keras_nc.coding.kernels.word_cache import COST_BITS as WORD_COST_BITS
from keras_nc.coding.kernels.word_cache import WORD
from keras_nc.coding.kernels.word_cache import prefetch

_COST_AT, _WORDS_AT = np.uint64(24), np.uint64(16)
_SINGLE = np.uint64(254 << 16)  # a word by itself
# No phrase: more than any cut costs. It counts as two words, so `_add` reads
# `best[j]`, known for a while, and not `best[j + 1]`, just computed. For the
# first word this is `best[0]`.
_NONE = np.uint64(1 << 63 | 253 << 16)
_BYTE = np.uint64(0xFF)
# A word costs less than 2^24. After so many words, costs are lowered, so that
# they stay below that of `_NONE`.
_FEW = 1 << 12

# Unsigned indices save a check for negative ones.
_ONE, _TWO = np.uint64(1), np.uint64(2)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def make_steps(trie):
    """Build the table that `find_phrases` reads.

    Args:
        trie: see `kernels.phrases.build_phrases`.

    Returns:
        A hash table of edges, uint64 of shape (slots, 4), and the FAIL of each
        node, int32. A slot holds an edge's key and three numbers. The lower
        half of the first is the longest node that the child ends with, perhaps
        the child itself, and that longer phrases begin with, or 0. The upper
        half is the third longest phrase that the child ends with, or 0. The
        other two are the two longest of these phrases, as parts, or `_NONE`.
    """
    edges, nodes, _ = trie
    size = 64
    while size < 2 * np.count_nonzero(edges[:, 0]):
        size *= 2
    # NumPy asks the system for large pages: then lookups are faster.
    steps = np.zeros((size, 4), np.uint64)
    _fill_steps(edges, nodes, steps)
    return steps, nodes[:, FAIL].copy()


@jit
def _fill_steps(edges, nodes, steps):
    steps[:, 2:] = _NONE
    for slot in range(edges.shape[0]):
        key, child = edges[slot, 0], edges[slot, 1]
        if key:
            row = find_slot(steps, key >> _HALF, key & _LOW)
            steps[row, 0] = key
            phrase = np.int64(nodes[child, PHRASE])
            for k in range(2, 4):
                if phrase:
                    steps[row, k] = _part(nodes, phrase)
                    phrase = np.int64(nodes[phrase, NEXT])
            after = np.int64(child)
            if not nodes[after, CONTINUES]:
                after = np.int64(nodes[after, FAIL])
            steps[row, 1] = np.uint64(phrase) << _HALF | np.uint64(after)


@jit
def find_phrases(walls, values, bonds, steps, lists, joins, found, more):
    """Find the phrases that end with each word.

    Words fall into groups that no phrase goes across. The first pass reads the
    second word of each group, the next pass the third word, and so on. So the
    lookups of one pass do not wait for each other, and each row of the table is
    fetched before it is read. If no phrase goes on with a word, the next pass
    tries the same word after a shorter beginning of a phrase.

    Args:
        walls: int64, at which words documents begin, and the number n of words.
        values: uint64 of shape (n + 1,), of words; see `kernels.word_cache`.
            The last one may be anything.
        bonds: the filter of `kernels.phrases.is_bond`.
        steps: see `make_steps`.
        lists: three arrays of uint64 of shape (n,) to work in.
        joins: uint8 of shape (n + 1,), is filled: whether a phrase may hold
            the word and the one before it.
        found: uint64 of shape (n, 2), is filled: for each word the two longest
            phrases that end with it, as parts, or `_NONE`.
        more: int32 of shape (n,), is filled: the third longest one, or 0.
    """
    table, fails = steps
    places, keys, rows = lists
    end = np.uint64(table.shape[0] - 1)
    n = np.uint64(walls[-1])
    count = np.uint64(0)
    for part in range(walls.size - 1):
        before = joined = np.uint64(0)
        for k in range(np.uint64(walls[part]), np.uint64(walls[part + 1])):
            word = values[k] >> WORD
            both = np.uint64((before != 0) & (word != 0))
            first = ~joined
            joined = is_bond(bonds, before, word) & both
            before = word
            joins[k] = joined
            places[count] = k
            count += joined & first
            found[k, 0] = found[k, 1] = _NONE
            more[k] = 0
    joins[n] = 0
    for m in range(count):
        k = places[m]
        before, word = values[k - _ONE] >> WORD, values[k] >> WORD
        keys[m] = before << _HALF | word
        rows[m] = first_slot(before, word, end)
        prefetch(table, rows[m])
    while count:
        left = np.uint64(0)
        for m in range(count):
            k, key, row = places[m], keys[m], rows[m]
            while table[row, 0] != key and table[row, 0] != 0:
                row = (row + _ONE) & end
            if table[row, 0]:
                node = table[row, 1] & _LOW
                found[k, 0] = table[row, 2]
                found[k, 1] = table[row, 3]
                more[k] = table[row, 1] >> _HALF
                k += _ONE
            else:
                node = np.uint64(fails[key >> _HALF])
                if not node:
                    node = key & _LOW
                    k += _ONE
            word = values[k] >> WORD
            places[left] = k
            keys[left] = node << _HALF | word
            rows[left] = first_slot(node, word, end)
            prefetch(table, rows[left])
            left += np.uint64(joins[k])
        count = left


@jit
def join_words(n, values, phrases, found, more, best):
    """Find the cheapest cuts of the beginnings of n words.

    Args:
        n: int.
        values: uint64 of shape (n,), of words; see `kernels.word_cache`.
        phrases: see `kernels.phrases.build_phrases`.
        found: see `find_phrases`.
        more: the same.
        best: uint64 of shape (n + 2,), is filled: `best[j + 1]` is a part that
            describes the best cut of the first j words; `best[0]` is 0.
    """
    nodes = phrases[1]
    best[:2] = 0
    for start in range(0, n, _FEW):
        if start:
            _lower(best, start)
        least = best[start + 1]
        for j in range(np.uint64(start), np.uint64(min(start + _FEW, n))):
            own = (values[j] >> WORD_COST & WORD_COST_BITS) << _COST_AT
            least = (least >> _COST_AT << _COST_AT) + (own | _SINGLE)
            least = min(least, _add(best, j, found[j, 0]))
            least = min(least, _add(best, j, found[j, 1]))
            phrase = np.int64(more[j])
            while phrase:
                least = min(least, _add(best, j, _part(nodes, phrase)))
                phrase = np.int64(nodes[phrase, NEXT])
            best[j + _TWO] = least


@inline
def _add(best, j, part):
    """Return the part of the best cut that ends with `part` and word j."""
    start = j + (part >> _WORDS_AT & _BYTE) - np.uint64(254)
    return (best[start + _ONE] >> _COST_AT << _COST_AT) + part


@inline
def _part(nodes, phrase):
    """Return a node that is a phrase as a part."""
    words = np.uint64(255 - nodes[phrase, WORDS]) << _WORDS_AT
    cost = np.uint64(nodes[phrase, COST]) << _COST_AT
    return cost | words | np.uint64(nodes[phrase, ID])


@jit
def _lower(best, n):
    """Make the costs of the last parts smaller, all by the same number."""
    first = max(1, n + 2 - LONGEST)
    least = best[n + 1]
    for j in range(first, n + 1):
        least = min(least, best[j])
    for j in range(first, n + 2):
        best[j] -= least >> _COST_AT << _COST_AT


@inline
def part_words(part):
    """Return the number of words of a part."""
    return np.uint64(255) - (part >> _WORDS_AT & _BYTE)
