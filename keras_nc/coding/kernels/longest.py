"""Numba kernels of the parses that take the longest window.

`encode_longest` takes the longest window (greedy), or the longest window that
ends at a word boundary (aligned). `encode_flexible` takes the window after
which the longest one reaches furthest.

A step along the trie of `kernels.trie` mostly waits for memory. Two steps in
different documents take hardly longer than one, so `encode_longest` runs two
lanes at once. Each lane encodes one half of the documents. Its steps have no
branches, because the processor would mispredict the end of every window, and
Numba would not inline the steps into the loops below.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.trie import BASE_SHIFT
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import MAX_SLOTS
from keras_nc.coding.kernels.trie import NO_BYTE
from keras_nc.coding.kernels.trie import step

#: The fields of a lane: its document; the place of the next byte; the place
#: where the document ends; the slot and the cell of the open window's state
#: (cell 0 if no window is open); the best end of this window so far (see
#: `_choose`); the windows written; and the windows written when the lane first
#: reached the end of the document.
DOCUMENT, PLACE, END, SLOT, CELL, BEST, WRITTEN, MET = range(8)
LANE_FIELDS = 8
NEVER = np.uint64((1 << 64) - 1)
SLOT_BITS = np.uint64(MAX_SLOTS.bit_length() - 1)
SLOT_MASK = np.uint32(MAX_SLOTS - 1)


@jit
def encode_longest(cells, id_of_slot, extends, lengths, aligned, marks, text,
                   offsets, ids, id_offsets):  # fmt: skip
    """Write the ids of the windows of each document.

    `marks` are the word boundaries for the aligned parse, and zeros for the
    greedy parse. If the parse is greedy and all prefixes of windows are
    windows, simpler steps suffice, and `marks` is empty.

    Returns the number of ids, and where the first window that more text might
    change begins in the last document (-1 if there is none).
    """
    documents = offsets.size - 1
    half = np.searchsorted(offsets[:-1], text.size // 2)
    slots = np.empty(text.size, np.uint32)
    lanes = np.zeros((2, LANE_FIELDS), np.uint64)
    lanes[1, DOCUMENT] = half
    lanes[1, WRITTEN] = offsets[half]
    id_offsets[0] = 0
    while True:
        left = _open(lanes[0], half, cells, text, offsets, slots, id_offsets)
        right = _open(
            lanes[1], documents, cells, text, offsets, slots, id_offsets
        )
        if left == 0 and right == 0:
            break
        if left and right:
            if marks.size:
                _run_both(lanes, cells, marks, text, slots)
            else:
                _run_both_closed(lanes, cells, text, slots)
        else:
            lane = lanes[0] if left else lanes[1]
            if marks.size:
                _run(lane, cells, marks, text, slots)
            else:
                _run_closed(lane, cells, text, slots)
    # The second half wrote to its own region. Join the two.
    written = np.int64(lanes[0, WRITTEN])
    for k in range(written):
        ids[k] = id_of_slot[slots[k] & SLOT_MASK]
    gap = offsets[half] - written
    for k in range(offsets[half], np.int64(lanes[1, WRITTEN])):
        ids[written] = id_of_slot[slots[k] & SLOT_MASK]
        written += 1
    for d in range(half + 1, documents + 1):
        id_offsets[d] -= gap
    if documents == 0 or offsets[documents - 1] == text.size:
        return written, np.int64(-1)
    lane = lanes[0] if half == documents else lanes[1]
    unsure = np.int64(lane[WRITTEN] - lane[MET])
    if unsure == 1 and not aligned and not extends[ids[written - 1]]:
        return written, np.int64(-1)
    opened = text.size
    for k in range(written - unsure, written):
        opened -= np.int64(lengths[ids[k]])
    return written, opened


@jit
def _open(lane, stop, cells, text, offsets, slots, id_offsets):
    """Open a new window where a document ends; return the bytes left."""
    while lane[PLACE] == lane[END]:
        d = np.int64(lane[DOCUMENT])
        start = np.uint64(0)
        if lane[CELL]:
            lane[MET] = min(lane[MET], lane[WRITTEN])
            is_window = lane[CELL] & np.uint64(IS_WINDOW)
            slots[lane[WRITTEN]] = lane[SLOT] if is_window else lane[BEST]
            lane[WRITTEN] += np.uint64(1)
            if is_window:
                d += 1
                id_offsets[d] = lane[WRITTEN]
                lane[CELL] = 0
            else:
                start = _end_of(lane[BEST])
        if not lane[CELL]:
            while d < stop and offsets[d] == offsets[d + 1]:
                d += 1
                id_offsets[d] = lane[WRITTEN]
            lane[DOCUMENT] = d
            if d == stop:
                break
            start = np.uint64(offsets[d])
            lane[END] = offsets[d + 1]
            lane[MET] = NEVER
        lane[SLOT] = text[start]
        lane[CELL] = cells[lane[SLOT]]
        lane[BEST] = 0
        lane[PLACE] = start + np.uint64(1)
    return lane[END] - lane[PLACE]


@jit
def _run_both(lanes, cells, marks, text, slots):
    """Advance both lanes until one reaches the end of its document."""
    i, t, x, w = (lanes[0, PLACE], lanes[0, SLOT], lanes[0, BEST],
                  lanes[0, WRITTEN])  # fmt: skip
    j, u, y, v = (lanes[1, PLACE], lanes[1, SLOT], lanes[1, BEST],
                  lanes[1, WRITTEN])  # fmt: skip
    a, b = np.uint32(lanes[0, CELL]), np.uint32(lanes[1, CELL])
    i_end, j_end = lanes[0, END], lanes[1, END]
    while i < i_end and j < j_end:
        i, t, a, x, w = _choose(cells, marks, text, slots, i, t, a, x, w)
        j, u, b, y, v = _choose(cells, marks, text, slots, j, u, b, y, v)
    lanes[0, PLACE], lanes[0, SLOT], lanes[0, CELL] = i, t, a
    lanes[1, PLACE], lanes[1, SLOT], lanes[1, CELL] = j, u, b
    lanes[0, BEST], lanes[0, WRITTEN] = x, w
    lanes[1, BEST], lanes[1, WRITTEN] = y, v


@jit
def _run(lane, cells, marks, text, slots):
    """Advance one lane to the end of its document."""
    i, t, x, w = lane[PLACE], lane[SLOT], lane[BEST], lane[WRITTEN]
    a = np.uint32(lane[CELL])
    end = lane[END]
    while i < end:
        i, t, a, x, w = _choose(cells, marks, text, slots, i, t, a, x, w)
    lane[PLACE], lane[SLOT], lane[CELL] = i, t, a
    lane[BEST], lane[WRITTEN] = x, w


@jit
def _choose(cells, marks, text, slots, i, t, cell, best, w):
    """Read a byte, or end the window at its best end and open the next one.

    An end is one number. From the highest bit down, it holds the mark of the
    place, the place, and the slot. The best end is the largest number.
    """
    byte = np.uint64(text[i])
    here = np.uint64(marks[i]) << np.uint64(63) | i << SLOT_BITS | t
    is_window = np.uint64(cell >> np.uint32(9)) & np.uint64(1)
    here &= np.uint64(0) - is_window
    best = here if here > best else best
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + byte
    child = cells[u]
    end = _end_of(best)
    first = np.uint64(text[end])
    root = cells[first]
    longer = np.uint64(child & np.uint32(NO_BYTE)) == byte
    slots[w] = best  # the lower bits; overwritten unless the window ends here
    w += np.uint64(0) if longer else np.uint64(1)
    i = i if longer else end
    t = u if longer else first
    cell = child if longer else root
    best = best if longer else np.uint64(0)
    return i + np.uint64(1), t, cell, best, w


@jit
def _end_of(best):
    return (best << np.uint64(1)) >> (SLOT_BITS + np.uint64(1))


@jit
def _run_both_closed(lanes, cells, text, slots):
    """Advance both lanes until one reaches the end of its document."""
    i, t, w = lanes[0, PLACE], lanes[0, SLOT], lanes[0, WRITTEN]
    j, u, v = lanes[1, PLACE], lanes[1, SLOT], lanes[1, WRITTEN]
    a, b = np.uint32(lanes[0, CELL]), np.uint32(lanes[1, CELL])
    i_end, j_end = lanes[0, END], lanes[1, END]
    while i < i_end and j < j_end:
        i, t, a, w = _advance(cells, text, slots, i, t, a, w)
        j, u, b, v = _advance(cells, text, slots, j, u, b, v)
    lanes[0, PLACE], lanes[0, SLOT], lanes[0, WRITTEN] = i, t, w
    lanes[1, PLACE], lanes[1, SLOT], lanes[1, WRITTEN] = j, u, v
    lanes[0, CELL], lanes[1, CELL] = a, b


@jit
def _run_closed(lane, cells, text, slots):
    """Advance one lane to the end of its document."""
    i, t, w = lane[PLACE], lane[SLOT], lane[WRITTEN]
    a = np.uint32(lane[CELL])
    end = lane[END]
    while i < end:
        i, t, a, w = _advance(cells, text, slots, i, t, a, w)
    lane[PLACE], lane[SLOT], lane[WRITTEN], lane[CELL] = i, t, w, a


@jit
def _advance(cells, text, slots, i, t, cell, w):
    """Read a byte: the window grows, or it ends and the next one begins."""
    byte = np.uint64(text[i])
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + byte
    child = cells[u]
    root = cells[byte]
    longer = np.uint64(child & np.uint32(NO_BYTE)) == byte
    slots[w] = t  # overwritten unless the window ends here
    w += np.uint64(0) if longer else np.uint64(1)
    t = u if longer else byte
    cell = child if longer else root
    return i + np.uint64(1), t, cell, w


@jit
def encode_flexible(cells, id_of_slot, text, offsets, ids, id_offsets):
    """Take the windows after which the next window can reach furthest.

    Ties go to the longest window. Returns the same as `encode_longest`.
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
                        reach, met = _longest_end(cells, text, j, end)
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
def _longest_end(cells, text, i, end):
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
