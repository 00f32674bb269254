"""Numba kernel of the parse that looks one window ahead."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step


@jit
def encode_flexible(cells, id_of_slot, text, offsets, ids, id_offsets):
    """Take the windows after which the next window can reach furthest.

    Ties go to the longest window. Returns the same as `kernels.longest`.
    """
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            t = np.uint64(text[i])
            cell = cells[t]
            best, best_end, best_reach = t, i + 1, np.int64(-1)
            met_end = False
            j = i + 1
            while True:
                if cell & np.uint32(IS_WINDOW):
                    # One window that reaches the end is better than two.
                    reach = end + 1
                    if j < end:
                        reach, met = _longest(cells, text, j, end)
                        met_end |= met
                    if reach >= best_reach:
                        best, best_end, best_reach = t, j, reach
                if j == end:
                    met_end = True
                    break
                t, cell = step(cells, cell, text[j])
                if not cell:
                    break
                j += 1
            if met_end and opened < 0:
                opened = i
            ids[written] = id_of_slot[best]
            written += 1
            i = best_end
        id_offsets[d + 1] = written
    return written, opened


@jit
def _longest(cells, text, i, end):
    """Return where the longest window ends, and if the walk met the end."""
    cell = cells[np.uint64(text[i])]
    best = i + 1
    j = i + 1
    while j < end:
        _, cell = step(cells, cell, text[j])
        if not cell:
            return best, False
        j += 1
        if cell & np.uint32(IS_WINDOW):
            best = j
    return best, True
