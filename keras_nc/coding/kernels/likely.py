"""Numba kernels of the most probable parse (Viterbi over the windows).

Costs are integers, so the parse is the same on every machine.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

#: Added for an end inside a word: more than all costs in a block.
INSIDE = 1 << 40
BLOCK = 1 << 16  # bytes that are looked at together at first


@jit
def encode_likely(
    cells, id_of_slot, costs, marks, text, offsets, ids, id_offsets
):
    """The windows that cost least in all.

    With marks, ends inside words cost INSIDE more; without, `marks` is empty.
    Of parses that cost the same, the one with the longest last window is
    taken, and so on backwards. Text is looked at in blocks. A block ends
    where no more text can change what comes before, so that the result is
    that of the whole text at once. See `kernels.longest` for what is returned.
    """
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    size = min(BLOCK, max(text.size, 1))
    best, back, back_ids, alive = _tables(size)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            n = min(size, end - i)
            _relax(cells, id_of_slot, costs, marks, text, i, n, end, best,
                   back, back_ids, alive)  # fmt: skip
            settled = _common_ancestor(back, alive, n)
            if i + n == end:
                if settled < n:
                    opened = i + settled
                settled = n
            elif settled == 0:  # nothing is sure yet: look further
                size *= 2
                best, back, back_ids, alive = _tables(size)
                continue
            count = 0
            at = settled
            while at > 0:
                at = np.int64(back[at])
                count += 1
            at = settled
            for k in range(written + count - 1, written - 1, -1):
                ids[k] = back_ids[at]
                at = np.int64(back[at])
            written += count
            i += settled
        id_offsets[d + 1] = written
    return written, opened


@jit
def _tables(size):
    return (
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.bool_),
    )


@jit
def _relax(cells, id_of_slot, costs, marks, text, start, n, end, best, back,
           back_ids, alive):  # fmt: skip
    """Find the best parses of the first bytes of a block of n.

    `best[j]` is what the first j bytes cost, and their last window begins at
    `back[j]`. `alive[j]`: whether a window could reach from j out of the
    block.
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
def _common_ancestor(back, alive, n):
    """Give the last position on the best parses up to all alive ones."""
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
