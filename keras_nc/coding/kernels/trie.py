"""Numba kernels that make and read the tables of a codebook's trie.

The states of the trie are the windows and all their prefixes. They lie in a
double array: a state is a slot `t`, and slot t holds one uint32, a cell:

    bits 0 to 8    the byte that leads to the state, NO_BYTE in a free slot
    bit 9          whether the state is a window, and may end here
    bits 10 to 31  the base of its children

The child of a state by byte c is at slot `base + c`. It exists if the lowest
bits of that cell equal c. No two states with children have the same base, so
checking the byte is enough. The start state has base 0, so slots 0 to 255 are
the single bytes. States without children share one base, which points to 256
free slots.
"""

import numpy as np

from keras_nc.coding.kernels import jit

NO_BYTE = 511
IS_WINDOW = 1 << 9
BASE_SHIFT = 10
MAX_SLOTS = 1 << 22
BLOCK = 16  # bytes that decoding copies at a time
LONGEST_SEARCH = 500  # for a place of several children


@jit
def count_states(lengths, starts, content):
    """Count the distinct prefixes of windows in lexicographic order."""
    states = 0
    previous = -1
    for i in range(lengths.size):
        n = np.int64(lengths[i])
        if n == 0:
            continue
        states += n
        if previous >= 0:
            states -= _common(content, starts, lengths, previous, i)
        previous = i
    return states


@jit
def _common(content, starts, lengths, i, j):
    """Count the bytes that two windows have in common at the start."""
    n = min(np.int64(lengths[i]), np.int64(lengths[j]))
    for d in range(n):
        if content[starts[i] + d] != content[starts[j] + d]:
            return d
    return n


@jit
def build(lengths, starts, content, states):
    """Place windows, given by id in lexicographic order, in slots.

    Returns the cells, the id of each slot (int32, 0 if the state is not a
    window), and for each id whether longer windows begin with its window
    (bool).
    """
    # State 0 is the start; the others are numbered in lexicographic order.
    parent = np.zeros(states + 1, np.int32)
    label = np.zeros(states + 1, np.int32)
    own_id = np.zeros(states + 1, np.int32)
    children = np.zeros(states + 1, np.int32)
    path = np.zeros(257, np.int32)  # the last state at each depth
    made = 0
    previous = -1
    for i in range(lengths.size):
        n = np.int64(lengths[i])
        if n == 0:
            continue
        d = 0
        if previous >= 0:
            d = _common(content, starts, lengths, previous, i)
        for depth in range(d + 1, n + 1):
            made += 1
            path[depth] = made
            parent[made] = path[depth - 1]
            label[made] = content[starts[i] + depth - 1]
            children[path[depth - 1]] += 1
        own_id[made] = i
        previous = i

    # The children of each state, grouped by a counting sort.
    first = np.zeros(states + 2, np.int32)
    for s in range(states + 1):
        first[s + 1] = first[s] + children[s]
    grouped = np.zeros(states, np.int32)
    filled = first[:-1].copy()
    for s in range(1, states + 1):
        grouped[filled[parent[s]]] = s
        filled[parent[s]] += 1
    slot, base, end = _place(children, first, grouped, label)

    # The last base and the base of leaves need 256 slots after them.
    leaf = end + 256
    cells = np.full(leaf + 256, NO_BYTE, np.uint32)
    id_of_slot = np.zeros(leaf + 256, np.int32)
    extends = np.zeros(lengths.size, np.bool_)
    for s in range(1, states + 1):
        b = base[s] if children[s] else leaf
        cell = (np.uint32(b) << np.uint32(BASE_SHIFT)) | np.uint32(label[s])
        if own_id[s]:
            cell |= np.uint32(IS_WINDOW)
            id_of_slot[slot[s]] = own_id[s]
            extends[own_id[s]] = children[s] > 0
        cells[slot[s]] = cell
    return cells, id_of_slot, extends


