"""Shards whose hashes are right, but whose content is not."""

import numpy as np
import pytest

from keras_nc.data import TokenShards
from keras_nc.data import shard_format
from keras_nc.data import verify_shards
from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer

DOCUMENTS = [b"one", b"two", b"", b"three"]


def rewrite(folder, array, change):
    """Change an array of shard 0, and write a manifest that agrees."""
    path = folder / shard_format.file_name(array, 0)
    values = np.load(path)
    change(values)
    fields = shard_format.read_manifest(folder / shard_format.MANIFEST)
    entry = fields["shards"][0]
    entry["files"][array] = shard_format.write_array(path, [values])
    for total in ("documents", "tokens", "bytes"):
        fields.pop(f"num_{total}")
    shard_format.write_manifest(folder / shard_format.MANIFEST, fields)


def put(index, value):
    def change(array):
        array[index] = value

    return change


@pytest.fixture
def folder(tmp_path):
    write_shards(DOCUMENTS, ByteTokenizer(), tmp_path, shard_tokens=10)
    assert len(TokenShards(tmp_path).manifest["shards"]) == 2
    return tmp_path


def test_all_is_well(folder):
    shards = verify_shards(folder, ByteTokenizer(), iter(DOCUMENTS))
    assert shards.num_documents == len(DOCUMENTS)
    verify_shards(folder)


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("tokens", put(0, 2)),  # an end id within a document
        ("tokens", put(3, 7)),  # no end id after one
        ("tokens", put(0, 259)),  # not an id
        ("offsets", put(1, 3)),  # ends that do not fit the tokens
        ("bytes", put(0, 4)),
        ("bytes", lambda a: put(slice(0, 2), (-1, 7))(a)),
    ],
    ids=["end", "no end", "too large", "offset", "sum", "negative"],
)
def test_counts_are_compared(folder, array, change):
    rewrite(folder, array, change)
    with pytest.raises(ValueError, match=r"Received: .*-00000\.npy, damaged"):
        verify_shards(folder)


@pytest.mark.parametrize(
    ("array", "change", "reason"),
    [
        ("tokens", put(0, 3 + ord("O")), "shard 0: it decodes to other text"),
        ("tokens", put(0, 0), "shard 0: .*special"),
        ("bytes", put(slice(0, 2), (2, 4)), "document 0 decodes to 3 bytes"),
    ],
    ids=["text", "pad", "sizes"],
)
def test_text_is_compared(folder, array, change, reason):
    rewrite(folder, array, change)
    verify_shards(folder)  # the counts are right
    with pytest.raises(ValueError, match=reason):
        verify_shards(folder, ByteTokenizer())


def test_another_tokenizer_is_refused(folder, tokenizer):
    with pytest.raises(ValueError, match="the tokenizer that made them"):
        verify_shards(folder, tokenizer)


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        (DOCUMENTS[:3], "fewer"),
        ([*DOCUMENTS, b""], "more"),
        ([b"one", b"tw", b"o", b"three"], "differs from shard 0"),
        ([*DOCUMENTS[:3], b"THREE"], "differs from shard 1"),
    ],
    ids=["fewer", "more", "borders", "text"],
)
def test_another_input_is_refused(folder, documents, reason):
    with pytest.raises(ValueError, match=reason):
        verify_shards(folder, documents=documents)


def test_shards_that_the_manifest_does_not_have(folder):
    extra = folder / shard_format.file_name("tokens", 2)
    extra.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no others.*tokens-00002\.npy"):
        verify_shards(folder)
    extra.unlink()
    (folder / "notes.txt").write_bytes(b"")
    verify_shards(folder)
