import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import zstandard

import keras_nc
from keras_nc.data import Corpus
from keras_nc.data import default_corpus
from keras_nc.data import docstrings
from keras_nc.data.default_corpus import FORMAT_VERSION
from keras_nc.data.default_corpus import PACKAGES
from keras_nc.data.default_corpus import build_documents
from keras_nc.data.default_corpus import cache_directory
from keras_nc.data.default_corpus import cache_file
from keras_nc.data.default_corpus import load_documents
from keras_nc.data.default_corpus import read_cache
from keras_nc.data.default_corpus import split_of
from keras_nc.data.default_corpus import write_cache

# Enough for tests that do not need the whole corpus.
SMALL = ("absl", "llvmlite", "markdown_it")


@pytest.fixture(scope="module")
def splits():
    return {s: default_corpus(s) for s in ("train", "validation")}


@pytest.fixture(scope="module")
def small_documents():
    return build_documents(SMALL)


def run_fresh(code, **environment):
    """Run code in a fresh process and return its output.

    The other subpackages, which take seconds, are not imported.
    """
    bare = (
        "import sys, types\n"
        "sys.modules['keras_nc'] = types.ModuleType('keras_nc')\n"
        f"sys.modules['keras_nc'].__path__ = {list(keras_nc.__path__)}\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", bare + code],
        env={**os.environ, "KERAS_BACKEND": "jax", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_size(splits):
    for split, corpus in splits.items():
        print(f"{split}: {corpus.describe()}")
    total = sum(corpus.num_bytes for corpus in splits.values())
    # Other versions of the packages hold more or less text.
    assert 12e6 < total < 25e6
    assert 0.25e6 < splits["validation"].num_bytes < 1.2e6


def test_is_english(splits):
    text = b" ".join(splits["validation"]).lower()
    assert text.count(b" the ") > len(text) / 500


def test_splits_are_disjoint(splits):
    train, validation = splits["train"], splits["validation"]
    assert not set(train.documents) & set(validation.documents)
    assert not set(train.names) & set(validation.names)
    assert all(split_of(name) == "train" for name in train.names)
    assert all(split_of(name) == "validation" for name in validation.names)


def test_documents_and_names_are_unique(splits):
    for corpus in splits.values():
        assert len(set(corpus.documents)) == len(corpus)
        assert len(set(corpus.names)) == len(corpus)
        assert all(len(document) >= 64 for document in corpus)


def test_order_is_that_of_the_hashes(splits):
    names = splits["train"].names
    key = [hashlib.sha256(name.encode()).digest() for name in names]
    assert key == sorted(key)


def test_language_topics_are_there(splits):
    names = splits["train"].names + splits["validation"].names
    assert "pydoc_data.topics/for" in names
    assert "ast" in names
    assert "keras.src.layers.core.dense" in names


def test_max_bytes(splits):
    train = splits["train"]
    for limit in (3_000, 100_000, 1_000_000):
        part = default_corpus("train", max_bytes=limit)
        assert 0.9 * limit <= part.num_bytes <= limit
        assert set(part.names) <= set(train.names)
    assert default_corpus("train", max_bytes=10**9) == train
    for same in (np.uint16(60_000), np.int64(60_000), 6e4):
        part = default_corpus("train", max_bytes=same)
        assert part == default_corpus("train", max_bytes=60_000)


def test_same_in_a_fresh_process_that_imports_nothing(small_documents):
    code = (
        "from keras_nc.data import Corpus\n"
        "from keras_nc.data.default_corpus import build_documents\n"
        f"names, texts = zip(*build_documents({SMALL}))\n"
        "print(Corpus(texts, names).content_hash)\n"
        "print(set(sys.modules) & {'llvmlite', 'markdown_it'})"
    )
    names, texts = zip(*small_documents, strict=True)
    expected = f"{Corpus(texts, names).content_hash}\nset()"
    for seed in ("1", "2"):
        assert run_fresh(code, PYTHONHASHSEED=seed) == expected


def test_import_is_cheap():
    code = (
        "import keras\n"
        "before = set(sys.modules)\n"
        "import keras_nc.data\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(new & {'tensorflow', 'numba', 'jax', 'torch', 'keras_hub'})"
    )
    assert run_fresh(code) == "set()"


def test_dedup():
    documents = build_documents(("absl", "absl"))
    assert documents == build_documents(("absl",))
    texts = []
    for _, path in docstrings.find_modules("absl"):
        texts += docstrings.extract_docstrings(path.read_bytes())
    joined = b"\n\n".join(text for _, text in documents).decode()
    repeated = [t for t in set(texts) if texts.count(t) > 1 and len(t) > 40]
    assert repeated
    assert all(joined.count(text) == 1 for text in repeated)


def test_missing_package_is_skipped(small_documents):
    assert build_documents((*SMALL, "no_such_package")) == small_documents


def test_no_source_at_all():
    with pytest.raises(RuntimeError, match="none was found"):
        build_documents(("no_such_package",))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="Received: split='test'"):
        default_corpus("test")
    with pytest.raises(ValueError, match="max_bytes=10"):
        default_corpus(max_bytes=10)


