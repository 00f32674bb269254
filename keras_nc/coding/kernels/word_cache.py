"""Numba kernels of the cache of words, which remembers how words were cut.

A row is four uint64: the key of a word (two), a value and a cut. The key of a
word of at most EXACT bytes has all its bytes. That of a longer one has a hash,
which two words may share: so the ids of the row are compared with the text.
Both kinds of keys have the length, too. The value has the word's number from
bit WORD on, its cost from bit COST on, and the number of its ids below. A cut
of at most 4 ids holds them, 16 bits each. The ids of a longer cut lie in a pool
that has 16 places for each row. While a block of text is cut, they are copied
to an array of the block, and the cut is their place there.

Rows form pairs. A word may be in either row of its pair. A new word replaces
the second one. A word that is found in the second row changes places with the
first one. So frequent words are in first rows, and rare ones replace each
other. The cache changes only the speed: a word that is not in it is cut again.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels import make_prefetch

EXACT = 15  # bytes of the longest word that its key tells from all others
ROW_BITS = 18
_MARK_BITS = 16
INLINE = 4  # ids that a row holds
MOST = 16  # ids of a cut that has a row
_ID = np.uint64(0xFFFF)

#: Masks for the first and the last 8 of 16 bytes that begin with n bytes.
_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_LAST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)
#: The value of a word; see above.
WORD, COST = np.uint64(40), np.uint64(16)
COUNT_BITS = np.uint64(0xFFFF)
COST_BITS = np.uint64((1 << 24) - 1)
_LENGTH = np.uint64(56)  # where a key has the length of the word
_EIGHT, _ONE = np.uint64(8), np.uint64(1)

prefetch = make_prefetch()


def make_cache():
    """Return an empty cache, a tuple: its rows, and their pool."""
    rows = np.zeros((1 << ROW_BITS, 4), np.uint64)
    pool = np.zeros((1 << ROW_BITS, MOST), np.uint16)
    return rows, pool


@jit
def make_keys(n, text, starts, keys, rows):
    """Make the keys of n words.

    Args:
        n: int.
        text: uint8 of shape (L,).
        starts: int64 of shape (n + 1,), where each word begins, and the end.
        keys: four arrays of shape (n,): three of uint64, and an int64. The
            first three are filled: the two numbers of a key, and the first row
            that it may have. This row is fetched. The last one is overwritten.
        rows: uint64 of shape (rows, 4).
    """
    firsts, lasts, places, left = keys
    inside = n  # words with 16 bytes of text from their start on
    while inside > 0 and starts[inside - 1] + 16 > text.size:
        inside -= 1
    count = np.uint64(0)
    for k in range(np.uint64(inside)):
        start = np.uint64(starts[k])
        length = np.uint64(starts[k + _ONE]) - start
        size = min(length, np.uint64(EXACT))
        firsts[k] = _load(text, start) & _FIRST[size]
        lasts[k] = _load(text, start + _EIGHT) & _LAST[size] | length << _LENGTH
        left[count] = k
        count += np.uint64(length > EXACT)
    for k in left[:count]:
        firsts[k], lasts[k] = _key_of_long(text, starts[k], starts[k + 1])
    for k in range(inside, n):
        firsts[k], lasts[k] = _key(text, starts[k], starts[k + 1])
    for k in range(np.uint64(n)):
        places[k] = _first_row(firsts[k], lasts[k])
        prefetch(rows, places[k])


@jit
def _key(text, start, end):
    """Return the key of a word."""
    length = np.uint64(end - start)
    if length > EXACT:
        return _key_of_long(text, start, end)
    first = last = np.uint64(0)
    for k in range(length):
        byte = np.uint64(text[start + k]) << (_EIGHT * (k % _EIGHT))
        first |= byte if k < _EIGHT else np.uint64(0)
        last |= byte if k >= _EIGHT else np.uint64(0)
    return first, last | length << _LENGTH


@jit
def _key_of_long(text, start, end):
    """Return the same for a word of more than EXACT bytes."""
    last_block = np.uint64(end) - _EIGHT
    first = np.uint64(0)
    for i in range(np.uint64(start), last_block, _EIGHT):
        first = _mix(first ^ _load(text, i))
    first = _mix(first ^ _load(text, last_block))
    return first, _mix(first) >> _EIGHT | np.uint64(end - start) << _LENGTH


@inline
def _mix(h):
    h *= np.uint64(0x9E3779B97F4A7C15)
    return h ^ h >> np.uint64(32)


@jit
def look_up(n, text, tries, cache, block):
    """Fill the values and cuts of the words that are in the cache.

    Args:
        n: int, the number of words; `make_keys` has made their keys.
        text: uint8 of shape (L,).
        tries: `Tries` of `kernels.word_cuts`.
        cache: see `make_cache`.
        block: `Block` of `kernels.likely_words`.

    Returns:
        The number of words that are not there; the last array of the keys
        begins with their numbers. And how many ids of long cuts are in
        `block.long_ids`.
    """
    starts, values, cuts = block.starts, block.values, block.cuts
    firsts, lasts, places, left = block.keys
    long_ids = block.long_ids
    rows, pool = cache
    count = np.uint64(0)
    for k in range(np.uint64(n)):
        row = places[k]
        known = (rows[row, 0] == firsts[k]) & (rows[row, 1] == lasts[k])
        value = rows[row, 2] & (np.uint64(0) - np.uint64(known))
        values[k] = value
        cuts[k] = rows[row, 3]
        left[count] = k
        is_long = lasts[k] >> _LENGTH > EXACT
        count += np.uint64((value - _ONE & COUNT_BITS >= INLINE) | is_long)
    new = 0
    placed = 0
    for k in left[:count]:
        row = places[k]
        if rows[row, 0] != firsts[k] or rows[row, 1] != lasts[k]:
            other = row | _ONE
            if rows[other, 0] != firsts[k] or rows[other, 1] != lasts[k]:
                left[new] = k
                new += 1
                continue
            for c in range(4):
                rows[row, c], rows[other, c] = rows[other, c], rows[row, c]
            most = max(rows[row, 2] & COUNT_BITS, rows[other, 2] & COUNT_BITS)
            if most > INLINE:
                for c in range(MOST):
                    pool[row, c], pool[other, c] = pool[other, c], pool[row, c]
        if lasts[k] >> _LENGTH > EXACT and not _is_row_of(
            text, starts[k], starts[k + 1], row, cache, tries
        ):
            left[new] = k
            new += 1
            continue
        value = rows[row, 2]
        values[k] = value
        cuts[k] = rows[row, 3]
        size = np.int64(value & COUNT_BITS)
        if size > INLINE:
            cuts[k] = placed
            for c in range(size):
                long_ids[placed + c] = pool[row, c]
            placed += size
    return new, placed


@jit
def _is_row_of(text, start, end, row, cache, tries):
    """Tell whether the ids of a row are those of a word."""
    rows, pool = cache
    count = rows[row, 2] & COUNT_BITS
    for k in range(count):
        if count <= INLINE:
            number = rows[row, 3] >> np.uint64(16 * k) & _ID
        else:
            number = np.uint64(pool[row, k])
        place = tries.places[number]
        first, size = np.int64(place >> np.uint32(8)), np.int64(place & 255)
        if size > end - start:
            return False
        for j in range(size):
            if tries.content[first + j] != text[start + j]:
                return False
        start += size
    return start == end


@jit
def keep(numbers, cache, block):
    """Put words that were not in the cache into it.

    Cuts of more than MOST ids are not kept.

    Args:
        numbers: int64 of shape (n,).
        cache: see `make_cache`.
        block: `Block` of `kernels.likely_words`, with all about these words.
    """
    rows, pool = cache
    values, cuts, long_ids = block.values, block.cuts, block.long_ids
    firsts, lasts, places, _ = block.keys
    for k in numbers:
        count = np.int64(values[k] & COUNT_BITS)
        if count > MOST:
            continue
        row = places[k]
        if rows[row, 0] and (
            rows[row, 0] != firsts[k] or rows[row, 1] != lasts[k]
        ):
            row |= _ONE
        rows[row, 0] = firsts[k]
        rows[row, 1] = lasts[k]
        rows[row, 2] = values[k]
        rows[row, 3] = cuts[k]
        if count > INLINE:
            start = np.int64(cuts[k])
            for c in range(count):
                pool[row, c] = long_ids[start + c]


@inline
def _first_row(first, last):
    """Return the first row of a key's pair."""
    h = (first ^ last * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    return h >> np.uint64(65 - ROW_BITS) << np.uint64(1)


@jit
def filter_words(text, starts):
    """Return a filter of some words, bool.

    A word is not one of them if the filter is False at the `row_mark` of its
    first row.

    Args:
        text: uint8, all words joined.
        starts: int64 of shape (words + 1,), where each begins, and the end.
    """
    marks = np.zeros(1 << _MARK_BITS, np.bool_)
    for k in range(starts.size - 1):
        first, last = _key(text, starts[k], starts[k + 1])
        marks[row_mark(_first_row(first, last))] = True
    return marks


@inline
def row_mark(row):
    """Return the place of a first row in the filter of `filter_words`."""
    return row >> np.uint64(ROW_BITS - _MARK_BITS)


@inline
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
