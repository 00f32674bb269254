"""Numba kernels that count runs of words in a text that may not fit memory.

A text has far more different runs than a codebook has phrases, and most occur
once or twice. So all runs are first counted in a sketch, which gives each of
them a bound: it occurs at most so often. Then only runs whose bound is large
are counted by themselves. The sketch is a count-min sketch (Cormode and
Muthukrishnan, 2005) of two counters, which lie in one line of the cache.

A run is known by a hash of 64 bits. If two runs have the same hash, their uses
are added. In 10 GB of text, this happens to a run that matters with a chance of
about 2^-11. The codebook is then a little worse, but the same on every machine.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.cut_cache import prefetch

LINE = 16  # counters, uint32, in a line of the cache
BLOCK = 64  # words at which runs begin that are looked up together
LONGEST = 255  # words of a run: no window has more bytes
_FULL = np.uint32(0xFFFFFFFF)


@jit
def sketch_runs(
    sequence, lengths, is_mark, is_rare, longest, most_words, counters
):
    """Count all runs of two words or more in a sketch.

    Args:
        sequence: int32, words from 1 on, with a 0 after each document. A text
            may be given piece by piece, where each piece ends with a document.
        lengths: int64 of shape (words + 1,).
        is_mark: bool of shape (words + 1,): a single byte of punctuation. After
            another one, it does not count as a word.
        is_rare: bool of shape (words + 1,): no run contains such a word. Must
            hold for 0.
        longest: int, at most 255: bytes of a run.
        most_words: int, words of a run, without marks after marks.
        counters: uint32, a power of two and at least `LINE` of them, zeros at
            first.
    """
    hashes = np.empty(BLOCK * LONGEST, np.uint64)
    sizes = np.empty((BLOCK * LONGEST, 2), np.int64)
    offsets = np.empty(BLOCK + 1, np.int64)
    for start in range(0, sequence.size, BLOCK):
        _find_runs(
            sequence, lengths, is_mark, is_rare, longest, most_words, start,
            hashes, sizes, offsets, counters,
        )  # fmt: skip
        for k in range(offsets[-1]):
            a, b = _places(hashes[k], counters.size)
            counters[a] += counters[a] < _FULL
            counters[b] += counters[b] < _FULL


@jit
def count_runs(
    sequence, lengths, is_mark, is_rare, longest, most_words, counters,
    least, part, parts, begin, table, found, most,
):  # fmt: skip
    """Count the runs that may save many bytes, or one part of them.

    A run saves its uses times (bytes - 1). A text may be counted piece by
    piece, where each piece ends with a document.

    Args:
        sequence: see `sketch_runs`, as the next five.
        lengths: the same.
        is_mark: the same.
        is_rare: the same.
        longest: the same.
        most_words: the same.
        counters: as `sketch_runs` has filled them with the whole text.
        least: int, bytes that a run saves at least.
        part: int, the part to count. The hash of a run decides its part.
        parts: int, how many parts there are.
        begin: int, where the sequence begins in the text.
        table: uint64 of shape (a power of two, 4), what earlier pieces had:
            the hash of each run, where it begins first, its bytes and its
            words in one number, and its uses. Zeros at first.
        found: int, how many runs are in the table.
        most: int, how many may be in it.

    Returns:
        The table, which may have grown, and the number of runs in it, or -1 if
        there are too many.
    """
    fewest = fewest_uses(least, longest)
    hashes = np.empty(BLOCK * LONGEST, np.uint64)
    sizes = np.empty((BLOCK * LONGEST, 2), np.int64)
    offsets = np.empty(BLOCK + 1, np.int64)
    firsts = np.empty(BLOCK * LONGEST, np.int64)
    for start in range(0, sequence.size, BLOCK):
        _find_runs(
            sequence, lengths, is_mark, is_rare, longest, most_words, start,
            hashes, sizes, offsets, counters,
        )  # fmt: skip
        n = 0
        for i in range(BLOCK):
            for k in range(offsets[i], offsets[i + 1]):
                h = hashes[k]
                a, b = _places(h, counters.size)
                bound = np.int64(min(counters[a], counters[b]))
                if bound < fewest:
                    break  # longer runs occur no more often
                if bound * (sizes[k, 0] - 1) < least:
                    continue
                if parts > 1 and np.int64(h >> np.uint64(48)) % parts != part:
                    continue
                hashes[n] = h
                firsts[n] = begin + start + i
                sizes[n] = sizes[k]
                prefetch(table, np.int64(h & np.uint64(table.shape[0] - 1)))
                n += 1
        while 2 * (found + n) > table.shape[0]:
            if found + n > most:
                return table, -1
            table = _grow(table)
        for k in range(n):
            at = _find(table, hashes[k])
            if not table[at, 3]:
                table[at, 0] = hashes[k]
                table[at, 1] = firsts[k]
                table[at, 2] = sizes[k, 0] << 8 | sizes[k, 1]
                found += 1
            table[at, 3] += np.uint64(1)
    return table, found


@jit
def best_runs(table, least):
    """Return the runs of a table that save at least `least` bytes.

    Args:
        table: see `count_runs`.
        least: the same. A run must also occur twice or more.

    Returns:
        Where each run begins first, its bytes, its words, and its uses, int64
        of shape (runs, 4), in any order.
    """
    n = 0
    for at in range(table.shape[0]):
        uses = np.int64(table[at, 3])
        size = np.int64(table[at, 2] >> np.uint64(8))
        n += uses > 1 and uses * (size - 1) >= least
    runs = np.empty((n, 4), np.int64)
    n = 0
    for at in range(table.shape[0]):
        uses = np.int64(table[at, 3])
        size = np.int64(table[at, 2] >> np.uint64(8))
        if uses > 1 and uses * (size - 1) >= least:
            runs[n, 0] = table[at, 1]
            runs[n, 1] = size
            runs[n, 2] = table[at, 2] & np.uint64(255)
            runs[n, 3] = uses
            n += 1
    return runs


@jit
def fewest_uses(least, longest):
    """Return how often a run occurs at least if it saves `least` bytes."""
    return max(2, -(-least // max(1, longest - 1)))


@inline
def _find_runs(
    sequence, lengths, is_mark, is_rare, longest, most_words, start,
    hashes, sizes, offsets, counters,
):  # fmt: skip
    """Find the runs that begin in a block, and prefetch their counters.

    Args:
        sequence: see `sketch_runs`, as the next five.
        lengths: the same.
        is_mark: the same.
        is_rare: the same.
        longest: the same.
        most_words: the same.
        start: int, where the block begins.
        hashes: uint64, filled with the hashes of runs.
        sizes: int64, filled with their bytes and words.
        offsets: int64 of shape (BLOCK + 1,), filled: the runs that begin at a
            word, the shortest first, lie between its offset and the next one.
        counters: see `sketch_runs`.
    """
    n = 0
    for i in range(start, start + BLOCK):
        offsets[i - start] = n
        if i >= sequence.size or is_rare[sequence[i]]:
            continue
        word = sequence[i]
        h = np.uint64(word)
        size = lengths[word]
        words = 1
        for k in range(i + 1, sequence.size):
            after = sequence[k]
            words += not (is_mark[after] and is_mark[word])
            size += lengths[after]
            if is_rare[after] or size > longest or words > most_words:
                break
            word = after
            h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(word)
            h ^= h >> np.uint64(32)
            h *= np.uint64(0xD6E8FEB86659FD93)
            h ^= h >> np.uint64(29)
            hashes[n] = h
            sizes[n, 0] = size
            sizes[n, 1] = k - i + 1
            prefetch(counters, np.int64(h & np.uint64(counters.size - 1)))
            n += 1
    offsets[BLOCK] = n


@inline
def _places(h, size):
    """Return the two counters of a run: different ones of one line."""
    a = h & np.uint64(size - 1)
    b = a ^ (np.uint64(1) + (h >> np.uint64(40)) % np.uint64(LINE - 1))
    return a, b


@inline
def _find(table, h):
    """Return the row of a run, or the free row where it belongs."""
    at = h & np.uint64(table.shape[0] - 1)
    while table[at, 3] and table[at, 0] != h:
        at = (at + np.uint64(1)) & np.uint64(table.shape[0] - 1)
    return at


@jit
def _grow(table):
    """Return a table of twice as many rows."""
    grown = np.zeros((2 * table.shape[0], 4), np.uint64)
    for row in range(table.shape[0]):
        if table[row, 3]:
            at = _find(grown, table[row, 0])
            grown[at] = table[row]
    return grown
