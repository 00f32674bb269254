"""Arrays that `kernels.likely_words` works in, for one block of text."""

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
        "words",  # their numbers, as in phrases
        "costs",  # of words, each cut by itself
        "values",  # of words, see `kernels.word_cuts`
        "cuts",  # of words, see `kernels.cut_cache`
        "groups",  # at which word each group begins
        "long_ids",  # ids of long cuts
        "keys",  # of words or groups, see `find_rows`
        "group_values",  # the lowest bits: how many ids each has
        "group_cuts",  # of groups, as `cuts`
        "tables",  # see `phrases.cut_words` and `phrases.find_alive`
        "row",  # words, values, best cuts; see `word_groups._join_groups`
        "lists",  # see `phrases.find_phrases`
        "found",  # see `phrases.find_phrases`
        "ids",  # room for the ids of one group
    ],
)


@jit
def make_block(size):
    """Return a `Block` for `size` bytes of text."""
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
    # Groups in the row have two words or more, and a word 0 after them.
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
        # Words have at most one id for each byte, and so have groups.
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
