"""Tables for the words of a block of text, see `kernels.likely_words`."""

import collections

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import MOST_WORDS
from keras_nc.coding.kernels.phrases import NEAR

LONGEST_GROUP = 6  # words of the longest group in the cache
SPARE = 4  # ids that may be written after the last one

Block = collections.namedtuple(
    "Block",
    [
        "starts",  # where words begin
        "words",  # as phrases number them
        "costs",  # of words by themselves
        "values",  # of words, see `kernels.word_cuts`
        "cuts",  # of words, see `kernels.cut_cache`
        "groups",  # the words with which groups begin
        "long_ids",  # ids of long cuts
        "keys",  # of words or groups, see `find_rows`
        "group_values",  # numbers of ids
        "group_cuts",
        "tables",  # see `cut_words` and `find_alive`
        "row",  # words, values and best cuts, see `word_groups.join_groups`
        "lists",  # see `find_phrases`
        "found",  # the same
        "ids",  # of one group
    ],
)


@jit
def make_block(size):
    """Return tables for a block of `size` bytes."""
    keys = (
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int64),
    )
    tables = (
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
    )
    # A group of two words or more has a word 0 after it.
    room = min(2 * size, MOST_WORDS)
    row = (
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty(room + NEAR + 1, np.uint64),
    )
    lists = (
        np.empty(room, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.uint8),
    )
    found = (
        np.empty(NEAR * room, np.uint64),
        np.empty(room, np.int32),
        np.empty(room, np.uint64),
        np.empty((room, 2), np.int32),
    )
    return Block(
        np.empty(size + 2, np.int64),
        np.zeros(size + LONGEST_GROUP, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        np.empty(size + 2, np.int64),
        # Words have at most as many ids as bytes, and so have groups.
        np.empty(2 * size, np.uint16),
        keys,
        np.empty(size, np.uint64),
        np.empty(size, np.uint64),
        tables,
        row,
        lists,
        found,
        np.empty(size + SPARE, np.uint16),
    )
