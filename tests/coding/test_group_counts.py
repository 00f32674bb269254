"""Groups of words of a text, and how often each occurs."""

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import group_counts
from keras_nc.coding.kernels.group_counts import count_groups
from keras_nc.coding.kernels.phrases import build_phrases
from keras_nc.coding.kernels.phrases import is_bond

pairs = st.sets(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=9)


@settings(deadline=None, max_examples=60)
@given(
    sequence=st.lists(st.integers(0, 4), max_size=60),
    phrases=st.lists(pairs, min_size=1, max_size=3),
)
def test_groups_of_words_are_counted(sequence, phrases):
    """A first split counts the groups of documents, others split these."""
    sequence = np.array([*sequence, 0], np.int32)
    text = SimpleNamespace(
        starts=np.zeros(4), sequence=sequence, folder=None, bytes_of=int
    )
    groups = group_counts.WordGroups.of_text(text)
    expected = [list(g) for k, g in itertools.groupby(sequence, bool) if k]
    # A document begins a new group after each 3 words.
    expected = [g[i : i + 3] for g in expected for i in range(0, len(g), 3)]
    done = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_counts, "LONGEST", 3)
        patch.setattr(group_counts, "PIECE_WORDS", 7)
        for chosen in itertools.accumulate(phrases, set.intersection):
            words = np.array(sorted(chosen), np.int32).reshape(-1, 2)
            ids = np.arange(len(words), dtype=np.int32) + 1
            offsets = np.arange(0, words.size + 1, 2)
            _, _, bonds = build_phrases(words.ravel(), offsets, ids, ids, 4)
            groups = groups.split(bonds, done.append)
            expected = list(split_groups(expected, bonds))
    counts = Counter(map(tuple, expected))
    found = Counter()
    for has_group, group in itertools.groupby(groups.sequence, bool):
        if has_group:
            uses, *words = map(int, group)
            found[tuple(words)] += uses
    for word in range(1, 5):
        found[(word,)] += int(groups.singles[word])
    assert +found == counts
    assert sum(done) == sequence.size


def split_groups(groups, bonds):
    for group in groups:
        begin = 0
        for i in range(1, len(group)):
            if not is_bond(bonds, group[i - 1], group[i]):
                yield group[begin:i]
                begin = i
        yield group[begin:]


def test_groups_with_many_uses_stay_exact():
    """Uses that are too many for 32 bits are divided between two entries."""
    most = 2**31 - 1
    sequence = np.array([most, 1, 2, 0, 1, 1, 2, 0, 5, 1, 2, 0], np.int32)
    words = np.array([1, 2], np.int32)
    one = np.ones(1, np.int32)
    _, _, bonds = build_phrases(words, np.array([0, 2]), one, one, 2)
    found = np.zeros(2 * sequence.size, np.int32)
    end = count_groups(
        sequence, True, 9, bonds, np.zeros(3, np.int64), found,
        np.zeros(16, np.uint64),
    )  # fmt: skip
    assert found[:end].tolist() == [most, 1, 2, 0, 6, 1, 2, 0]
