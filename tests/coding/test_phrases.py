"""Cuts of words and phrases: many words, several documents, long words."""

import functools
import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding.kernels import phrase_cuts
from keras_nc.coding.kernels import word_cache
from keras_nc.coding.kernels.phrases import build_phrases
from keras_nc.coding.parses import PARSES
from keras_nc.coding.trie import Trie
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
    assert windows_of(codebook, text) == expected_windows(codebook, text)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(st.tuples(pieces, st.integers(1, 9)), max_size=4),
        min_size=1,
        max_size=30,
    )
)
def test_documents_of_one_call(documents):
    codebook = long_phrases()
    texts = [b"".join(piece * n for piece, n in runs) for runs in documents]
    ids, offsets = codebook.encode_batch(texts)
    assert offsets[0] == 0
    assert offsets[-1] == ids.size
    for text, start, end in zip(texts, offsets, offsets[1:], strict=False):
        windows = [codebook.token_bytes(i) for i in ids[start:end].tolist()]
        assert windows == expected_windows(codebook, text)


def test_documents_around_blocks_and_long_words():
    codebook = long_phrases()
    texts = [b"-" * 9_000, b"", b"x" * 400, b"", b" a b" * 3_000, b"x" * 300]
    texts += [b"-" * 70, b"", b"a," * 5 + b"x" * 600, b"x", b"x" * 256]
    for size in (254, 255, 256, 300, 500, 511, 512, 513, 1_030):
        texts += [b"x" * size, (b"a,a, ab" + b"y" * size) * 9]
    ids, offsets = codebook.encode_batch(texts)
    for text, start, end in zip(texts, offsets, offsets[1:], strict=False):
        windows = [codebook.token_bytes(i) for i in ids[start:end].tolist()]
        assert windows == expected_windows(codebook, text)


def test_no_documents():
    ids, offsets = long_phrases().encode_batch([])
    assert ids.size == 0
    assert offsets.tolist() == [0]


def test_too_many_windows_for_words_and_phrases():
    windows = [bytes([b]) for b in range(256)]
    windows += [bytes([b, c]) for b in range(255) for c in range(256)]
    lengths = np.array([0, *map(len, sorted(windows))], np.uint8)
    content = np.frombuffer(b"".join(sorted(windows)), np.uint8)
    costs = np.ones(lengths.size, np.uint16)
    text, offsets = np.zeros(9, np.uint8), np.array([0, 9])
    with pytest.raises(ValueError, match="at most 65,535 windows"):
        Trie(lengths, content).encode(
            text, offsets, PARSES["likely_words"], costs
        )


def words_with_equal_keys():
    """Two words of 16 letters that have the same key in the cache."""

    def mix(number):
        number = number * 0x9E3779B97F4A7C15 % 2**64
        return number ^ number >> 32

    word = b"abcdefgh" * 2
    first, last = (int.from_bytes(word[i : i + 8], "little") for i in (0, 8))
    rng = random.Random(0)
    while True:
        other = bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=8))
        hashed = mix(int.from_bytes(other, "little"))
        rest = (hashed ^ mix(first) ^ last).to_bytes(8, "little")
        if re.fullmatch(rb"[\w\x80-\xff]{8}", rest):
            return word, other + rest


def test_words_that_differ_but_have_one_key():
    one, other = words_with_equal_keys()
    keys = [
        word_cache._key(np.frombuffer(word, np.uint8), 0, len(word))
        for word in (one, other)
    ]
    assert one != other
    assert keys[0] == keys[1]
    codebook = long_phrases()
    text = b",".join([one, one, other, other, one, other])
    for _ in range(2):
        assert codebook.decode(codebook.encode(text)) == text
        assert windows_of(codebook, text) == expected_windows(codebook, text)


@pytest.mark.parametrize(
    "text",
    [
        b"-" * 5_000 + b" a" * 2_000 + b" b" * 2_000,  # longer than a block
        b"-" * 40_000,  # costs are made smaller
        (b" a b ab" * 9 + b"a,x" * 4) * 100,
    ],
)
def test_long_runs_of_words(text):
    codebook = long_phrases()
    assert windows_of(codebook, text) == expected_windows(codebook, text)


def test_sums_of_large_costs():
    n = 70_000
    words, ids = np.array([1, 2], np.int32), np.array([9], np.int32)
    phrases = build_phrases(words, np.array([0, 2]), ids, ids, 2)
    values = np.full(n + 1, (2**24 - 1) << 16 | 1, np.uint64)
    found = np.full((n, 2), phrase_cuts._NONE)
    best = np.empty(n + 2, np.uint64)
    phrase_cuts.join_words(
        n, values, phrases, found, np.zeros(n, np.int32), best
    )
    parts = best[2:].tolist()
    assert {phrase_cuts.part_words(np.uint64(part)) for part in parts} == {1}
    assert {part & 0xFFFF for part in parts} == {0}