@jit
def _place(children, first, grouped, label):
    """Find a slot for every state and a base for every parent, first fit.

    Parents with many children come first. They are also the ones in frequent
    use. Parents with one child fill the gaps. A place that did not fit one of
    them fits no later one with the same byte, so each search begins where the
    last one for this byte ended.
    """
    states = children.size
    slot = np.zeros(states, np.int32)
    base = np.zeros(states, np.int32)
    for j in range(first[0], first[1]):
        slot[grouped[j]] = label[grouped[j]]
    end = 256
    # Free slots from 256 on are a linked list, closed at slot 0.
    capacity = 4 * states + 1024
    after = np.arange(1, capacity + 1).astype(np.int32)
    before = np.arange(-1, capacity - 1).astype(np.int32)
    after[0], before[256], after[capacity - 1] = 256, 0, 0
    before[0] = capacity - 1
    taken = np.zeros(capacity, np.bool_)
    taken[:256] = True
    base_used = np.zeros(capacity, np.bool_)
    base_used[0] = True
    resume = np.full(256, after[0], np.int32)  # slots, for single bytes
    order = np.argsort(-children[1:], kind="mergesort") + 1
    for i in order:
        if children[i] == 0:
            break
        lo, hi = first[i], first[i + 1]
        lowest = label[grouped[lo]]
        single = hi == lo + 1
        t = resume[lowest] if single else after[0]
        while taken[t]:  # since the search that ended there
            t = after[t]
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
            # A long search saves too few slots.
            if not single and searched > LONGEST_SEARCH and t < end:
                t = end
        if single:
            resume[lowest] = t
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
            added = np.arange(capacity, 2 * capacity).astype(np.int32)
            last = before[0]
            after = np.concatenate((after, added + np.int32(1)))
            before = np.concatenate((before, added - np.int32(1)))
            after[last], before[capacity] = capacity, last
            unused = np.zeros(capacity, np.bool_)
            taken = np.concatenate((taken, unused))
            base_used = np.concatenate((base_used, unused))
            capacity *= 2
            after[capacity - 1], before[0] = 0, capacity - 1
    return slot, base, end


@jit
def step(cells, cell, byte):
    """Return the slot and the cell of a child; cell 0 if there is no child."""
    u = np.uint64(cell >> np.uint32(BASE_SHIFT)) + np.uint64(byte)
    child = cells[u]
    if np.uint64(child & np.uint32(NO_BYTE)) != np.uint64(byte):
        child = np.uint32(0)
    return u, child


@jit
def decode(content, places, ids, text):
    """Write the bytes of ids to `text`, which has one block to spare.

    `content` holds all windows in a row, and a block after them. The lower 8
    bits of `places` hold the length of each window, the upper ones where it
    starts. Whole blocks are copied, and the next window overwrites the excess.
    Nearly all windows are one block, so the processor need not predict a branch
    on the length. Returns the number of bytes, or -1 - i if ids[i] has no
    window.
    """
    at = np.uint64(0)
    for i in range(ids.size):
        place = np.uint64(places[np.uint64(ids[i])])
        n = place & np.uint64(255)
        start = place >> np.uint64(8)
        _copy_block(content, start, text, at)
        if n > np.uint64(BLOCK):
            for done in range(np.uint64(BLOCK), n, np.uint64(BLOCK)):
                _copy_block(content, start + done, text, at + done)
        elif n == np.uint64(0):
            return -1 - i
        at += n
    return np.int64(at)


@jit
def _copy_block(source, start, target, at):
    # Read all, then write all: this compiles to one load and one store.
    b0 = source[start]
    b1 = source[start + np.uint64(1)]
    b2 = source[start + np.uint64(2)]
    b3 = source[start + np.uint64(3)]
    b4 = source[start + np.uint64(4)]
    b5 = source[start + np.uint64(5)]
    b6 = source[start + np.uint64(6)]
    b7 = source[start + np.uint64(7)]
    b8 = source[start + np.uint64(8)]
    b9 = source[start + np.uint64(9)]
    b10 = source[start + np.uint64(10)]
    b11 = source[start + np.uint64(11)]
    b12 = source[start + np.uint64(12)]
    b13 = source[start + np.uint64(13)]
    b14 = source[start + np.uint64(14)]
    b15 = source[start + np.uint64(15)]
    target[at] = b0
    target[at + np.uint64(1)] = b1
    target[at + np.uint64(2)] = b2
    target[at + np.uint64(3)] = b3
    target[at + np.uint64(4)] = b4
    target[at + np.uint64(5)] = b5
    target[at + np.uint64(6)] = b6
    target[at + np.uint64(7)] = b7
    target[at + np.uint64(8)] = b8
    target[at + np.uint64(9)] = b9
    target[at + np.uint64(10)] = b10
    target[at + np.uint64(11)] = b11
    target[at + np.uint64(12)] = b12
    target[at + np.uint64(13)] = b13
    target[at + np.uint64(14)] = b14
    target[at + np.uint64(15)] = b15
