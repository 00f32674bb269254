"""Numba kernels of the most probable parse into parts of words and phrases.

A word is cut by itself unless a phrase covers it, so its best cut does not
depend on the words around it. Two words in a row that no phrase holds have a
cut between them, so a text falls into groups of words that do not depend on
each other. Most groups are single words. The best cuts of words and of groups
are found once and then kept in hash tables.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.cut_cache import COUNT
from keras_nc.coding.kernels.cut_cache import find_row
from keras_nc.coding.kernels.cut_cache import has_room
from keras_nc.coding.kernels.cut_cache import make_room
from keras_nc.coding.kernels.cut_cache import pack_cut
from keras_nc.coding.kernels.cut_cache import write_cut
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import encode_range
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.likely import relax
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.phrases import is_bond
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

BLOCK = 1 << 13  # bytes of the first block
LONG = 255  # bytes of the longest window: no phrase holds a longer word
KEPT = 15  # bytes of the longest word in the cache
GROUP = 6  # words of the longest group in the cache
SPARE = 4  # ids that may be written after the last one

#: Masks for the first and the last 8 of 16 bytes that begin with n bytes.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
#: The value of a word: its number from bit 40 on, its cost from bit 16 on.
_WORD, _COST = np.uint64(40), np.uint64(16)
_COST_BITS = np.uint64((1 << 24) - 1)
#: Words of a group's key have 21 bits each; larger numbers are in no key.
_KEY_BITS, _KEY_WORDS = np.uint64(21), 1 << 21


@jit
def encode_likely_words(
    cells,
    id_of_slot,
    costs,
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
    `kernels.longest`, and the caches.

    Args:
        cells: the trie of all windows; see `kernels.trie`.
        id_of_slot: the same.
        costs: uint16, by id.
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
    tries = cells, id_of_slot, costs, word_cells, word_of_slot
    written = 0
    id_offsets[0] = 0
    opened = np.int64(-1)
    block = _make_block(BLOCK)
    inner = make_tables(LONG)
    for d in range(offsets.size - 1):
        opened = np.int64(-1)
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            starts, words, _, values, cuts, groups, tables = block
            size = values.size
            found = _find_words(marks, i, min(i + size, end), end, starts)
            # A new word has at most as many ids as bytes.
            caches = (
                make_room(caches[0], found, size),
                make_room(caches[1], found // 2, size),
            )
            n = _cut_single_words(tries, text, found, caches[0], inner, block)
            if n == 0:  # the first word is a long one
                stop = starts[1] if found else min(i + size, end)
                while stop < end and not marks[stop]:
                    stop += 1
                written, _, _ = encode_range(
                    cells, id_of_slot, costs, np.zeros(0, np.uint8), text, i,
                    stop, ids, written, make_tables(min(stop - i, 1 << 16))
                )  # fmt: skip
                # More text may change a phrase before it, or the word itself.
                if stop == end:
                    opened = i
                i = stop
                continue
            count = _find_groups(n, words, phrases[2], groups)
            # Later groups are cut below: more text may change them.
            ends = starts[n] == end
            if ends and d == offsets.size - 2:
                while count > 0 and groups[count] > max(n - 2, 0):
                    count -= 1
            elif not ends and n == found:
                count -= 1
            written = _write_groups(
                count, phrases, caches, block, ids, written
            )
            first = groups[count]
            if first < n and (ends or count == 0):
                rest = n - first
                best, back, back_ids, alive = tables
                own = words[first:n]
                cut_words(
                    rest, own, _costs(values, first, n, block), phrases, best,
                    back, back_ids
                )  # fmt: skip
                find_alive(rest, own, phrases, alive)
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
                        block = _make_block(2 * size)
                        continue
                written = _write_path(
                    first, committed, caches[0], block, ids, written
                )
                first += committed
            i = starts[first]
        id_offsets[d + 1] = written
    return written, opened, caches


@jit
def _make_block(size):
    """Return tables for the words of a block of bytes."""
    tables = (
        np.empty(size + 1, np.int64),  # these and the next: see `cut_words`
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),  # see `find_alive`
    )
    return (
        np.empty(size + 2, np.int64),  # where words begin
        np.zeros(size + GROUP, np.int32),  # words, as phrases number them
        np.empty(size, np.int32),  # costs of words by themselves
        np.empty(size, np.uint64),  # values of words in the cache
        np.empty(size, np.uint64),  # their cuts
        np.empty(size + 2, np.int64),  # where groups begin
        tables,
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
def _cut_single_words(tries, text, found, cache, inner, block):
    """Look words up; cut new ones. Return how many come before a long one."""
    starts, words, _, values, cuts, _, _ = block
    rows, _, used = cache
    path = np.empty(LONG, np.int32)
    for n in range(found):
        start = starts[n]
        length = starts[n + 1] - start
        if length > LONG:
            return n
        first, last = _key(text, start, min(length, KEPT))
        row = find_row(rows, first, last)
        if length <= KEPT and rows[row, 1] != 0:
            value = rows[row, 2]
            cut = rows[row, 3]
        else:
            cost, count = _cut_word(tries, text, start, length, inner, path)
            word = _find_word(tries, text, start, length)
            value = (
                np.uint64(word) << _WORD
                | np.uint64(cost) << _COST
                | np.uint64(count)
            )
            cut = pack_cut(cache, path, count)
            if length <= KEPT and has_room(cache):
                rows[row, 0] = first
                rows[row, 1] = last
                rows[row, 2] = value
                rows[row, 3] = cut
                used[0] += 1
        words[n] = value >> _WORD
        values[n] = value
        cuts[n] = cut
    return found


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
def _cut_word(tries, text, start, length, inner, path):
    """Write the ids of a word to `path`; return their cost and number."""
    cells, id_of_slot, costs, _, _ = tries
    best, back, back_ids, alive = inner
    relax(cells, id_of_slot, costs, np.zeros(0, np.uint8), text, start, length,
          start + length, best, back, back_ids, alive)  # fmt: skip
    count = 0
    k = np.int64(length)
    while k > 0:
        k = np.int64(back[k])
        count += 1
    k = np.int64(length)
    for place in range(count - 1, -1, -1):
        path[place] = back_ids[k]
        k = np.int64(back[k])
    return best[length], count


@jit
def _find_word(tries, text, start, length):
    """Return the number of a word, or 0 if it is in no phrase."""
    _, _, _, word_cells, word_of_slot = tries
    t = np.uint64(0)
    cell = np.uint32(0)  # the start: its base is 0
    for k in range(start, start + length):
        t, cell = step(word_cells, cell, text[k])
        if not cell:
            return np.int64(0)
    return np.int64(word_of_slot[t]) if cell & np.uint32(IS_WINDOW) else 0


@jit
def _find_groups(n, words, bonds, groups):
    """Write where groups begin and the last one ends; return their number."""
    groups[0] = 0
    count = 1
    for k in range(1, n):
        groups[count] = k
        before = words[k - 1]
        word = words[k]
        bond = is_bond(bonds, before, word) != 0
        count += 1 - ((before != 0) & (word != 0) & bond)
    groups[count] = n
    return count


@jit
def _costs(values, first, end, block):
    """Return the costs of words by themselves, int32."""
    costs = block[2]
    for k in range(first, end):
        costs[k] = (values[k] >> _COST) & _COST_BITS
    return costs[first:end]


@jit
def _write_groups(n, phrases, caches, block, ids, written):
    """Write the ids of the first n groups; return where the next id goes."""
    _, words, _, values, cuts, groups, tables = block
    rows, pool, used = caches[1]
    word_pool = caches[0][1]
    best, back, back_ids, _ = tables
    longest = GROUP if phrases[1].size <= _KEY_WORDS else 1
    for g in range(n):
        first = groups[g]
        size = groups[g + 1] - first
        if size == 1:
            count = np.int64(values[first] & COUNT)
            written = write_cut(word_pool, count, cuts[first], ids, written)
            continue
        row = low = high = np.uint64(0)
        if size <= longest:
            low, high = _group_key(words, first, size)
            row = find_row(rows, low, high)
            if rows[row, 1] != 0:
                count = np.int64(rows[row, 2])
                written = write_cut(pool, count, rows[row, 3], ids, written)
                continue
        end = first + size
        cut_words(
            size, words[first:end], _costs(values, first, end, block), phrases,
            best, back, back_ids
        )  # fmt: skip
        start = written
        written = _write_path(first, size, caches[0], block, ids, written)
        if size <= longest and has_room(caches[1]):
            rows[row, 0] = low
            rows[row, 1] = high
            rows[row, 2] = written - start
            rows[row, 3] = pack_cut(caches[1], ids[start:], written - start)
            used[0] += 1
    return written


@jit
def _group_key(words, first, size):
    """Return the words of a group as two numbers."""
    low = np.uint64(0)
    high = np.uint64(0)
    for k in range(3):
        shift = np.uint64(k) * _KEY_BITS
        low |= np.uint64(words[first + k] * (k < size)) << shift
        high |= np.uint64(words[first + 3 + k] * (k + 3 < size)) << shift
    return low, high | np.uint64(1) << np.uint64(63)


@jit
def _write_path(first, n, cache, block, ids, written):
    """Write the ids of n words by the tables of `cut_words`."""
    _, _, _, values, cuts, _, tables = block
    _, back, back_ids, path = tables
    pool = cache[1]
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
            word = first + at - 1
            count = np.int64(values[word] & COUNT)
            written = write_cut(pool, count, cuts[word], ids, written)
    return written
