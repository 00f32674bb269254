"""The builders against slow coders written from the definition."""

import hashlib
import random

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding.window_choice import build_arithmetic
from keras_nc.coding.window_choice import build_tunstall
from keras_nc.entropy_models import UnigramModel
from tests.coding import reference
from tests.coding.conftest import UNREFINED


class Hashed:
    """Unlike distributions, with zeros, fixed by the prefix alone."""

    def __init__(self, zeros=0.5, power=4):
        self.zeros = zeros
        self.power = power

    def probabilities(self, prefixes):
        rows = []
        for prefix in prefixes:
            seed = hashlib.sha256(prefix).digest()
            rng = random.Random(seed)
            row = [
                (rng.random() > self.zeros) * rng.random() ** self.power
                for _ in range(256)
            ]
            row[rng.randrange(256)] += 1.0
            rows.append(np.array(row) / sum(row))
        return np.array(rows)


MODELS = {
    "hashed": Hashed(),
    "certain": Hashed(zeros=0.98, power=9),
    "uniform": UnigramModel([1] * 256),
    "two bytes": UnigramModel([1, 1] + [0] * 254),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("longest", [2, 64])
def test_arithmetic_is_the_definition(name, longest):
    model = MODELS[name]
    coder = reference.ArithmeticCoder(model, 9, longest)
    codebook = Codebook.paper(model, window_bits=9, max_window_bytes=longest)
    for i in range(3, 512):
        window = coder.decode_one(i)
        assert codebook.token_lengths[i] == len(window or b"")
        if window:
            assert codebook.token_bytes(i) == window
            low, size = coder.range_of(window)
            assert codebook.prefix_range(window) == (low, low + size)


def test_arithmetic_encodes_like_the_definition(ngram, text, codebooks):
    coder = reference.ArithmeticCoder(ngram, 12, 64)
    rng = random.Random(3)
    for data in (text[:3000], rng.randbytes(50), bytes(300)):
        ids = codebooks[12, "arithmetic"].encode(data).tolist()
        assert ids == coder.encode(data)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("longest", [1, 2, 64])
def test_tunstall_takes_the_most_probable(name, longest):
    model = MODELS[name]
    codebook = Codebook.build(
        model,
        window_bits=9,
        allocation="tunstall",
        max_window_bytes=longest,
        **UNREFINED,
    )
    expected = reference.tunstall_windows(model, 9, longest)
    ids = np.flatnonzero(codebook.token_lengths)
    assert [codebook.token_bytes(i) for i in ids] == expected
    assert ids.tolist() == list(range(3, 3 + len(expected)))


def test_tunstall_of_counts(ngram):
    expected = reference.tunstall_windows(ngram, 10, 64)
    codebook = Codebook.build(
        ngram,
        window_bits=10,
        allocation="tunstall",
        **UNREFINED,
    )
    assert [codebook.token_bytes(i) for i in range(3, 1024)] == expected


@pytest.mark.parametrize("build", [build_arithmetic, build_tunstall])
@pytest.mark.parametrize("name", [*MODELS, "ngram"])
def test_the_batch_does_not_matter(build, name, ngram):
    model = {**MODELS, "ngram": ngram}[name]
    expected = build(model, 10, 64)
    for batch in (9, 100):
        assert build(model, 10, 64, batch=batch) == expected
