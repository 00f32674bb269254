"""Numba kernels that walk the windows of a codebook as a double array.

A state of the trie is a slot `t`. Slot t holds one uint32, a cell: the base
of its children in the upper 23 bits and the byte that leads to it in the
lower 9. The child of a state by byte c sits at slot `base + c`, and is there
if the cell's lower bits equal c. No two states with children have the same
base, which makes the byte alone a sufficient check. Free slots hold a byte of
NO_BYTE. The start state's base is 0, so slots 0 to 255 are the single bytes.
States without children share one base, before 256 free slots.
"""

import numpy as np

from keras_nc.coding._jit import jit

LABEL_BITS = 9
NO_BYTE = 511


@jit
def build(lengths, starts, content):
    """Place windows, given by id in lexicographic order, in slots.

    Returns cells, the id of each slot (int32), and for each id where the ids
    of its extensions stop (int32).
    """
    ids = lengths.size
    parent = np.zeros(ids, np.int32)  # 0 stands for the start state
    label = np.zeros(ids, np.int32)
    children = np.zeros(ids, np.int32)
    stops = np.zeros(ids, np.int32)
    path = np.zeros(257, np.int32)  # the last id seen at each depth
    depth = 0
    for i in range(ids):
        n = np.int64(lengths[i])
        if n == 0:
            continue
        for d in range(n, depth + 1):
            stops[path[d]] = i
        depth = n
        path[n] = i
        parent[i] = path[n - 1]
        label[i] = content[starts[i] + n - 1]
        children[parent[i]] += 1
    for d in range(1, depth + 1):
        stops[path[d]] = ids

    # The children of each state, grouped by a counting sort.
    first = np.zeros(ids + 1, np.int32)
    for i in range(ids):
        first[i + 1] = first[i] + children[i]
    grouped = np.zeros(first[ids], np.int32)
    filled = first[:-1].copy()
    for i in range(ids):
        if lengths[i]:
            grouped[filled[parent[i]]] = i
            filled[parent[i]] += 1
    slot, base, end = _place(children, first, grouped, label)

    # From the last base, and from the base of leaves, 256 slots are in reach.
    leaf = end + 256
    cells = np.full(leaf + 256, NO_BYTE, np.uint32)
    id_of_slot = np.zeros(leaf + 256, np.uint16)
    for i in range(ids):
        if lengths[i]:
            b = base[i] if children[i] else leaf
            cells[slot[i]] = (np.uint32(b) << LABEL_BITS) | np.uint32(label[i])
            id_of_slot[slot[i]] = i
    return cells, id_of_slot, stops


@jit
def _place(children, first, grouped, label):
    """Find a slot for every window and a base for every parent, first fit.

    Parents with many children, which are also the common ones, come first;
    those with one child fill the gaps.
    """
    ids = children.size
    slot = np.zeros(ids, np.int32)
    base = np.zeros(ids, np.int32)
    for j in range(first[0], first[1]):
        slot[grouped[j]] = label[grouped[j]]
    end = 256
    # Free slots from 256 on are a linked list, closed at slot 0.
    capacity = 4 * ids + 1024
    after = np.arange(1, capacity + 1).astype(np.int32)
    before = np.arange(-1, capacity - 1).astype(np.int32)
    after[0], before[256], after[capacity - 1] = 256, 0, 0
    before[0] = capacity - 1
    taken = np.zeros(capacity, np.bool_)
    taken[:256] = True
    base_used = np.zeros(capacity, np.bool_)
    base_used[0] = True
    order = np.argsort(-children[1:], kind="mergesort") + 1
    for i in order:
        if children[i] == 0:
            break
        lo, hi = first[i], first[i + 1]
        lowest = label[grouped[lo]]
        t = after[0]
        searched = 0
        while True:
            b = t - lowest
            if b > 0 and not base_used[b]:
                fits = True
                for j in range(lo + 1, hi):
                    if taken[b + label[grouped[j]]]:
                        fits = False
                        break
                if fits:
                    break
            t = after[t]
            searched += 1
            # A long search is not worth the few slots that it saves.
            if searched > 16000 and hi - lo > 1 and t < end:
                t = end
        base[i] = b
        base_used[b] = True
        for j in range(lo, hi):
            u = b + label[grouped[j]]
            slot[grouped[j]] = u
            taken[u] = True
            after[before[u]] = after[u]
            before[after[u]] = before[u]
            end = max(end, u + 1)
        if end + 512 > capacity:
            more = np.arange(capacity, 2 * capacity).astype(np.int32)
            last = before[0]
            after = np.concatenate((after, more + np.int32(1)))
            before = np.concatenate((before, more - np.int32(1)))
            after[last], before[capacity] = capacity, last
            more_room = np.zeros(capacity, np.bool_)
            taken = np.concatenate((taken, more_room))
            base_used = np.concatenate((base_used, more_room))
            capacity *= 2
            after[capacity - 1], before[0] = 0, capacity - 1
    return slot, base, end


