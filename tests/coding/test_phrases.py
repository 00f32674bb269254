"""Phrases of many words, more than fit in the tables of a block."""

import functools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from tests.coding.reference_parses import expected_windows
from tests.coding.reference_parses import windows_of


@functools.cache
def long_phrases():
    """A codebook of runs of up to 60 words, with unequal costs."""
    rng = random.Random(0)
    windows = {bytes([b]) for b in range(256)} | {b" a", b" b", b" ab"}
    windows |= {b"-" * n for n in (2, 3, 5, 8, 13, 21, 34, 60)}
    windows |= {b" a" * n + b" b" * m for n in range(9) for m in range(4)}
    windows |= {b"a," * n for n in range(2, 12)}
    windows = dict(enumerate(sorted(windows - {b""}), 3))
    costs = np.zeros(512, np.uint16)
    # A cost per byte that depends little on the length.
    costs[list(windows)] = [
        (1 + len(window)) * rng.randrange(90, 110)
        for window in windows.values()
    ]
    return Codebook(
        windows,
        window_bits=9,
        max_window_bytes=60,
        allocation="tunstall",
        parse="likely_words",
        costs=costs,
    )


pieces = st.sampled_from([b" a", b" b", b" ab", b"-", b"a,", b"x", b"  "])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(pieces, st.integers(1, 70)), max_size=9))
def test_phrases_of_many_words(runs):
    codebook = long_phrases()
    text = b"".join(piece * count for piece, count in runs)
    expected = expected_windows(codebook, text)
    assert windows_of(codebook, text) == expected
    # Groups may also be in the cache, and several documents in one call.
    ids, offsets = codebook.encode_batch([text, text])
    assert ids[: offsets[1]].tolist() == ids[offsets[1] :].tolist()
    assert len(expected) == offsets[1]


@pytest.mark.parametrize(
    "text",
    [
        b"-" * 5_000 + b" a" * 2_000 + b" b" * 2_000,  # longer than a block
        b"-" * 40_000,  # more words than the tables of phrases hold
        (b" a b ab" * 9 + b"a,x" * 4) * 100,
    ],
)
def test_long_runs_of_words(text):
    codebook = long_phrases()
    assert windows_of(codebook, text) == expected_windows(codebook, text)
