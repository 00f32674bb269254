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


@jit
def add_words(
    text, text_lengths, text_counts, numbers,
    letters, starts, lengths, hashes, counts, table, known, used,
):  # fmt: skip
    """Add distinct words to those that are known, and number all of them.

    Args:
        text: uint8, the words to add, joined.
        text_lengths: int64 of shape (added,).
        text_counts: int64 of shape (added,), how often each occurs.
        numbers: int32 of shape (added,), filled with their numbers.
        letters: uint8, the known words, joined, with room for all letters.
        starts: int64, where each known word begins, with room for all words.
        lengths: int64, the same.
        hashes: uint64, the same.
        counts: int64, the same.
        table: int32, of a power of two that is at least twice all words: the
            number of the word at its hash, or -1.
        known: int, how many words are known.
        used: int, how many letters they have.

    Returns:
        `known` and `used` afterwards.
    """
    i = np.int64(0)
    for n in range(numbers.size):
        length = text_lengths[n]
        h = _hash(text, i, i + length)
        at = np.int64(h & np.uint64(table.size - 1))
        word = np.int64(table[at])
        while word >= 0:
            if hashes[word] == h and lengths[word] == length:
                k = 0
                while k < length and letters[starts[word] + k] == text[i + k]:
                    k += 1
                if k == length:
                    break
            at = (at + 1) & (table.size - 1)
            word = np.int64(table[at])
        if word < 0:
            word = known
            table[at] = word
            starts[word] = used
            lengths[word] = length
            hashes[word] = h
            counts[word] = 0
            for k in range(length):
                letters[used + k] = text[i + k]
            used += length
            known += 1
        counts[word] += text_counts[n]
        numbers[n] = word
        i += length
    return known, used


@jit
def refill(table, hashes):
    """Write the numbers of words into an empty table."""
    for word in range(hashes.size):
        table[_free(table, hashes[word])] = word
