"""Numba kernels that number the distinct words of texts."""

import numpy as np

from keras_nc.coding.kernels import jit


@jit
def number_words(text, offsets, marks, longest):
    """Number the distinct words in the order in which they first occur.

    Args:
        text: uint8 of shape (L,), all documents joined.
        offsets: int64 of shape (documents + 1,).
        marks: uint8 of shape (L,), 1 where a word begins.
        longest: int, bytes after which a word is cut.

    Returns:
        The words of all documents, int32, with a -1 after each document; and
        for each distinct word where it first begins (int64), its bytes (int64)
        and its uses (int64).
    """
    size = offsets.size + text.size // longest
    for i in range(text.size):
        size += marks[i]
    sequence = np.empty(size, np.int32)
    capacity = np.int64(1 << 12)
    table = np.full(capacity, -1, np.int32)
    starts = np.empty(1 << 11, np.int64)
    lengths = np.empty(1 << 11, np.int64)
    hashes = np.empty(1 << 11, np.uint64)
    counts = np.empty(1 << 11, np.int64)
    known = 0
    written = 0
    for d in range(offsets.size - 1):
        i = offsets[d]
        end = offsets[d + 1]
        while i < end:
            j = i + 1
            stop = min(end, i + longest)
            while j < stop and not marks[j]:
                j += 1
            h = _hash(text, i, j)
            at = np.int64(h & np.uint64(capacity - 1))
            word = table[at]
            while word >= 0:
                if (
                    hashes[word] == h
                    and lengths[word] == j - i
                    and _equal(text, starts[word], i, j - i)
                ):
                    break
                at = (at + 1) & (capacity - 1)
                word = table[at]
            if word < 0:
                if 2 * known == capacity:
                    starts = np.concatenate((starts, np.empty_like(starts)))
                    lengths = np.concatenate((lengths, np.empty_like(lengths)))
                    hashes = np.concatenate((hashes, np.empty_like(hashes)))
                    counts = np.concatenate((counts, np.empty_like(counts)))
                    capacity *= 2
                    table = np.full(capacity, -1, np.int32)
                    for k in range(known):
                        table[_free(table, hashes[k])] = k
                    at = _free(table, h)
                word = known
                starts[word] = i
                lengths[word] = j - i
                hashes[word] = h
                counts[word] = 0
                table[at] = word
                known += 1
            counts[word] += 1
            sequence[written] = word
            written += 1
            i = j
        sequence[written] = -1
        written += 1
    return (
        sequence[:written].copy(),
        starts[:known].copy(),
        lengths[:known].copy(),
        counts[:known].copy(),
    )


@jit
def _hash(text, start, end):
    h = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        h = (h ^ np.uint64(text[i])) * np.uint64(0x100000001B3)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@jit
def _equal(text, i, j, n):
    k = 0
    while k < n and text[i + k] == text[j + k]:
        k += 1
    return k == n


@jit
def _free(table, h):
    """Return the first free place of a hash."""
    at = np.int64(h & np.uint64(table.size - 1))
    while table[at] >= 0:
        at = (at + 1) & (table.size - 1)
    return at
