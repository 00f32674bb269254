import json
import os

import pytest
import zstandard

from keras_nc.data import corpus_cache
from keras_nc.data.default_corpus import FORMAT_VERSION
from keras_nc.data.default_corpus import PACKAGES
from keras_nc.data.default_corpus import _load
from keras_nc.data.default_corpus import build_documents

# Enough for tests that do not need the whole corpus.
SMALL = ("absl", "llvmlite", "markdown_it")


@pytest.fixture(scope="module")
def small_documents():
    return build_documents(SMALL)


def test_cache_round_trip(tmp_path, small_documents):
    file = tmp_path / "folder" / "cache.json.zst"
    assert corpus_cache.read(file) is None
    corpus_cache.write(file, small_documents)
    assert corpus_cache.read(file) == small_documents
    assert os.listdir(file.parent) == [file.name]


def test_damaged_cache_is_refused(tmp_path, small_documents):
    file = tmp_path / "cache.json.zst"
    corpus_cache.write(file, small_documents)
    packed = file.read_bytes()
    content = json.loads(zstandard.decompress(packed))
    content["documents"][0][1] += "!"
    damaged = [
        b"",
        packed[:-10],
        packed[:1000] + b"?" + packed[1001:],
        zstandard.compress(json.dumps(content).encode()),
        zstandard.compress(b"[]"),
        zstandard.compress(b'{"documents": [], "content_hash": ""}'),
        zstandard.compress(b'{"documents": [[1, 2]], "content_hash": ""}'),
    ]
    for content in damaged:
        file.write_bytes(content)
        assert corpus_cache.read(file) is None


def test_cache_is_built_once_and_again_when_damaged(
    tmp_path, monkeypatch, small_documents
):
    calls = []

    def build():
        calls.append(1)
        return small_documents

    monkeypatch.setitem(_load.__wrapped__.__globals__, "build_documents", build)
    load = _load.__wrapped__  # without the cache of this process
    file = tmp_path / "cache"
    assert load(file) == load(file) == small_documents
    assert len(calls) == 1
    file.write_bytes(b"damaged")
    assert load(file) == load(file) == small_documents
    assert len(calls) == 2
    # If the cache cannot be written, there is no error.
    (tmp_path / "not a folder").write_bytes(b"")
    file = tmp_path / "not a folder" / "cache"
    assert load(file) == load(file) == small_documents
    assert len(calls) == 4


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_NC_CACHE", raising=False)
    assert corpus_cache.cache_directory() == tmp_path / "keras_nc"
    monkeypatch.setenv("KERAS_NC_CACHE", str(tmp_path / "here"))
    assert corpus_cache.cache_directory() == tmp_path / "here"


def test_cache_key_depends_on_versions(monkeypatch):
    file = corpus_cache.cache_file(FORMAT_VERSION, PACKAGES)
    assert file == corpus_cache.cache_file(FORMAT_VERSION, PACKAGES)
    assert file != corpus_cache.cache_file(FORMAT_VERSION + 1, PACKAGES)
    assert file != corpus_cache.cache_file(FORMAT_VERSION, PACKAGES[:-1])
    monkeypatch.setattr(
        corpus_cache.importlib.metadata, "version", lambda name: "0.0"
    )
    assert file != corpus_cache.cache_file(FORMAT_VERSION, PACKAGES)
