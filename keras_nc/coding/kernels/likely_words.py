"""Numba kernels of the most probable parse into parts of words and phrases.

A phrase is a window of several words. A word that no phrase covers is cut by
itself, and its best cut does not depend on the words around it. If no phrase
holds two neighbouring words, there is a cut between them. So the text falls
into groups of words, most of them single words. The best cut of a group does
not depend on the other groups. Hash tables keep the best cuts of words and
groups.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.word_block import make_block
from keras_nc.coding.kernels.word_cuts import LONG
from keras_nc.coding.kernels.word_cuts import cut_single_words
from keras_nc.coding.kernels.word_groups import cut_group
from keras_nc.coding.kernels.word_groups import find_groups
from keras_nc.coding.kernels.word_groups import write_groups
from keras_nc.coding.kernels.word_groups import write_path

BLOCK = 1 << 11  # bytes of the first block


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
    block = make_block(BLOCK)
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
