"""Numba kernels of the parse `likely_words`.

It is the most probable parse with rules for parts of words and for phrases,
windows of several words. A word that no phrase covers is cut by itself, and its
best cut does not depend on the words around it. So text is cut in two steps:
single words, most of them from a cache; and then words into phrases and words
by themselves. If no phrase holds two neighbouring words, there is a cut between
them, and the windows before it do not depend on those after it.
"""

import collections

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.phrase_cuts import find_phrases
from keras_nc.coding.kernels.phrase_cuts import join_words
from keras_nc.coding.kernels.phrase_cuts import part_words
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.word_cache import COUNT_BITS
from keras_nc.coding.kernels.word_cache import INLINE
from keras_nc.coding.kernels.word_cache import WORD
from keras_nc.coding.kernels.word_cuts import LONG
from keras_nc.coding.kernels.word_cuts import cut_single_words
from keras_nc.coding.kernels.word_cuts import make_walks

BLOCK = 1 << 13  # bytes of the first block
_CHUNK = 512  # bytes after which a block may end
SPARE = 4  # ids that may be written before the first one
_ID, _SIXTEEN = np.uint64(0xFFFF), np.uint64(16)

#: Arrays to work in, for one block of text.
Block = collections.namedtuple(
    "Block",
    [
        "starts",  # where words begin
        "values",  # of words, see `kernels.word_cache`
        "cuts",  # of words, see `kernels.word_cache`
        "keys",  # of words, see `kernels.word_cache.make_keys`
        "long_ids",  # ids of long cuts
        "walls",  # see `_find_walls`
        "lists",  # see `find_phrases`
        "joins",  # see `find_phrases`
        "found",  # see `find_phrases`
        "more",  # see `find_phrases`
        "best",  # see `join_words`
        "ids",  # of one part of a document; they end where this array ends
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
    )
    lists = (
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
    )
    return Block(
        np.empty(size + 2, np.int64),
        np.empty(size + 1, np.uint64),
        np.empty(size, np.uint64),
        keys,
        np.empty(size, np.uint16),
        np.empty(size + 2, np.int64),
        lists,
        np.empty(size + 1, np.uint8),
        np.empty((size, 2), np.uint64),
        np.empty(size, np.int32),
        np.empty(size + 2, np.uint64),
        # Words have at most one id for each byte.
        np.empty(size + SPARE, np.uint16),
    )


@jit
def encode_likely_words(
    cells,
    id_of_slot,
    costs,
    tries,
    phrases,
    steps,
    cache,
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
    on. Text is read in blocks, as in `encode_likely`. Returns the same as
    `kernels.longest`.

    Args:
        cells: the trie of all windows; see `kernels.trie`.
        id_of_slot: the same.
        costs: uint16, by id.
        tries: `Tries` of `kernels.word_cuts`.
        phrases: their trie; see `kernels.phrases.build_phrases`.
        steps: see `kernels.phrase_cuts.make_steps`.
        cache: see `kernels.word_cache.make_cache`.
        marks: uint8 of shape (L,), 1 where a word begins.
        text: uint8 of shape (L,).
        offsets: int64 of shape (documents + 1,).
        ids: of shape (L,), is filled.
        id_offsets: is filled.
    """
    end = offsets[-1]
    is_last_empty = offsets.size < 2 or offsets[-2] == end
    written = 0
    opened = np.int64(-1)
    block = make_block(min(BLOCK, text.size))
    walks = make_walks()
    i = offsets[0]
    d = _end_documents(i, offsets, 0, id_offsets, 0)
    while i < end:
        starts, joins, walls = block.starts, block.joins, block.walls
        size = block.found.shape[0]
        found, n = _find_words(marks, i, min(i + size, end), end, starts)
        if n == 0:  # the first word is longer than any window
            stop = starts[1]
            while stop < end and not marks[stop]:
                stop += 1
            written, _, _ = encode_range(
                cells, id_of_slot, costs, np.zeros(0, np.uint8), text, i, stop,
                ids, written, make_tables(min(stop - i, 1 << 16))
            )  # fmt: skip
            # More text may change a phrase before it, or the word itself.
            if stop == end and not is_last_empty:
                opened = i
            i = stop
            d = _end_documents(i, offsets, d, id_offsets, written)
            continue
        cut_single_words(n, tries, text, cache, walks, block)
        parts, ends = _find_walls(n, starts, offsets, d, walls)
        _join(n, parts, phrases, steps, block)
        committed = n
        if starts[n] == end:
            if not is_last_empty:  # more text may change the last word
                first = _group_start(joins, max(n - 2, walls[parts - 1]))
                back, alive = _find_alive(first, n, phrases, block)
                changes = alive > 0
                changes[n - first - 1] = True
                changes[n - first] = False
                opened = starts[
                    first + common_ancestor(back, changes, n - first)
                ]
        elif n == found and not ends and starts[n + 1] - starts[n] <= LONG:
            committed = _group_start(joins, n - 1)
            if committed == 0:
                back, alive = _find_alive(0, n, phrases, block)
                committed = common_ancestor(back, alive == 1, n)
            if committed == 0:  # nothing is certain yet: read more
                block = make_block(2 * size)
                continue
        written, d = _write_cuts(
            committed, block, offsets, d, ids, id_offsets, written
        )
        i = starts[committed]
    return written, opened


@jit
def _end_documents(i, offsets, d, id_offsets, written):
    """Write how many ids precede byte i for all documents that end there.

    `d` is the number of the next end. Return the number of the one after i.
    """
    while d < offsets.size and offsets[d] == i:
        id_offsets[d] = written
        d += 1
    return d


@jit
def _find_walls(n, starts, offsets, d, walls):
    """Find at which of n words documents begin.

    Args:
        n: int.
        starts: int64 of shape (n + 1,), where words begin and the last one
            ends.
        offsets: int64 of shape (documents + 1,).
        d: int, of the first offset after the first word's start.
        walls: int64, is filled: 0, the first word of each document, and n.

    Returns:
        How many parts of documents there are, and whether one ends with the
        last word.
    """
    walls[0] = 0
    parts = 0
    while offsets[d] < starts[n]:
        word = np.searchsorted(starts[: n + 1], offsets[d])
        if word > walls[parts]:  # else the document before is empty
            parts += 1
            walls[parts] = word
        d += 1
    walls[parts + 1] = n
    return parts + 1, offsets[d] == starts[n]


@jit
def _join(n, parts, phrases, steps, block):
    """Fill `block.joins` and `block.best` for n words."""
    find_phrases(
        block.walls[: parts + 1], block.values, phrases[2], steps, block.lists,
        block.joins, block.found, block.more
    )  # fmt: skip
    join_words(n, block.values, phrases, block.found, block.more, block.best)


@jit
def _find_words(marks, start, stop, end, starts):
    """Find the words of a block.

    Write where each word begins and where the last one ends. Of a word that
    continues after the block, its end so far is written, too. A block ends soon
    after a word of more than LONG bytes, because what follows such a word is
    read again.

    Returns:
        How many words there are, without one that continues after the block,
        and how many of them come before the first of more than LONG bytes.
    """
    starts[0] = start
    n = 1
    longest = 0
    i = start + 1
    while i < stop and longest <= LONG:
        first = n
        chunk = min(i + _CHUNK, stop)
        while i < chunk:
            starts[n] = i
            n += marks[i]
            i += 1
        starts[n] = i
        for k in range(first - 1, n):
            longest = max(longest, starts[k + 1] - starts[k])
    starts[n] = starts[n + 1] = i
    found = n if i == end or marks[i] else n - 1
    short = found
    if longest > LONG:
        short = 0
        while short < found and starts[short + 1] - starts[short] <= LONG:
            short += 1
    return found, short


@jit
def _group_start(joins, k):
    """Return the last place up to word k that no phrase goes across."""
    while k > 0 and joins[k]:
        k -= 1
    return k


@jit
def _find_alive(first, n, phrases, block):
    """Return the arguments of `common_ancestor` for words `first` to n."""
    words = (block.values[first:n] >> WORD).astype(np.int32)
    alive = np.empty(n - first + 1, np.int32)
    find_alive(words.size, words, phrases, alive)
    back = np.zeros(n - first + 1, np.int32)
    for j in range(1, n - first + 1):
        back[j] = j - part_words(block.best[first + j + 1])
    return back, alive


@jit
def _write_cuts(n, block, offsets, d, ids, id_offsets, written):
    """Write the ids of the first n words.

    Return where the next id goes, and the number of the next document's end.
    """
    values, cuts, best = block.values, block.cuts, block.best
    long_ids, own, starts = block.long_ids, block.ids, block.starts
    walls = block.walls
    part = 0
    at = np.uint64(0)
    while at < n:
        begin = at
        at = stop = np.uint64(min(walls[part + 1], n))
        part += 1
        end = np.uint64(own.size)
        while at > begin:
            cut = best[at + np.uint64(1)]
            at -= part_words(cut)
            phrase = cut & _ID
            # Without branches: none can foresee where phrases are. This number
            # has all bits for a word by itself, else none.
            single = ((phrase + _ID) >> _SIXTEEN) - np.uint64(1)
            count = values[at] & COUNT_BITS & single | np.uint64(1) & ~single
            cut = cuts[at] & single | phrase
            end -= count
            if count <= INLINE:
                # It always overwrites INLINE places, up to its end.
                cut <<= _SIXTEEN * (np.uint64(INLINE) - count)
                first = end + count - np.uint64(INLINE)
                own[first] = cut & _ID
                own[first + np.uint64(1)] = cut >> _SIXTEEN & _ID
                own[first + np.uint64(2)] = cut >> np.uint64(32) & _ID
                own[first + np.uint64(3)] = cut >> np.uint64(48)
            else:
                for k in range(count):
                    own[end + k] = long_ids[cut + k]
        size = own.size - np.int64(end)
        ids[written : written + size] = own[end:]
        written += size
        at = stop
        d = _end_documents(starts[at], offsets, d, id_offsets, written)
    return written, d
