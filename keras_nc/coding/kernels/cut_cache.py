"""Numba kernels of a cache that remembers how strings are cut into ids.

A key stands for a string. It is two numbers, and the second is not 0. A row is
four uint64: the key (two), a value, and a cut. The lowest 16 bits of the value
are the number of ids of the cut. A cut of at most 4 ids holds them, 16 bits
each. The ids of a longer cut lie in a pool that has 16 places for each row.
While a block of text is cut, they are copied to an array of the block, and the
cut is their place there.

Rows form pairs. A key may be in either row of its pair. A new key replaces the
second one. A key that is found in the second row changes places with the first
one. So frequent strings are in first rows, and rare ones replace each other.
The cache changes only the speed: what is not in it is cut again.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels import make_prefetch

ROW_BITS = 17
INLINE = 4  # ids that a row holds
MOST = 16  # ids of a cut that has a row
_ID = np.uint64(0xFFFF)

prefetch = make_prefetch()


def make_caches():
    """Return two empty caches, a tuple: their rows, and their pools."""
    rows = [np.zeros((1 << ROW_BITS, 4), np.uint64) for _ in range(2)]
    pools = [np.zeros((1 << ROW_BITS, MOST), np.uint16) for _ in range(2)]
    return *rows, *pools


@inline
def first_row(first, last):
    """Return the first row of a key's pair."""
    h = (first ^ last * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(
        0xD6E8FEB86659FD93
    )
    return h >> np.uint64(65 - ROW_BITS) << np.uint64(1)


@jit
def find_rows(n, rows, firsts, lasts, places, targets, values, cuts, left):
    """Read the first rows of n keys.

    Callers prefetch a row when they compute its place, so that it is in the
    processor's cache here.

    Args:
        n: int.
        rows: uint64 of shape (rows, 4).
        firsts: uint64 of shape (n,).
        lasts: uint64 of shape (n,), not 0.
        places: uint64 of shape (n,), the `first_row` of each key.
        targets: int64 of shape (n,).
        values: is filled at `targets`, 0 if the key is not in its first row.
        cuts: the same, with the cuts.
        left: int64, is filled with the numbers of the keys that are not in
            their first row, or have more than INLINE ids.

    Returns:
        How many keys are left.
    """
    count = 0
    for k in range(n):
        row = places[k]
        known = (rows[row, 0] == firsts[k]) & (rows[row, 1] == lasts[k])
        value = rows[row, 2] if known else np.uint64(0)
        values[targets[k]] = value
        cuts[targets[k]] = rows[row, 3]
        left[count] = k
        count += (value == 0) | (value & _ID > INLINE)
    return count


@inline
def find_row(rows, pool, first, last):
    """Return the row of a key, or where to put it, and whether it is there.

    Args:
        rows: uint64 of shape (rows, 4).
        pool: uint16 of shape (rows, MOST).
        first: uint64.
        last: uint64, not 0.
    """
    at = first_row(first, last)
    if rows[at, 0] == first and rows[at, 1] == last:
        return at, True
    second = at | np.uint64(1)
    if rows[second, 0] == first and rows[second, 1] == last:
        for k in range(4):
            rows[at, k], rows[second, k] = rows[second, k], rows[at, k]
        longest = max(rows[at, 2] & _ID, rows[second, 2] & _ID)
        if longest > INLINE:
            for k in range(longest):
                pool[at, k], pool[second, k] = pool[second, k], pool[at, k]
        return at, True
    return (second if rows[at, 1] else at), False


@inline
def read_row(rows, pool, row, long_ids, placed):
    """Return the value and the cut of a row, and the end of the block's ids.

    Args:
        rows: uint64 of shape (rows, 4).
        pool: uint16 of shape (rows, MOST).
        row: int.
        long_ids: uint16, to which the ids of long cuts are copied.
        placed: int, the number of ids that are there already.
    """
    value = rows[row, 2]
    count = np.int64(value & _ID)
    if count <= INLINE:
        return value, rows[row, 3], placed
    for k in range(count):
        long_ids[placed + k] = pool[row, k]
    return value, np.uint64(placed), placed + count


@jit
def fill_row(rows, pool, row, first, last, value, cut, ids):
    """Put a key, its value, its cut and the ids into a row.

    A cut of more than MOST ids gets no row. `ids` begins with those of the cut.
    """
    count = np.int64(value & _ID)
    if count > MOST:
        return
    rows[row, 0] = first
    rows[row, 1] = last
    rows[row, 2] = value
    rows[row, 3] = cut
    if count > INLINE:
        for k in range(count):
            pool[row, k] = ids[k]


@jit
def make_cut(ids, count, long_ids, placed):
    """Return the cut of `ids[:count]`, and the end of the block's ids."""
    cut = np.uint64(0)
    if count <= INLINE:
        for k in range(count):
            cut |= np.uint64(ids[k]) << np.uint64(16 * k)
        return cut, placed
    for k in range(count):
        long_ids[placed + k] = ids[k]
    return np.uint64(placed), placed + count


@inline
def write_cut(count, cut, long_ids, ids, written):
    """Write the ids of a cut; return where they end.

    A cut of up to INLINE ids always overwrites INLINE places.

    Args:
        count: int, number of ids.
        cut: uint64.
        long_ids: uint16, the ids of long cuts.
        ids: is filled from `written` on.
        written: int.
    """
    if count <= INLINE:
        ids[written] = cut & _ID
        ids[written + 1] = (cut >> np.uint64(16)) & _ID
        ids[written + 2] = (cut >> np.uint64(32)) & _ID
        ids[written + 3] = cut >> np.uint64(48)
    else:
        place = np.int64(cut)
        for k in range(count):
            ids[written + k] = long_ids[place + k]
    return written + count


@inline
def write_cut_before(count, cut, long_ids, ids, end):
    """Write the ids of a cut up to `end`; return where they begin.

    A cut of up to INLINE ids always overwrites INLINE places.

    Args:
        count: uint64, number of ids.
        cut: uint64.
        long_ids: uint16, the ids of long cuts.
        ids: is filled up to `end`.
        end: uint64.
    """
    if count <= INLINE:
        cut <<= np.uint64(16) * (np.uint64(INLINE) - count)
        at = end - np.uint64(INLINE)
        ids[at] = cut & _ID
        ids[at + np.uint64(1)] = (cut >> np.uint64(16)) & _ID
        ids[at + np.uint64(2)] = (cut >> np.uint64(32)) & _ID
        ids[at + np.uint64(3)] = cut >> np.uint64(48)
    else:
        for k in range(count):
            ids[end - count + k] = long_ids[cut + k]
    return end - count
