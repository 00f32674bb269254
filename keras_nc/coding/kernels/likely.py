"""Numba kernels of the most probable parse (Viterbi over the windows).

Costs are integers, so the parse is the same on every machine.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

#: The penalty for an end inside a word: more than all costs in a block.
INSIDE = 1 << 40
BLOCK = 1 << 16  # bytes of the first block


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
