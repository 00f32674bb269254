"""Numba kernels that cut text into windows, one kernel for each parse.

They walk the trie of `_trie_kernels` and write the ids of each document's
windows. They return how many ids that were, and where in the last document
the first window begins that more text might change, -1 if none does.
"""

import numpy as np

from keras_nc.coding._jit import jit
from keras_nc.coding._trie_kernels import BASE_SHIFT
from keras_nc.coding._trie_kernels import IS_WINDOW
from keras_nc.coding._trie_kernels import NO_BYTE


@jit
def step(cells, cell, byte):
    """Give the slot of a state's child, and its cell, 0 if there is none."""
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + np.uint64(byte)
    child = cells[u]
    if np.uint64(child & np.uint32(NO_BYTE)) != np.uint64(byte):
        child = np.uint32(0)
    return u, child


@jit
def encode_closed(cells, id_of_slot, extends, text, offsets, ids, id_offsets):
    """Longest window first, where all prefixes of windows are windows."""
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = np.uint64(offsets[d])
        end = np.uint64(offsets[d + 1])
        start = i
        while i < end:
            start = i
            t = np.uint64(text[i])
            cell = cells[t]
            i += np.uint64(1)
            while i < end:
                c = np.uint64(text[i])
                u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + c
                child = cells[u]
                if np.uint64(child & np.uint32(NO_BYTE)) != c:
                    break
                cell = child
                t = u
                i += np.uint64(1)
            ids[written] = id_of_slot[t]
            written += 1
        if start < end and extends[ids[written - 1]]:
            opened = np.int64(start)
        id_offsets[d + 1] = written
    return written, opened


@jit
def encode_greedy(cells, id_of_slot, extends, text, offsets, ids, id_offsets):
    """Longest window first."""
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
            best, best_end = t, i + 1
            j = i + 1
            while j < end:
                t, cell = step(cells, cell, text[j])
                if not cell:
                    break
                j += 1
                if cell & np.uint32(IS_WINDOW):
                    best, best_end = t, j
            # If the walk met the end of the text, more of it may matter.
            longer = best_end < end or extends[id_of_slot[best]]
            if cell and longer and opened < 0:
                opened = i
            ids[written] = id_of_slot[best]
            written += 1
            i = best_end
        id_offsets[d + 1] = written
    return written, opened


@jit
def encode_aligned(cells, id_of_slot, marks, text, offsets, ids, id_offsets):
    """The longest window that ends at a word boundary, else the longest."""
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
            longest, longest_end = t, i + 1
            best, best_end = t, np.int64(0)
            j = i + 1
            while True:
                if cell & np.uint32(IS_WINDOW):
                    longest, longest_end = t, j
                    if j == end or marks[j]:
                        best, best_end = t, j
                if j == end:
                    if opened < 0:
                        opened = i
                    break
                t, cell = step(cells, cell, text[j])
                if not cell:
                    break
                j += 1
            if best_end == 0:
                best, best_end = longest, longest_end
            ids[written] = id_of_slot[best]
            written += 1
            i = best_end
        id_offsets[d + 1] = written
    return written, opened


@jit
def encode_flexible(cells, id_of_slot, text, offsets, ids, id_offsets):
    """The window after which the next one can reach furthest.

    If there are several, the longest.
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
                    # One window to the end is better than two.
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
    """Give where the longest window ends, and if the walk met the end."""
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
