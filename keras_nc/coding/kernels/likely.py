"""Numba kernels of the most probable parse (Viterbi over the windows).

Costs are integers, so the parse is the same on every machine.

`encode_likely` looks at every byte of a text. `encode_likely_words` has rules
for parts of words and for phrases, windows of several words. A word that no
phrase covers is cut by itself, and its best cut does not depend on the words
around it. If no phrase holds two neighbouring words, there is a cut between
them. So the text falls into groups of words, most of them single words. The
best cut of a group does not depend on the other groups. Hash tables keep the
best cuts of words and groups.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step
from keras_nc.coding.kernels.word_cuts import LONG
from keras_nc.coding.kernels.word_cuts import cut_single_words
from keras_nc.coding.kernels.word_groups import cut_group
from keras_nc.coding.kernels.word_groups import find_groups
from keras_nc.coding.kernels.word_groups import make_block
from keras_nc.coding.kernels.word_groups import write_groups
from keras_nc.coding.kernels.word_groups import write_path

#: The penalty for an end inside a word: more than all costs in a block.
INSIDE = 1 << 40
BLOCK = 1 << 16  # bytes of the first block
WORDS_BLOCK = 1 << 11  # the same for `encode_likely_words`


@jit
def encode_likely(
    cells, id_of_slot, costs, marks, text, offsets, ids, id_offsets
):
    """Take the windows with the smallest total cost.

    With marks, a window that ends inside a word costs INSIDE more. An empty
    `marks` turns this off. Ties go to the segmentation whose last window is
    longest, then the one before it, and so on. Text is read in blocks. From
    each block, only windows that later text cannot change are kept, so the
    result does not depend on the block size. Returns the same as
    `kernels.longest`.
    """
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    tables = make_tables(min(BLOCK, max(text.size, 1)))
    for d in range(offsets.size - 1):
        written, opened, tables = encode_range(
            cells, id_of_slot, costs, marks, text, offsets[d], offsets[d + 1],
            ids, written, tables
        )  # fmt: skip
        id_offsets[d + 1] = written
    return written, opened


@jit
def encode_range(
    cells, id_of_slot, costs, marks, text, i, end, ids, written, tables
):
    """Cut `text[i:end]`, which is a document, and write its ids from `written`.

    Returns where the next id goes, where the first window that more text might
    change begins (-1 if there is none), and tables, which may be larger ones.
    """
    opened = np.int64(-1)
    best, back, back_ids, alive = tables
    while i < end:
        size = best.size - 1
        n = min(size, end - i)
        relax(cells, id_of_slot, costs, marks, text, i, n, end, best, back,
              back_ids, alive)  # fmt: skip
        committed = common_ancestor(back, alive, n)
        if i + n == end:
            if committed < n:
                opened = i + committed
            committed = n
        elif committed == 0:  # nothing is certain yet: read more
            best, back, back_ids, alive = make_tables(2 * size)
            continue
        count = 0
        at = committed
        while at > 0:
            at = np.int64(back[at])
            count += 1
        at = committed
        for k in range(written + count - 1, written - 1, -1):
            ids[k] = back_ids[at]
            at = np.int64(back[at])
        written += count
        i += committed
    return written, opened, (best, back, back_ids, alive)


@jit
def make_tables(size):
    """Return the tables of `relax` for a block of bytes."""
    return (
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.bool_),
    )


@jit
def relax(cells, id_of_slot, costs, marks, text, start, n, end, best, back,
          back_ids, alive):  # fmt: skip
    """Find the best segmentations of the beginnings of a block of n bytes.

    The first j bytes cost `best[j]`, and their last window begins at
    `back[j]`. `alive[j]` tells whether a window that begins at j can reach
    beyond the block.
    """
    best[: n + 1] = np.iinfo(np.int64).max
    best[0] = 0
    alive[n] = True
    for i in range(n):
        t = np.uint64(text[start + i])
        cell = cells[t]
        j = i + 1
        while True:
            if cell & np.uint32(IS_WINDOW):
                k = id_of_slot[t]
                cost = best[i] + np.int64(costs[k])
                at = start + j
                if marks.size > 0 and at < end and not marks[at]:
                    cost += INSIDE
                if cost < best[j]:
                    best[j] = cost
                    back[j] = i
                    back_ids[j] = k
            if j == n:
                break
            t, cell = step(cells, cell, text[start + j])
            if not cell:
                break
            j += 1
        alive[i] = cell != 0


@jit
def common_ancestor(back, alive, n):
    """Return the last place on the best paths to all alive places."""
    marked = alive[: n + 1].copy()
    several = 0
    for i in range(n + 1):
        several += marked[i]
    at = n
    while several > 1:
        if marked[at]:
            several -= 1
            if not marked[back[at]]:
                marked[back[at]] = True
                several += 1
        at -= 1
    while not marked[at]:
        at -= 1
    return at


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
    on. Text is read in blocks, as in `encode_likely`. Returns the same as
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
        caches: of words and of groups, a tuple; see `kernels.word_cuts`.
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
    block = make_block(WORDS_BLOCK)
    best = np.empty(LONG + 1, np.uint64)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            starts, words, groups = block.starts, block.words, block.groups
            size = block.values.size
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
            count = find_groups(n, words, phrases[2], groups)
            # More text may change the last groups: they are cut below.
            ends = starts[n] == end
            if ends and d == offsets.size - 2:
                while count > 0 and groups[count] > max(n - 2, 0):
                    count -= 1
            elif not ends and n == found:
                count -= 1
            written = write_groups(
                count, phrases, caches, block, placed, ids, written
            )
            first = groups[count]
            if first < n and (ends or count == 0):
                _, back, _, alive = block.tables
                cut_group(first, n, phrases, block)
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
                        block = make_block(2 * size)
                        continue
                written = write_path(first, committed, block, ids, written)
                first += committed
            i = starts[first]
        id_offsets[d + 1] = written
    return written, opened


@jit
def _find_words(marks, start, stop, end, starts):
    """Find the words of a block.

    Write where each word begins and where the last one ends. Return how many
    there are, without a word that continues after the block.
    """
    starts[0] = start
    n = 1
    for i in range(start + 1, stop):
        starts[n] = i
        n += marks[i]
    starts[n] = stop
    return n if stop == end or marks[stop] else n - 1
