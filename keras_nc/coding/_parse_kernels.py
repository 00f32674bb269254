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

#: What a lane of `encode_closed` is at: its document, the next byte of it and
#: its end; slot and cell of the window that is open, no cell if none is; how
#: many ids are written.
DOCUMENT, PLACE, END, SLOT, CELL, WRITTEN = range(6)
LANE_FIELDS = 6


@jit
def step(cells, cell, byte):
    """Give the slot of a state's child, and its cell, 0 if there is none."""
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + np.uint64(byte)
    child = cells[u]
    if np.uint64(child & np.uint32(NO_BYTE)) != np.uint64(byte):
        child = np.uint32(0)
    return u, child


@jit
def encode_closed(
    cells, id_of_slot, extends, lengths, text, offsets, ids, id_offsets
):
    """Longest window first, where all prefixes of windows are windows.

    A step waits for memory most of its time, so that two of them, each in a
    document of its own, take hardly longer than one: one lane works on the
    first half of the documents, the other on the second.
    """
    documents = offsets.size - 1
    half = np.searchsorted(offsets[:-1], text.size // 2)
    lanes = np.zeros((2, LANE_FIELDS), np.uint64)
    lanes[1, DOCUMENT] = half
    lanes[1, WRITTEN] = offsets[half]
    id_offsets[0] = 0
    while True:
        left = _open(lanes[0], half, cells, id_of_slot, text, offsets, ids,
                     id_offsets)  # fmt: skip
        right = _open(lanes[1], documents, cells, id_of_slot, text, offsets,
                      ids, id_offsets)  # fmt: skip
        if left == 0 and right == 0:
            break
        if left and right:
            _run_both(lanes, min(left, right), cells, id_of_slot, text, ids)
        elif left:
            _run(lanes[0], left, cells, id_of_slot, text, ids)
        else:
            _run(lanes[1], right, cells, id_of_slot, text, ids)
    # The second half wrote where it could not meet the first.
    written = np.int64(lanes[0, WRITTEN])
    gap = offsets[half] - written
    for k in range(offsets[half], np.int64(lanes[1, WRITTEN])):
        ids[written] = ids[k]
        written += 1
    for d in range(half + 1, documents + 1):
        id_offsets[d] -= gap
    opened = np.int64(-1)
    if documents and offsets[documents - 1] < text.size:
        last = ids[written - 1]
        if extends[last]:
            opened = text.size - np.int64(lengths[last])
    return written, opened


@jit
def _open(lane, stop, cells, id_of_slot, text, offsets, ids, id_offsets):
    """Go on to the next document if one has ended; count the bytes to go."""
    while lane[PLACE] == lane[END]:
        d = np.int64(lane[DOCUMENT])
        if lane[CELL]:  # its last window
            ids[lane[WRITTEN]] = id_of_slot[lane[SLOT]]
            lane[WRITTEN] += np.uint64(1)
            lane[CELL] = 0
            d += 1
            id_offsets[d] = lane[WRITTEN]
        while d < stop and offsets[d] == offsets[d + 1]:
            d += 1
            id_offsets[d] = lane[WRITTEN]
        lane[DOCUMENT] = d
        if d == stop:
            break
        lane[SLOT] = text[offsets[d]]
        lane[CELL] = cells[lane[SLOT]]
        lane[PLACE] = offsets[d] + 1
        lane[END] = offsets[d + 1]
    return lane[END] - lane[PLACE]


@jit
def _run_both(lanes, n, cells, id_of_slot, text, ids):
    """Take both lanes n bytes further."""
    i, t, w = lanes[0, PLACE], lanes[0, SLOT], lanes[0, WRITTEN]
    j, u, v = lanes[1, PLACE], lanes[1, SLOT], lanes[1, WRITTEN]
    a, b = np.uint32(lanes[0, CELL]), np.uint32(lanes[1, CELL])
    for _ in range(n):
        i, t, a, w = _advance(cells, id_of_slot, text, ids, i, t, a, w)
        j, u, b, v = _advance(cells, id_of_slot, text, ids, j, u, b, v)
    lanes[0, PLACE], lanes[0, SLOT], lanes[0, WRITTEN] = i, t, w
    lanes[1, PLACE], lanes[1, SLOT], lanes[1, WRITTEN] = j, u, v
    lanes[0, CELL], lanes[1, CELL] = a, b


@jit
def _run(lane, n, cells, id_of_slot, text, ids):
    """Take one lane n bytes further."""
    i, t, w = lane[PLACE], lane[SLOT], lane[WRITTEN]
    a = np.uint32(lane[CELL])
    for _ in range(n):
        i, t, a, w = _advance(cells, id_of_slot, text, ids, i, t, a, w)
    lane[PLACE], lane[SLOT], lane[WRITTEN], lane[CELL] = i, t, w, a


@jit
def _advance(cells, id_of_slot, text, ids, i, t, cell, w):
    """Go on by a byte: a longer window, or the end of one and another.

    There is no branch, which would be guessed wrongly at every window's end,
    and would keep Numba from making this part of the loops above.
    """
    byte = np.uint64(text[i])
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + byte
    child = cells[u]
    root = cells[byte]
    longer = np.uint64(child & np.uint32(NO_BYTE)) == byte
    ids[w] = id_of_slot[t]  # written over by the next one if not at its end
    w += np.uint64(0) if longer else np.uint64(1)
    t = u if longer else byte
    cell = child if longer else root
    return i + np.uint64(1), t, cell, w


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
        i = np.uint64(offsets[d])
        end = np.uint64(offsets[d + 1])
        while i < end:
            t = np.uint64(text[i])
            cell = cells[t]
            longest, longest_end = t, i + np.uint64(1)
            best, best_end = t, np.uint64(0)
            j = i + np.uint64(1)
            while j < end:
                # Selections, not branches, which would be guessed wrongly.
                is_window = (cell & np.uint32(IS_WINDOW)) != 0
                longest = t if is_window else longest
                longest_end = j if is_window else longest_end
                at_boundary = is_window and marks[j] != 0
                best = t if at_boundary else best
                best_end = j if at_boundary else best_end
                byte = np.uint64(text[j])
                t = np.uint64(cell >> np.uint32(BASE_SHIFT)) + byte
                cell = cells[t]
                if np.uint64(cell & np.uint32(NO_BYTE)) != byte:
                    break
                j += np.uint64(1)
            else:
                if opened < 0:
                    opened = np.int64(i)
                if cell & np.uint32(IS_WINDOW):
                    best, best_end = t, j
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