def test_corpus():
    corpus = Corpus((b"ab", b"c"), ("x", "y"))
    assert list(corpus) == [b"ab", b"c"]
    assert corpus[1] == b"c"
    assert len(corpus) == 2
    assert corpus.num_bytes == 3
    assert "2 documents, 3 bytes" in repr(corpus)
    # The boundaries between parts belong to the content.
    others = [
        Corpus((b"a", b"bc"), ("x", "y")),
        Corpus((b"ab", b"c"), ("xy", "")),
        Corpus((b"c", b"ab"), ("y", "x")),
    ]
    hashes = {corpus.content_hash, *(c.content_hash for c in others)}
    assert len(hashes) == 4
    with pytest.raises(ValueError, match="1 documents and 0 names"):
        Corpus((b"a",), ())


def test_cache_round_trip(tmp_path, small_documents):
    file = tmp_path / "folder" / "cache.json.zst"
    assert read_cache(file) is None
    write_cache(file, small_documents)
    assert read_cache(file) == small_documents
    assert os.listdir(file.parent) == [file.name]


def test_damaged_cache_is_refused(tmp_path, small_documents):
    file = tmp_path / "cache.json.zst"
    write_cache(file, small_documents)
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
        assert read_cache(file) is None


def test_cache_is_built_once_and_again_when_damaged(
    tmp_path, monkeypatch, small_documents
):
    calls = []

    def build():
        calls.append(1)
        return small_documents

    # The module's name in the package is that of its function.
    module = sys.modules[load_documents.__module__]
    monkeypatch.setattr(module, "build_documents", build)
    file = tmp_path / "cache"
    assert load_documents(file) == load_documents(file) == small_documents
    assert len(calls) == 1
    file.write_bytes(b"damaged")
    assert load_documents(file) == load_documents(file) == small_documents
    assert len(calls) == 2
    # If the cache cannot be written, there is no error.
    (tmp_path / "not a folder").write_bytes(b"")
    file = tmp_path / "not a folder" / "cache"
    assert load_documents(file) == load_documents(file) == small_documents
    assert len(calls) == 4


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_NC_CACHE", raising=False)
    assert cache_directory() == tmp_path / "keras_nc"
    monkeypatch.setenv("KERAS_NC_CACHE", str(tmp_path / "here"))
    assert cache_directory() == tmp_path / "here"


def test_cache_key_depends_on_versions(monkeypatch):
    file = cache_file(FORMAT_VERSION, PACKAGES)
    assert file == cache_file(FORMAT_VERSION, PACKAGES)
    assert file != cache_file(FORMAT_VERSION + 1, PACKAGES)
    assert file != cache_file(FORMAT_VERSION, PACKAGES[:-1])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0")
    assert file != cache_file(FORMAT_VERSION, PACKAGES)
