"""Numba kernels of the most probable parse into parts of words and phrases.

A word is cut by itself unless a phrase covers it, so its best cut does not
depend on the words around it. This cut is found once and kept in a hash table.
A text is then read word by word.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.likely import relax
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

BLOCK = 1 << 14  # bytes of the first block
LONG = 255  # bytes of the longest window: no phrase holds a longer word
KEPT = 15  # bytes of the longest word in the hash table
FEW, MANY = 1 << 10, 1 << 16  # rows of the hash table, at first and at most

#: Masks for the first and the last 8 of 16 bytes that begin with n bytes.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@jit
def encode_likely_words(
    cells,
    id_of_slot,
    costs,
    word_cells,
    word_of_slot,
    phrases,
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
        word_cells: the trie of all words that phrases have.
        word_of_slot: the same.
        phrases: their trie; see `kernels.phrases.build_phrases`.
        marks: uint8 of shape (L,), 1 where a word begins.
        text: uint8 of shape (L,).
        offsets: int64 of shape (documents + 1,).
        ids: is filled.
        id_offsets: is filled.
    """
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    no_marks = np.zeros(0, np.uint8)
    inner = make_tables(LONG)
    block = _make_block(BLOCK)
    rows = np.zeros((FEW, 4), np.uint64)
    pool = np.empty(2 * BLOCK, np.int32)
    known = 0
    pooled = 0
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            starts, words, word_costs, cuts, best, back, back_ids, alive = block
            size = words.size
            found = _find_words(marks, i, min(i + size, end), end, starts)
            # A new word has at most as many ids as bytes.
            if 2 * known > rows.shape[0] or pooled + size > pool.size:
                if rows.shape[0] < MANY or pool.size < 2 * size:
                    rows, pool = _enlarge(rows, pool)
                else:
                    rows[:] = 0
                    known = 0
                    pooled = 0
            n = 0
            while n < found and starts[n + 1] - starts[n] <= LONG:
                start = starts[n]
                length = starts[n + 1] - start
                first, last = _key(text, start, min(length, KEPT))
                row = _row(rows, first, last)
                if length <= KEPT and rows[row, 1] != 0:
                    value = rows[row, 2]
                    cut = rows[row, 3]
                else:
                    cost, count = _cut_word(
                        cells, id_of_slot, costs, no_marks, text, start, length,
                        inner, pool, pooled
                    )  # fmt: skip
                    word = _find_word(
                        word_cells, word_of_slot, text, start, length
                    )
                    value = np.uint64(word) << _HALF | np.uint64(cost)
                    cut = np.uint64(count) << _HALF | np.uint64(pooled)
                    pooled += count
                    # Blocks with many new words leave some of them out.
                    if length <= KEPT and 4 * known < 3 * rows.shape[0]:
                        rows[row, 0] = first
                        rows[row, 1] = last
                        rows[row, 2] = value
                        rows[row, 3] = cut
                        known += 1
                words[n] = np.int32(value >> _HALF)
                word_costs[n] = np.int32(value & _LOW)
                cuts[n] = cut
                n += 1
            if n == 0:  # the first word is a long one
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
            cut_words(
                n, words, word_costs, phrases, best, back, back_ids, alive
            )
            committed = n
            if starts[n] == end:
                if d == offsets.size - 2:
                    # More text may change the last word.
                    changes = alive[: n + 1] > 0
                    changes[n - 1] = True
                    changes[n] = False
                    opened = starts[common_ancestor(back, changes, n)]
            elif n == found:
                # Before a long word, all is certain.
                committed = common_ancestor(back, alive[: n + 1] == 1, n)
                if committed == 0:  # nothing is certain yet: read more
                    block = _make_block(2 * size)
                    continue
            written = _write_ids(
                committed, back, back_ids, cuts, pool, alive, ids, written
            )
            i = starts[committed]
        id_offsets[d + 1] = written
    return written, opened


@jit
def _make_block(size):
    """Return tables for the words of a block of bytes."""
    return (
        np.empty(size + 2, np.int64),  # where words begin
        np.empty(size, np.int32),  # words, as phrases number them
        np.empty(size, np.int32),  # costs of words by themselves
        np.empty(size, np.uint64),  # their ids: place in the pool, number
        np.empty(size + 1, np.int64),  # these and the next: see `cut_words`
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
    )


