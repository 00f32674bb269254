import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import keras_nc
from keras_nc.data import TokenShards
from keras_nc.data import shard_format
from keras_nc.data import shard_writer
from keras_nc.data import write_shards
from tests.data.conftest import SHARD_TOKENS
from tests.data.conftest import Interrupted
from tests.data.conftest import expected_ids

pytestmark = pytest.mark.usefixtures("small_batches")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def reference(tmp_path, documents, make_shards):
    """The files that an uninterrupted run writes."""
    folder = tmp_path / "reference"
    make_shards(documents, folder, shard_tokens=SHARD_TOKENS)
    return contents(folder)


@given(
    documents=st.lists(st.binary(max_size=30), min_size=1, max_size=20),
    shard_tokens=st.integers(1, 60),
    batch_bytes=st.integers(1, 100),
)
@settings(max_examples=40, deadline=None)
def test_any_documents(
    documents, shard_tokens, batch_bytes, tmp_path_factory, make_shards
):
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writer, "_BATCH_BYTES", batch_bytes)
        shards = make_shards(documents, folder, shard_tokens=shard_tokens)
    found = [shards.document(i).tolist() for i in range(len(documents))]
    assert found == list(map(expected_ids, documents))
    for shard in shards.manifest["shards"]:
        assert shard["tokens"] <= shard_tokens or shard["documents"] == 1
    # Shards are as full as they can be: no two neighbours fit in one.
    sizes = [shard["tokens"] for shard in shards.manifest["shards"]]
    firsts = np.cumsum(
        [0, *(s["documents"] for s in shards.manifest["shards"])]
    )
    for number in range(len(sizes) - 1):
        following = len(shards.document(firsts[number + 1]))
        assert sizes[number] + following > shard_tokens


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (259, "uint16"),
        (65_536, "uint16"),
        (65_537, "uint32"),
        (2**33, "uint64"),
    ],
)
def test_smallest_dtype(tmp_path, make_tokenizer, size, dtype):
    shards = write_shards([b"\xfc"], make_tokenizer(size), tmp_path)
    assert shards.dtype == dtype
    assert shards.tokens(0, 2).tolist() == [255, 2]


def test_real_tokenizer(tmp_path, documents):
    from keras_nc.tokenizers import ByteTokenizer

    shards = write_shards(documents, ByteTokenizer(), tmp_path)
    assert shards.document(5).tolist() == expected_ids(documents[5])


def test_resume_after_an_error(tmp_path, documents, reference, make_tokenizer):
    rng = np.random.default_rng(3)

    def interrupted(stop):
        yield from documents[:stop]
        raise Interrupted

    for attempt in range(5):
        folder = tmp_path / str(attempt)
        # Three interruptions at growing random points, then a full run.
        for stop in sorted(rng.integers(0, len(documents), 3)):
            with pytest.raises(Interrupted):
                write_shards(
                    interrupted(stop),
                    make_tokenizer(),
                    folder,
                    shard_tokens=SHARD_TOKENS,
                )
            with pytest.raises(ValueError, match="manifest"):
                TokenShards(folder)
        tokenizer = make_tokenizer()
        write_shards(documents, tokenizer, folder, shard_tokens=SHARD_TOKENS)
        assert contents(folder) == reference


def test_resume_does_not_tokenize_again(
    tmp_path, documents, reference, make_tokenizer, monkeypatch
):
    monkeypatch.setattr(shard_writer, "_BATCH_BYTES", 1)

    def interrupted():
        yield from documents[:-2]
        raise Interrupted

    folder = tmp_path / "run"
    tokenizer = make_tokenizer()
    with pytest.raises(Interrupted):
        write_shards(
            interrupted(), tokenizer, folder, shard_tokens=SHARD_TOKENS
        )
    progress = json.loads((folder / shard_format.PROGRESS).read_bytes())
    assert progress["num_documents"] > len(documents) / 2
    tokenizer = make_tokenizer()
    write_shards(documents, tokenizer, folder, shard_tokens=SHARD_TOKENS)
    left = len(documents) - progress["num_documents"]
    assert tokenizer.num_encoded == left
    assert contents(folder) == reference


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_resume_after_a_stop_at_any_file(
    tmp_path, documents, make_shards, monkeypatch, function
):
    documents = documents[:12]
    make_shards(documents, tmp_path / "reference", shard_tokens=SHARD_TOKENS)
    reference = contents(tmp_path / "reference")
    real = getattr(os, function)

    def stop_at(number, after):
        """Stops right before or right after the call `number`."""
        calls = iter(range(number + 1))

        def call(*args):
            last = next(calls, None) in (number, None)
            if not last or after:
                real(*args)
            if last:
                raise Interrupted

        return call

    number, after = 0, False
    while True:
        folder = tmp_path / f"{number}-{after}"
        with monkeypatch.context() as patch:
            patch.setattr(os, function, stop_at(number, after))
            try:
                make_shards(documents, folder, shard_tokens=SHARD_TOKENS)
                break
            except Interrupted:
                pass
        make_shards(documents, folder, shard_tokens=SHARD_TOKENS)
        assert contents(folder) == reference
        number, after = number + after, not after
    assert number > 10


