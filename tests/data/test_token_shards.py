import json
import pickle

import numpy as np
import pytest

from keras_nc.data import TokenShards
from keras_nc.data import shard_format
from keras_nc.data import write_shards
from tests.data.conftest import SHARD_TOKENS
from tests.data.conftest import Interrupted
from tests.data.conftest import expected_ids

pytestmark = pytest.mark.usefixtures("small_batches")


def test_round_trip(tmp_path, documents, tokenizer):
    shards = write_shards(
        iter(documents), tokenizer, tmp_path, shard_tokens=SHARD_TOKENS
    )
    assert len(shards.manifest["shards"]) > 5
    assert shards.num_documents == len(documents)
    assert shards.num_bytes == sum(map(len, documents))
    assert shards.num_tokens == shards.num_bytes + shards.num_documents
    assert shards.bytes_per_token == shards.num_bytes / shards.num_tokens
    assert shards.vocabulary_size == 259
    assert shards.fingerprint == tokenizer.fingerprint
    assert shards.scheme_name == "plain bytes"
    stream = []
    for index, document in enumerate(documents):
        assert shards.document(index).tolist() == expected_ids(document)
        assert shards.document_bytes(index) == len(document)
        stream += expected_ids(document)
    for start in range(0, len(stream), 37):
        for stop in (start, start + 1, len(stream)):
            tokens = shards.tokens(start, stop)
            assert tokens.tolist() == stream[start:stop]
            assert tokens.dtype == shards.dtype == "uint16"
    shards.verify()
    shards.check_tokenizer(tokenizer)
    sizes = [shard["tokens"] for shard in shards.manifest["shards"]]
    assert max(sizes) <= SHARD_TOKENS
    # The files are plain .npy, readable by anyone.
    assert np.load(tmp_path / "tokens-00000.npy").tolist() == stream[: sizes[0]]


def test_out_of_range(tmp_path, make_shards):
    shards = make_shards([b"abc"], tmp_path)
    for index in (-1, 1):
        with pytest.raises(IndexError, match="numbered from 0 to 0"):
            shards.document(index)
    for start, stop in ((-1, 2), (0, 5), (3, 2)):
        with pytest.raises(IndexError, match="numbered from 0 to 4"):
            shards.tokens(start, stop)


def test_pickle_maps_again(tmp_path, make_shards):
    shards = make_shards([b"abc"], tmp_path)
    pickled = pickle.dumps(shards)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).tokens(0, 4).tolist() == [100, 101, 102, 2]


@pytest.mark.parametrize("name", ["tokens", "offsets", "bytes"])
def test_damaged_arrays(tmp_path, documents, make_shards, name):
    make_shards(documents, tmp_path, shard_tokens=SHARD_TOKENS)
    file = tmp_path / f"{name}-00001.npy"
    good = file.read_bytes()
    other = np.load(file).astype("float32")
    np.save(file, other)
    dtype = file.read_bytes()
    for damaged in (b"", good[:-1], good + b"\0", b"?" + good[1:], dtype):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}-00001.npy, damaged"):
            TokenShards(tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match=f"{name}-00001.npy, damaged"):
        TokenShards(tmp_path)
    # Hashes show damage that sizes do not.
    middle = len(good) - 16
    damaged = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"{name}-00001.npy, damaged"):
        TokenShards(tmp_path).verify()
    # Follow the advice: the same call rewrites only this shard.
    file.unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    make_shards(documents, tmp_path, shard_tokens=SHARD_TOKENS).verify()
    assert file.read_bytes() == good
    for path, time in before.items():
        if "00001" not in path.name:
            assert path.stat().st_mtime_ns == time


def test_all_damaged_files_are_named(tmp_path, documents, make_shards):
    shards = make_shards(documents, tmp_path, shard_tokens=SHARD_TOKENS)
    for number in (0, 2):
        file = tmp_path / f"tokens-{number:05d}.npy"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    (tmp_path / "bytes-00003.npy").unlink()
    with pytest.raises(ValueError) as error:
        shards.verify()
    for name in ("tokens-00000.npy", "tokens-00002.npy", "bytes-00003.npy"):
        assert name in str(error.value)
    assert "tokens-00001.npy" not in str(error.value)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.uint64])
def test_integers_of_numpy(tmp_path, documents, make_shards, kind):
    shards = make_shards(documents, tmp_path, shard_tokens=kind(100))
    expected = shards.tokens(3, 250).tolist()
    assert shards.tokens(kind(3), kind(250)).tolist() == expected
    assert shards.document(kind(5)).tolist() == expected_ids(documents[5])
    assert shards.document_bytes(kind(5)) == len(documents[5])


def test_damaged_manifests(tmp_path, documents, make_shards):
    make_shards(documents, tmp_path)
    file = tmp_path / shard_format.MANIFEST
    good = file.read_bytes()
    content = json.loads(good)
    changes = [
        {"format": "other"},
        {"format_version": 2},
        {"num_tokens": content["num_tokens"] + 1},
        {"dtype": "uint8"},
        {"extra": 1},
        {"shards": []},
        {"checksum": "0" * 64},
    ]
    damaged = [json.dumps({**content, **change}).encode() for change in changes]
    damaged += [b"", good[:-20], b"[]", b"{}", b"\xff", b'"text"', b"null"]
    for wrong in damaged:
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"must .* Received: .*again"):
            TokenShards(tmp_path)
        with pytest.raises(ValueError, match=r"must .* Received: .*again"):
            make_shards(documents, tmp_path)


def test_folders_without_shards(tmp_path, documents, make_shards):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="Write shards"):
            TokenShards(folder)

    def interrupted():
        yield from documents
        raise Interrupted

    with pytest.raises(Interrupted):
        make_shards(interrupted(), tmp_path)
    with pytest.raises(ValueError, match="continues where it stopped"):
        TokenShards(tmp_path)
    # A partial manifest is not accepted as a whole one.
    (tmp_path / shard_format.PROGRESS).rename(tmp_path / shard_format.MANIFEST)
    with pytest.raises(ValueError, match="fields are wrong"):
        TokenShards(tmp_path)
