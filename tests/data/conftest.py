import hashlib

import numpy as np
import pytest

from keras_nc.data import shard_writer
from keras_nc.data import write_shards

#: Tokens of a sequence, and rows of a batch.
T = 7
B = 3

#: Tokens of a shard.
SHARD_TOKENS = 100


class Interrupted(BaseException):
    """Stands for Ctrl-C: not caught by `except Exception`."""


class PlainBytes:
    """A tokenizer by the protocol of `write_shards`: id = 3 + byte."""

    end_token_id = 2
    scheme_name = "plain bytes"

    def __init__(self, vocabulary_size=259):
        self._vocabulary_size = vocabulary_size
        self.num_encoded = 0

    @property
    def fingerprint(self):
        name = f"{self.scheme_name} {self._vocabulary_size}"
        return hashlib.sha256(name.encode()).hexdigest()

    def vocabulary_size(self):
        return self._vocabulary_size

    def encode_batch(self, documents):
        self.num_encoded += len(documents)
        lengths = [len(document) for document in documents]
        ids = np.frombuffer(b"".join(documents), "uint8").astype("int32") + 3
        return ids, np.cumsum([0, *lengths], dtype="int64")


@pytest.fixture
def tokenizer():
    return PlainBytes()


@pytest.fixture(scope="session")
def make_tokenizer():
    return PlainBytes


@pytest.fixture(scope="session")
def make_shards():
    def make(documents, folder, **kwargs):
        return write_shards(documents, PlainBytes(), folder, **kwargs)

    return make


@pytest.fixture
def small_batches(monkeypatch):
    """Lower the limits, so that a few hundred bytes act like gigabytes."""
    monkeypatch.setattr(shard_writer, "_BATCH_BYTES", 50)


def expected_ids(document):
    """Return the ids of `PlainBytes`, with the end."""
    return [3 + byte for byte in document] + [2]


@pytest.fixture(scope="session")
def documents():
    rng = np.random.default_rng(7)
    sizes = rng.integers(0, 40, size=60)
    return [rng.bytes(size) for size in sizes]


@pytest.fixture(scope="session")
def shards(tmp_path_factory, documents, make_shards):
    folder = tmp_path_factory.mktemp("shards")
    return make_shards(documents, folder, shard_tokens=100)


def assert_equal(batch, other):
    for a, b in zip(leaves(batch), leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def leaves(batch):
    x, y, sample_weight = batch
    assert sorted(x) == ["padding_mask", "token_ids"]
    return [
        np.asarray(array)
        for array in (x["token_ids"], x["padding_mask"], y, sample_weight)
    ]
