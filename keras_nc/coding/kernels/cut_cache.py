"""Numba kernels of a hash table that remembers how strings are cut.

A key is two numbers, and the second is not 0. A row is four uint64: the key, a
value, and a cut. The lowest 16 bits of the value count the ids of the cut. A
cut of at most 4 ids holds them, 16 bits each; else it is a place in the pool,
where they lie.

A cache is a tuple: the rows; the pool, int32; and how many rows and how many
places of the pool are in use, int64 of shape (2,). It is a matter of speed
only: what is not in it is cut again.
"""

import numpy as np

from keras_nc.coding.kernels import jit

INLINE = 4  # ids that a row holds
FEW, MANY = 1 << 10, 1 << 17  # rows, at first and at most
MOST_IDS = 1 << 20  # of the pool, unless a single block needs more
COUNT = np.uint64(0xFFFF)  # the bits of the number of ids


@jit
def make_cache():
    """Return an empty cache."""
    return (
        np.zeros((FEW, 4), np.uint64),
        np.empty(FEW, np.int32),
        np.zeros(2, np.int64),
    )


@jit
def make_room(cache, new_rows, new_ids):
    """Return a cache with room for these; a full one is emptied."""
    rows, pool, used = cache
    if used[1] + new_ids > MOST_IDS:
        rows[:] = 0
        used[:] = 0
    if 4 * (used[0] + new_rows) > 3 * rows.shape[0]:
        size = rows.shape[0]
        while 2 * (used[0] + new_rows) > size and size < MANY:
            size *= 2
        if size > rows.shape[0]:
            more = np.zeros((size, 4), np.uint64)
            for k in range(rows.shape[0]):
                if rows[k, 1]:
                    more[find_row(more, rows[k, 0], rows[k, 1])] = rows[k]
            rows = more
        elif 4 * used[0] > 3 * size:
            rows[:] = 0
            used[:] = 0
    if used[1] + new_ids > pool.size:
        more_pool = np.empty(2 * (used[1] + new_ids), np.int32)
        more_pool[: used[1]] = pool[: used[1]]
        pool = more_pool
    return rows, pool, used


@jit
def find_row(rows, first, last):
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
def has_room(cache):
    """Tell whether one more row may be filled."""
    rows, _, used = cache
    return 4 * used[0] < 3 * rows.shape[0]


@jit
def pack_cut(cache, ids, count):
    """Return the cut of `ids[:count]`; if they are many, put them in the pool.

    The pool must have room; see `make_room`.
    """
    _, pool, used = cache
    cut = np.uint64(0)
    if count <= INLINE:
        for k in range(count):
            cut |= np.uint64(ids[k]) << np.uint64(16 * k)
        return cut
    cut = np.uint64(used[1])
    pool[used[1] : used[1] + count] = ids[:count]
    used[1] += count
    return cut


@jit
def write_cut(pool, count, cut, ids, written):
    """Write the ids of a cut, and up to 3 numbers more; return where they end.

    Args:
        pool: int32, of the cache.
        count: int, number of ids.
        cut: uint64.
        ids: is filled from `written` on.
        written: int.
    """
    if count <= INLINE:
        ids[written] = cut & COUNT
        ids[written + 1] = (cut >> np.uint64(16)) & COUNT
        ids[written + 2] = (cut >> np.uint64(32)) & COUNT
        ids[written + 3] = cut >> np.uint64(48)
    else:
        place = np.int64(cut)
        for k in range(count):
            ids[written + k] = pool[place + k]
    return written + count
