"""Numba kernels that count the runs of words of a large text.

A text has far more different runs than a codebook has phrases, and most occur
once or twice. So there are two passes. The first counts all runs in a count-min
sketch (Cormode and Muthukrishnan, 2005), which gives an upper bound on the uses
of each run. The second counts only the runs whose bound is large enough.

A run is known by a hash of 64 bits. If two runs have the same hash, their uses
are added. In 10 GB of text, this happens to a run that matters with a chance of
about 2^-11. The codebook is then a little worse, but the same on every machine.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.word_cache import prefetch

LINE = 16  # counters, uint32, in a line of the cache
COUNTER_BITS = 28  # a sketch has at most 2^28 counters, 1 GB
BLOCK = 64  # words at which runs begin that are looked up together
LONGEST = 255  # words of a run: no window has more bytes
_FULL = np.uint32(0xFFFFFFFF)


def make_counters(words):
    """Return the empty counters of a sketch of some words, uint32."""
    size = 1 << min(max(words.bit_length() + 1, 8), COUNTER_BITS)
    room = np.zeros(size + LINE, np.uint32)
    # A line of the cache begins at a multiple of 64 bytes.
    skip = -room.ctypes.data % (4 * LINE) // 4
    return room[skip : skip + size]


@jit
def sketch_runs(
    sequence, begin, end, lengths, is_mark, is_rare, longest, most_words,
    counters,
):  # fmt: skip
    """Count all runs of two words or more in a sketch.

    Args:
        sequence: int32, words from 1 on, with a 0 after each document.
        begin: int, where the first run may begin.
        end: int, where the last run must have begun.
        lengths: int64 of shape (words + 1,).
        is_mark: bool of shape (words + 1,): a single byte of punctuation. After
            another one, it does not count as a word.
        is_rare: bool of shape (words + 1,): runs with such a word are not
            counted. True for 0.
        longest: int, at most 255: bytes of a run.
        most_words: int, words of a run, without marks after marks.
        counters: see `make_counters`. They are counted up.
    """
    hashes = np.empty(BLOCK * LONGEST, np.uint64)
    sizes = np.empty((BLOCK * LONGEST, 2), np.int64)
    offsets = np.empty(BLOCK + 1, np.int64)
    for start in range(begin, end, BLOCK):
        _find_runs(
            sequence, start, end, lengths, is_mark, is_rare, longest,
            most_words, counters, hashes, sizes, offsets,
        )  # fmt: skip
        for k in range(offsets[-1]):
            a, b = _places(hashes[k], counters.size)
            x, y = counters[a], counters[b]
            # The smaller counter is the bound, so the larger one may stay.
            counters[a] += (x <= y) & (x < _FULL)
            counters[b] += (y <= x) & (y < _FULL)


@jit
def count_runs(
    sequence, begin, end, lengths, is_mark, is_rare, longest, most_words,
    counters, least, part, parts, table, known, most,
):  # fmt: skip
    """Count the runs that may save many bytes, or one part of them.

    A run saves its uses times (bytes - 1). A text may be counted piece by
    piece.

    Args:
        sequence: see `sketch_runs`, as the next eight. The sketch must have all
            pieces.
        begin: the same.
        end: the same.
        lengths: the same.
        is_mark: the same.
        is_rare: the same.
        longest: the same.
        most_words: the same.
        counters: the same.
        least: int, bytes that a run saves at least.
        part: int, the part to count. The hash of a run decides its part.
        parts: int, how many parts there are.
        table: uint64 of shape (a power of two, 4), what earlier pieces had:
            the hash of each run, where it begins first, its bytes and its
            words in one number, and its uses. Zeros at first.
        known: int, how many runs are in the table.
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
    for start in range(begin, end, BLOCK):
        _find_runs(
            sequence, start, end, lengths, is_mark, is_rare, longest,
            most_words, counters, hashes, sizes, offsets,
        )  # fmt: skip
        n = 0
        for i in range(BLOCK):
            for k in range(offsets[i], offsets[i + 1]):
                h = hashes[k]
                a, b = _places(h, counters.size)
                bound = np.int64(min(counters[a], counters[b]))
                if bound < fewest:
                    break  # longer runs have no more uses
                if bound * (sizes[k, 0] - 1) < least:
                    continue
                if parts > 1 and np.int64(h >> np.uint64(48)) % parts != part:
                    continue
                hashes[n] = h
                firsts[n] = start + i
                sizes[n] = sizes[k]
                prefetch(table, np.int64(h & np.uint64(table.shape[0] - 1)))
                n += 1
        while 2 * (known + n) > table.shape[0]:
            if known + n > most:
                return table, -1
            table = _grow(table)
        for k in range(n):
            at = _find(table, hashes[k])
            if not table[at, 3]:
                table[at, 0] = hashes[k]
                table[at, 1] = firsts[k]
                table[at, 2] = sizes[k, 0] << 8 | sizes[k, 1]
                known += 1
            table[at, 3] += np.uint64(1)
    return table, known


@jit
def runs_of(table, least):
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
    sequence, start, end, lengths, is_mark, is_rare, longest, most_words,
    counters, hashes, sizes, offsets,
):  # fmt: skip
    """Find the runs that begin in a block, and prefetch their counters.

    Args:
        sequence: see `sketch_runs`.
        start: int, where the block begins.
        end: see `sketch_runs`.
        lengths: the same.
        is_mark: the same.
        is_rare: the same.
        longest: the same.
        most_words: the same.
        counters: the same.
        hashes: uint64, filled with the hashes of runs.
        sizes: int64, filled with their bytes and words.
        offsets: int64 of shape (BLOCK + 1,), filled: the runs that begin at a
            word, the shortest first, lie between its offset and the next one.
    """
    n = 0
    for i in range(start, start + BLOCK):
        offsets[i - start] = n
        if i >= end or is_rare[sequence[i]]:
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
