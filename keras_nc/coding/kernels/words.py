"""Numba kernels that find the words of texts, and number the distinct ones.

There are two rules for where words begin and end. The word bytes are ASCII
letters and digits, the underscore, the apostrophe, and all bytes from 128 on,
so that no UTF-8 sequence is cut. A boundary lies

- between a word byte and any other byte after it;
- between any other byte and a word byte after it, except after one single
  space, which belongs to the word;
- before the first space of a run of spaces.

`mark_words` has shorter words, for the parse `likely_words`: a run of word
bytes, or one other byte, each with a single space before it; or a run of
several spaces. A boundary lies

- before every byte that is no space, except between two word bytes and after
  one single space;
- before the first space of a run of spaces.

A boundary before a byte depends only on this byte and the two before it in the
document, so more text never changes it.
"""

import numpy as np

from keras_nc.coding.kernels import jit

#: Classes of bytes, a bit each.
WORD, SPACE, OTHER = np.uint8(1), np.uint8(2), np.uint8(4)
_BLOCK = 1 << 13


@jit
def mark_boundaries(text, offsets):
    """Write 1 where a boundary lies before a byte, else 0: uint8 (L,)."""
    return _mark_all(text, offsets, WORD)


@jit
def mark_words(text, offsets):
    """Do the same for the boundaries of `likely_words`."""
    return _mark_all(text, offsets, WORD | SPACE | OTHER)


@jit
def _mark_all(text, offsets, before_other):
    marks = np.empty(text.size, np.uint8)
    # The classes of a block stay in the processor's cache.
    kinds = np.full(_BLOCK + 2, OTHER, np.uint8)
    for start in range(0, text.size, _BLOCK):
        part = text[start : start + _BLOCK]
        part_marks = marks[start : start + _BLOCK]
        kinds[:2] = kinds[_BLOCK:]
        # Compilers turn each of these loops into operations on many bytes.
        for i in range(part.size):
            kinds[i + 2] = classify(part[i])
        for i in range(part.size):
            part_marks[i] = _mark(
                kinds[i], kinds[i + 1], kinds[i + 2], before_other
            )
    # Boundaries do not depend on the document before.
    for d in range(offsets.size - 1):
        i = offsets[d]
        if i < offsets[d + 1]:
            first = classify(text[i])
            marks[i] = _mark(OTHER, OTHER, first, before_other)
            if i + 1 < offsets[d + 1]:
                second = classify(text[i + 1])
                marks[i + 1] = _mark(OTHER, first, second, before_other)
    return marks


@jit
def classify(byte):
    """Return the class of a byte."""
    lower = np.uint8(byte | np.uint8(0x20))
    letter = np.uint8(lower - np.uint8(ord("a"))) < np.uint8(26)
    digit = np.uint8(byte - np.uint8(ord("0"))) < np.uint8(10)
    sign = (byte == np.uint8(ord("_"))) | (byte == np.uint8(ord("'")))
    word = letter | digit | sign | (byte >= np.uint8(128))
    space = byte == np.uint8(ord(" "))
    return WORD if word else (SPACE if space else OTHER)


@jit
def _mark(earlier, last, this, before_other):
    """Return 1 if a boundary lies between two bytes, by classes, else 0.

    `before_other` tells after which classes a boundary lies before a byte that
    is neither a word byte nor a space. SPACE means: after a run of spaces.
    """
    lowest = np.uint8(1)
    space, other = np.uint8(1), np.uint8(2)  # shifts to the lowest bit
    after_space = (last >> space) & lowest
    after_run = after_space & (earlier >> space)
    before_word = this & ((last >> other) | after_run)
    before_space = (this >> space) & (after_space ^ lowest)
    after = before_other & (last ^ (SPACE * (after_space ^ after_run)))
    after = after | (after >> space) | (after >> other)
    return (before_word | before_space | ((this >> other) & after)) & lowest


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
