"""Numba kernel that counts the different groups of words of a text.

If no phrase has two neighbouring words in a row, there is a cut between them.
So a text falls into groups of words, most of them single words. All that
depends on the cuts of a text is a sum over its groups.
"""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import is_bond

_PLACE = np.uint64(0xFFFFFFFF)


@jit
def count_groups(sequence, has_uses, longest, bonds, singles, groups, table):
    """Count the different groups of a piece of text.

    Args:
        sequence: int32, words from 1 on, with a 0 after each document; or
            groups, as this function writes them. The last 0 is
            missing if a piece ends inside a long document.
        has_uses: bool, whether the sequence is groups.
        longest: int, words after which a group ends, counted from the beginning
            of the document.
        bonds: the filter of `kernels.phrases.is_bond`.
        singles: int64 of shape (words + 1,): how often each word is a group by
            itself. Is counted up.
        groups: int32, twice as long as the sequence, is filled: for each
            different group of several words its uses, its words, and a 0.
        table: uint64, zeros, a power of two that is at least as long as the
            sequence.

    Returns:
        How much of `groups` is filled.
    """
    end = np.int64(0)
    i = np.int64(0)
    while i < sequence.size:
        uses = np.int64(1)
        if has_uses:
            uses = np.int64(sequence[i])
            i += 1
        begin = i
        while i < sequence.size and sequence[i]:
            first = i
            i += 1
            while (
                i < sequence.size
                and sequence[i]
                and (i - begin) % longest
                and is_bond(bonds, sequence[i - 1], sequence[i])
            ):
                i += 1
            if i == first + 1:
                singles[sequence[first]] += uses
            else:
                end = _add_group(sequence, first, i, uses, groups, end, table)
        i += 1
    return end


@jit
def _add_group(sequence, first, stop, uses, groups, end, table):
    """Add the uses of a group; return where the groups end."""
    h = np.uint64(0)
    for k in range(first, stop):
        h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(sequence[k])
        h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    # An entry has the upper half of the hash, and 1 + the place of a group.
    tag = h & ~_PLACE
    at = np.int64(h >> np.uint64(8) & np.uint64(table.size - 1))
    size = stop - first
    while table[at]:
        if table[at] & ~_PLACE == tag:
            place = np.int64(table[at] & _PLACE) - 1
            k = 0
            while k < size and groups[place + 1 + k] == sequence[first + k]:
                k += 1
            total = np.int64(groups[place]) + uses
            if k == size and not groups[place + 1 + k] and total < 1 << 31:
                groups[place] = total
                return end
        at = (at + 1) & (table.size - 1)
    table[at] = tag | np.uint64(end + 1)
    groups[end] = uses
    for k in range(size):
        groups[end + 1 + k] = sequence[first + k]
    groups[end + 1 + size] = 0
    return end + size + 2