@jit
def _find_words(marks, start, stop, end, starts):
    """Find the words of a block.

    Write where they begin and where the last one ends, and return how many
    there are. A word that goes on after the block does not count.
    """
    starts[0] = start
    n = 1
    for i in range(start + 1, stop):
        starts[n] = i
        n += marks[i]
    starts[n] = stop
    return n if stop == end or marks[stop] else n - 1


@jit
def _key(text, start, length):
    """Return 16 bytes as two numbers: the word, zeros and its length."""
    first = np.uint64(0)
    last = np.uint64(0)
    if start + 16 <= text.size:
        first = _load(text, np.uint64(start)) & _FIRST[length]
        last = _load(text, np.uint64(start + 8)) & _LAST[length]
    else:
        for k in range(min(length, 8)):
            first |= np.uint64(text[start + k]) << np.uint64(8 * k)
        for k in range(8, length):
            last |= np.uint64(text[start + k]) << np.uint64(8 * k - 64)
    return first, last | np.uint64(length) << np.uint64(56)


@jit
def _load(text, i):
    # This compiles to one load.
    return (
        np.uint64(text[i])
        | np.uint64(text[i + np.uint64(1)]) << np.uint64(8)
        | np.uint64(text[i + np.uint64(2)]) << np.uint64(16)
        | np.uint64(text[i + np.uint64(3)]) << np.uint64(24)
        | np.uint64(text[i + np.uint64(4)]) << np.uint64(32)
        | np.uint64(text[i + np.uint64(5)]) << np.uint64(40)
        | np.uint64(text[i + np.uint64(6)]) << np.uint64(48)
        | np.uint64(text[i + np.uint64(7)]) << np.uint64(56)
    )


@jit
def _row(rows, first, last):
    """Return the row of a key, or the free row where it belongs."""
    h = (first ^ last * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    end = np.uint64(rows.shape[0] - 1)
    at = (h >> np.uint64(40)) & end
    while rows[at, 1] != 0 and (rows[at, 0] != first or rows[at, 1] != last):
        at = (at + np.uint64(1)) & end
    return at


@jit
def _enlarge(rows, pool):
    """Return a larger hash table and a larger pool with the same content."""
    more_rows = np.zeros((min(2 * rows.shape[0], MANY), 4), np.uint64)
    for k in range(rows.shape[0]):
        if rows[k, 1] != 0:
            more_rows[_row(more_rows, rows[k, 0], rows[k, 1])] = rows[k]
    more_pool = np.empty(2 * pool.size, pool.dtype)
    more_pool[: pool.size] = pool
    return more_rows, more_pool


@jit
def _cut_word(
    cells, id_of_slot, costs, no_marks, text, start, length, inner, pool, at
):
    """Write the ids of a word to the pool; return their cost and number."""
    best, back, back_ids, alive = inner
    relax(cells, id_of_slot, costs, no_marks, text, start, length,
          start + length, best, back, back_ids, alive)  # fmt: skip
    count = 0
    k = np.int64(length)
    while k > 0:
        k = np.int64(back[k])
        count += 1
    k = np.int64(length)
    for place in range(at + count - 1, at - 1, -1):
        pool[place] = back_ids[k]
        k = np.int64(back[k])
    return best[length], count


@jit
def _find_word(word_cells, word_of_slot, text, start, length):
    """Return the number of a word, or 0 if it is in no phrase."""
    t = np.uint64(0)
    cell = np.uint32(0)  # the start: its base is 0
    for k in range(start, start + length):
        t, cell = step(word_cells, cell, text[k])
        if not cell:
            return np.int64(0)
    return np.int64(word_of_slot[t]) if cell & np.uint32(IS_WINDOW) else 0


@jit
def _write_ids(n, back, back_ids, cuts, pool, path, ids, written):
    """Write the ids of the first n words; return where the next id goes."""
    parts = 0
    at = np.int64(n)
    while at > 0:
        path[parts] = at
        parts += 1
        at = np.int64(back[at])
    for k in range(parts - 1, -1, -1):
        at = np.int64(path[k])
        phrase = back_ids[at]
        if phrase:
            ids[written] = phrase
            written += 1
        else:
            cut = cuts[at - 1]
            place = np.int64(cut & _LOW)
            for _ in range(np.int64(cut >> _HALF)):
                ids[written] = pool[place]
                written += 1
                place += 1
    return written