def test_resume_after_a_kill(tmp_path, documents, reference, make_shards):
    folder = tmp_path / "killed"
    code = f"""if True:
        import os, signal, sys, types
        sys.modules["keras_nc"] = types.ModuleType("keras_nc")
        sys.modules["keras_nc"].__path__ = {list(keras_nc.__path__)}
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import conftest
        from keras_nc.data import shard_writer
        shard_writer._BATCH_BYTES = 1
        def documents():
            yield from {documents[:40]}
            os.kill(os.getpid(), signal.SIGKILL)
        shard_writer.write_shards(documents(), conftest.PlainBytes(),
            {str(folder)!r}, shard_tokens={SHARD_TOKENS})
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert (folder / "tokens-00002.npy").exists()
    assert not (folder / shard_format.MANIFEST).exists()
    make_shards(documents, folder, shard_tokens=SHARD_TOKENS)
    assert contents(folder) == reference


def test_damage_is_mended_when_a_run_goes_on(
    tmp_path, documents, reference, make_shards
):
    folder = tmp_path / "damaged"

    def interrupted():
        yield from documents[:-2]
        raise Interrupted

    with pytest.raises(Interrupted):
        make_shards(interrupted(), folder, shard_tokens=SHARD_TOKENS)
    (folder / "tokens-00000.npy").unlink()
    (folder / "offsets-00002.npy").write_bytes(b"damaged")
    make_shards(documents, folder, shard_tokens=SHARD_TOKENS)
    assert contents(folder) == reference


def test_damage_is_not_mended_with_other_ids(tmp_path, make_tokenizer):
    write_shards([b"text"], make_tokenizer(), tmp_path)
    (tmp_path / "tokens-00000.npy").unlink()
    other = make_tokenizer()
    encode = other.encode_batch
    other.encode_batch = lambda batch: (encode(batch)[0] ^ 1, encode(batch)[1])
    with pytest.raises(ValueError, match="gives other ids now"):
        write_shards([b"text"], other, tmp_path)


def test_same_call_again(tmp_path, documents, tokenizer, make_tokenizer):
    write_shards(documents, tokenizer, tmp_path)
    before = contents(tmp_path)
    tokenizer = make_tokenizer()
    shards = write_shards(documents, tokenizer, tmp_path)
    assert shards.num_documents == len(documents)
    assert tokenizer.num_encoded == 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize("complete", [True, False])
def test_other_input_is_refused(tmp_path, documents, make_shards, complete):
    def source():
        yield from documents
        if not complete:
            raise Interrupted

    try:
        make_shards(source(), tmp_path, shard_tokens=SHARD_TOKENS)
    except Interrupted:
        assert not complete
    before = contents(tmp_path)
    others = {
        "differs in shard 0": [b"other", *documents[1:]],
        "fewer documents": documents[:3],
    }
    if complete:
        others["more documents"] = [*documents, b""]
    for message, other in others.items():
        with pytest.raises(ValueError, match=message):
            make_shards(other, tmp_path, shard_tokens=SHARD_TOKENS)
    with pytest.raises(ValueError, match=r"shard_tokens=100.*shard_tokens=99"):
        make_shards(documents, tmp_path, shard_tokens=99)
    assert contents(tmp_path) == before


def test_overwrite(tmp_path, documents, make_tokenizer):
    (tmp_path / "notes.txt").write_bytes(b"mine")
    first = make_tokenizer(300)
    write_shards(documents, first, tmp_path, shard_tokens=SHARD_TOKENS)
    second = make_tokenizer(400)
    with pytest.raises(ValueError, match="overwrite=True"):
        write_shards(documents, second, tmp_path)
    shards = write_shards(documents, second, tmp_path, overwrite=True)
    assert shards.vocabulary_size == 400
    # The shards of the former run are gone; other files stay.
    assert not (tmp_path / "tokens-00001.npy").exists()
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"
    with pytest.raises(ValueError, match=first.fingerprint):
        shards.check_tokenizer(first)


def test_shards_without_a_manifest_are_not_touched(
    tmp_path, documents, make_shards
):
    make_shards(documents, tmp_path)
    (tmp_path / shard_format.MANIFEST).unlink()
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="must have their manifest"):
        make_shards(documents, tmp_path)
    assert contents(tmp_path) == before
    make_shards(documents, tmp_path, overwrite=True).verify()


def test_wrong_input(tmp_path, make_shards):
    folder = tmp_path / "shards"
    with pytest.raises(ValueError, match="at least one document"):
        make_shards([], folder)
    with pytest.raises(TypeError, match="Received: int"):
        make_shards([5], folder)
    for wrong in (0, 2.5, "many", None):
        with pytest.raises(ValueError, match="shard_tokens"):
            make_shards([b"text"], folder, shard_tokens=wrong)
    assert not folder.exists()


def test_wrong_tokenizer(tmp_path, make_tokenizer):
    too_small = make_tokenizer(200)
    with pytest.raises(ValueError, match=r"ids in \[0, 200\).*to 258"):
        write_shards([b"\xff"], too_small, tmp_path / "a")
    bad_offsets = make_tokenizer()
    bad_offsets.encode_batch = lambda batch: (
        np.zeros(4, int),
        np.array([0, 3]),
    )
    with pytest.raises(ValueError, match="Received: 4 ids"):
        write_shards([b"abcd"], bad_offsets, tmp_path / "b")