@jit
def encode(cells, id_of_slot, text, offsets, ids, id_offsets):
    """Write the ids of each document's windows, longest window first."""
    written = 0
    id_offsets[0] = 0
    for d in range(offsets.size - 1):
        i = np.uint64(offsets[d])
        end = np.uint64(offsets[d + 1])
        while i < end:
            t = np.uint64(text[i])
            cell = cells[t]
            i += np.uint64(1)
            while i < end:
                c = np.uint64(text[i])
                u = np.uint64(cell >> np.uint32(LABEL_BITS)) + c
                child = cells[u]
                if np.uint64(child & np.uint32(NO_BYTE)) != c:
                    break
                cell = child
                t = u
                i += np.uint64(1)
            ids[written] = id_of_slot[t]
            written += 1
        id_offsets[d + 1] = written
    return written


@jit
def find(cells, id_of_slot, text):
    """Give the id of the window that equals the text, or -1."""
    t = np.uint64(text[0])
    for i in range(1, text.size):
        c = np.uint64(text[i])
        t = np.uint64(cells[t] >> np.uint32(LABEL_BITS)) + c
        if np.uint64(cells[t] & np.uint32(NO_BYTE)) != c:
            return -1
    return np.int64(id_of_slot[t])


@jit
def decode(heads, tails, words, ids, text):
    """Write the bytes of ids; the text has 8 bytes of room at its end.

    A window lies in words of 8 bytes, first byte lowest: the first word in
    `heads`, the others in `words`. `tails` has the length of the window in
    its lower 8 bits, and in the upper ones where the other words start. Words
    are written whole, and the next window writes over what is too much.
    Returns the number of bytes, or -1 - i if ids[i] has no window.
    """
    at = np.uint64(0)
    for i in range(ids.size):
        k = np.uint64(ids[i])
        tail = np.uint64(tails[k])
        n = tail & np.uint64(255)
        _store(text, at, heads[k])
        if n > np.uint64(8):
            word = tail >> np.uint64(8)
            for done in range(np.uint64(8), n, np.uint64(8)):
                _store(text, at + done, words[word])
                word += np.uint64(1)
        elif n == np.uint64(0):
            return -1 - i
        at += n
    return np.int64(at)


@jit
def _store(text, at, word):
    # Eight stores of shifted bytes become one store of 8 bytes.
    text[at] = np.uint8(word)
    text[at + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    text[at + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    text[at + np.uint64(3)] = np.uint8(word >> np.uint64(24))
    text[at + np.uint64(4)] = np.uint8(word >> np.uint64(32))
    text[at + np.uint64(5)] = np.uint8(word >> np.uint64(40))
    text[at + np.uint64(6)] = np.uint8(word >> np.uint64(48))
    text[at + np.uint64(7)] = np.uint8(word >> np.uint64(56))
