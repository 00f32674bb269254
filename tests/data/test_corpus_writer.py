"""Corpora in groups: the same shards whatever writes them, and stops them."""

import functools
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys

import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.data import TokenShards
from keras_nc.data import corpus_groups
from keras_nc.data import corpus_writer
from keras_nc.data import read_documents
from keras_nc.data import shard_format
from keras_nc.data import shard_writer
from keras_nc.data import tokenize_corpus
from keras_nc.data import verify_shards
from keras_nc.data import write_shards
from keras_nc.data.documents import find_parts
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer

WORDS = "she sells sea shells by the sea shore and the shells are sea shells "


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer(Codebook.build(text=WORDS * 9, window_bits=10))


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(corpus_groups, "_GROUP_BYTES", 3_000)
    monkeypatch.setattr(shard_writer, "_BATCH_BYTES", 500)


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(6):
        lines = [
            json.dumps({"text": f"{number} {i} {WORDS[i % 30 :]}"})
            for i in range(20)
        ]
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    return str(folder / "*.jsonl")


def write(corpus, tokenizer, folder, **settings):
    settings = {"shard_tokens": 100, "progress": False, **settings}
    return tokenize_corpus(corpus, tokenizer, folder, **settings)


def contents(folder):
    """Return all files but the record, which has times of files."""
    return {
        path.name: path.read_bytes()
        for path in pathlib.Path(folder).iterdir()
        if path.name != corpus_groups.INPUTS
    }


def test_shards_do_not_depend_on_workers(tmp_path, corpus, tokenizer):
    shards = write(corpus, tokenizer, tmp_path / "one")
    assert len(shards.manifest["shards"]) > 6
    record = corpus_groups.read_inputs(tmp_path / "one")
    assert [len(group["parts"]) for group in record["groups"]] == [2, 2, 2]
    verify_shards(tmp_path / "one", tokenizer, read_documents(corpus))
    expected = contents(tmp_path / "one")
    assert set(expected) == {"manifest.json"} | {
        shard_format.file_name(array, number)
        for number in range(len(shards.manifest["shards"]))
        for array in shard_format.ARRAYS
    }
    # Each of the three processes has two threads.
    write(corpus, tokenizer, tmp_path / "seven", workers=7)
    assert contents(tmp_path / "seven") == expected


def test_workers_share_what_is_left(tmp_path, corpus, tokenizer):
    groups = tuple(corpus_groups.divide(find_parts(corpus)))
    job = corpus_groups.Job(groups * 3, tokenizer, *[None] * 5)
    count = len(job.groups)
    shares = list(corpus_writer._shares(job, range(count), count - 1))
    assert sorted(number for number, _ in shares) == list(range(count))
    assert [threads for _, threads in shares[-2:]] == [1, count - 1]
    assert [t for _, t in corpus_writer._shares(job, [0, 1], 5)] == [2, 2]
    layer = EqualInfoTokenizer(tokenizer.codebook)
    light = corpus_writer._without_keras(layer)
    assert light.fingerprint == layer.fingerprint
    for other in (ByteTokenizer(), EqualInfoTokenizer(tokenizer.codebook, 5)):
        assert corpus_writer._without_keras(other) is other


def test_one_group_is_what_write_shards_writes(tmp_path, corpus, tokenizer):
    documents = list(read_documents(corpus))
    for threads in (1, 3):
        folder = tmp_path / f"{threads}"
        write_shards(
            documents, tokenizer, folder, shard_tokens=100, threads=threads
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus_groups, "_GROUP_BYTES", 10**9)
        write(corpus, tokenizer, tmp_path / "corpus_shards")
    expected = contents(tmp_path / "1")
    assert contents(tmp_path / "3") == expected
    assert contents(tmp_path / "corpus_shards") == expected


@pytest.mark.parametrize("runner", ["DirectRunner", "PrismRunner"])
def test_beam_writes_the_same_shards(tmp_path, corpus, tokenizer, runner):
    pytest.importorskip("apache_beam")
    if runner == "PrismRunner" and "KERAS_NC_PRISM" not in os.environ:
        pytest.skip("KERAS_NC_PRISM does not name the program")
    options = [f"--prism_location={os.environ.get('KERAS_NC_PRISM')}"]
    write(corpus, tokenizer, tmp_path / "one")
    write(
        corpus,
        tokenizer,
        tmp_path / "beam",
        runner=runner,
        runner_options=options if runner == "PrismRunner" else [],
    )
    assert contents(tmp_path / "beam") == contents(tmp_path / "one")


def test_two_attempts_at_a_group(tmp_path, corpus, tokenizer):
    """A runner may do the work twice; one result stays."""
    write(corpus, tokenizer, tmp_path / "one")
    groups = tuple(corpus_groups.divide(find_parts(corpus)))
    folder = tmp_path / "twice"
    folder.mkdir()
    job = corpus_groups.Job(groups, tokenizer, folder, "text", False, 100, None)
    (job.folder(0)).mkdir()
    (job.folder(0) / "tokens-00000.npy").write_bytes(b"half")
    for number in (0, 1, 1, 0):
        corpus_writer.write_attempt(number, job)
    assert sorted(p.name for p in folder.iterdir()) == [
        "group-00000",
        "group-00001",
    ]
    write(corpus, tokenizer, folder)
    assert contents(folder) == contents(tmp_path / "one")


STOPPED = """
import os, sys, signal, pathlib
from keras_nc.data import corpus_groups, shard_format, shard_writer
from keras_nc.coding import TextTokenizer
from keras_nc.data import tokenize_corpus
corpus_groups._GROUP_BYTES = 3_000
shard_writer._BATCH_BYTES = 500
corpus, preset, folder, stop = sys.argv[1:]
left = int(stop)
replace = os.replace
def counted(*names):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
os.replace = counted
tokenize_corpus(corpus, TextTokenizer.load(preset), folder, shard_tokens=100)
"""


def test_killed_anywhere(tmp_path, corpus, tokenizer):
    write(corpus, tokenizer, tmp_path / "one")
    expected = contents(tmp_path / "one")
    tokenizer.save(tmp_path / "preset")
    stops = (8, 40, 25)
    for stop in stops:  # each goes on where the one before was killed
        arguments = [corpus, tmp_path / "preset", tmp_path / "two", str(stop)]
        result = subprocess.run(
            [sys.executable, "-c", STOPPED, *map(str, arguments)],
            capture_output=True,
        )
        assert result.returncode == -signal.SIGKILL, result.stderr
        with pytest.raises(ValueError, match="must have a manifest"):
            TokenShards(tmp_path / "two")
    # Some moments are rare. So leave what a process leaves there.
    (tmp_path / "two" / f"inputs.json.{16 * '0'}.tmp").write_bytes(b"{")
    (tmp_path / "two" / "group-00001.0123456789abcdef.tmp").mkdir()
    counting = Counting(tokenizer)
    write(corpus, counting, tmp_path / "two")
    assert contents(tmp_path / "two") == expected
    assert counting.num_encoded < 60  # of 120; complete shards are not redone


@pytest.mark.parametrize("name", ["group.json", "manifest.json"])
def test_a_power_failure_damages_a_group(tmp_path, corpus, tokenizer, name):
    write(corpus, tokenizer, tmp_path / "one")
    groups = tuple(corpus_groups.divide(find_parts(corpus)))
    folder = tmp_path / "two"
    folder.mkdir()
    job = corpus_groups.Job(groups, tokenizer, folder, "text", False, 100, None)
    corpus_groups.write_group(job, 1)
    assert corpus_groups.read_group(job, 1)["shards"]
    (job.folder(1) / name).write_bytes(b"")
    assert corpus_groups.read_group(job, 1) is None
    write(corpus, tokenizer, folder)
    assert contents(folder) == contents(tmp_path / "one")


class Counting:
    """A tokenizer that counts the documents that it encodes."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.num_encoded = 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode_batch(self, documents):
        self.num_encoded += len(documents)
        return self._tokenizer.encode_batch(documents)


def test_one_damaged_shard_is_made_again(tmp_path, corpus, tokenizer):
    folder = tmp_path / "shards"
    shards = write(corpus, tokenizer, folder)
    expected = contents(folder)
    count = shards.manifest["shards"][4]["documents"]
    (folder / "tokens-00004.npy").write_bytes(b"damaged")
    (folder / "bytes-00004.npy").unlink()
    counting = Counting(tokenizer)
    write(corpus, counting, folder)
    assert contents(folder) == expected
    assert counting.num_encoded == count


def test_changed_files_are_found(tmp_path, corpus, tokenizer):
    folder = tmp_path / "shards"
    write(corpus, tokenizer, folder)
    file = pathlib.Path(corpus).parent / "3.jsonl"
    text = file.read_text()
    os.utime(file, (1, 1))  # written again, with the same content
    write(corpus, tokenizer, folder)
    file.write_text(text.replace("shore", "shire"))
    with pytest.raises(ValueError, match="shards of other documents"):
        write(corpus, tokenizer, folder)
    file.write_text(text + '\n{"text": "one more"}')
    with pytest.raises(ValueError, match="has more documents"):
        write(corpus, tokenizer, folder)
    file.unlink()
    with pytest.raises(ValueError, match="shards of other files"):
        write(corpus, tokenizer, folder)
    remaining = write(corpus, tokenizer, folder, overwrite=True)
    assert remaining.num_documents == 100


def test_other_settings_are_refused(tmp_path, corpus, tokenizer):
    folder = tmp_path / "shards"
    write(corpus, tokenizer, folder)
    with pytest.raises(ValueError, match="shard_tokens=100"):
        write(corpus, tokenizer, folder, shard_tokens=101)
    other = TextTokenizer(Codebook.build(text=WORDS, window_bits=9))
    with pytest.raises(ValueError, match="fingerprint="):
        write(corpus, other, folder)


def test_damage_is_counted_and_listed(tmp_path, tokenizer):
    lines = [
        b'{"text": "one"}',
        b'{"text": "cut',
        b'{"other": "no text"}',
        b'{"text": 3}',
        b'{"text": "\xff"}',
        b"[1]",
        b'{"text": ""}',
        b"",
        b'{"text": "two"}',
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "b.txt.gz").write_bytes(b"no gzip")
    (tmp_path / "c.txt").write_bytes(b"\xe9\xff is kept")
    (tmp_path / "d.txt").write_bytes(b"")
    (tmp_path / "e.zip").write_bytes(b"PK\x03\x04")
    names = [str(tmp_path / f"{letter}.*") for letter in "abcde"]
    folder = tmp_path / "shards"
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: "):
        write(names, tokenizer, folder)
    shards = write(names, tokenizer, folder, overwrite=True, skip_damaged=True)
    found = [
        tokenizer.decode_bytes(shards.document(i)[:-1])
        for i in range(shards.num_documents)
    ]
    assert found == [b"one", b"two", b"\xe9\xff is kept"]
    groups = corpus_groups.read_inputs(folder)["groups"]
    assert sum(group["empty"] for group in groups) == 2
    skipped = [error for group in groups for error in group["skipped"]]
    places = [
        *(f"a.jsonl, line {number}:" for number in (2, 3, 4, 5, 6)),
        "b.txt.gz is damaged",
        "e.zip, a ZIP archive",
    ]
    assert len(skipped) == len(places)
    for place, error in zip(places, skipped, strict=True):
        assert place in error


def test_no_text(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(ValueError, match="1 empty texts and 0 skipped"):
        write(str(tmp_path / "a.txt"), tokenizer, tmp_path / "shards")
    assert list((tmp_path / "shards").iterdir()) == []


class Dying:
    """A tokenizer whose process dies at one document."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self.__dict__["tokenizer"], name)

    def __reduce__(self):
        return Dying, (self.tokenizer,)

    def encode_batch(self, documents):
        if any(document.startswith(b"5 ") for document in documents):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.tokenizer.encode_batch(documents)


def test_a_worker_that_dies(tmp_path, corpus, tokenizer):
    folder = tmp_path / "shards"
    with pytest.raises(ValueError, match="Workers must live"):
        write(corpus, Dying(tokenizer), folder, workers=2)
    assert not (folder / "manifest.json").exists()
    write(corpus, tokenizer, folder)
    write(corpus, tokenizer, tmp_path / "one")
    assert contents(folder) == contents(tmp_path / "one")


def test_full_disk(tmp_path, corpus, tokenizer):
    folder = tmp_path / "shards"
    # The system stops writes at this size, as it does when a disk is full.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        with pytest.raises(OSError, match=r"too large: '.*shards/"):
            write(corpus, tokenizer, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in folder.rglob("*.tmp") if path.is_file()] == []
    write(corpus, tokenizer, folder)
    write(corpus, tokenizer, tmp_path / "one")
    assert contents(folder) == contents(tmp_path / "one")


def keep_vowels(document, letters):
    return bytes(byte for byte in document if byte in letters)


def test_select(tmp_path, corpus, tokenizer):
    select = functools.partial(keep_vowels, letters=b"aeiou")
    write(corpus, tokenizer, tmp_path, select=select)
    expected = map(select, read_documents(corpus))
    verify_shards(tmp_path, tokenizer, filter(None, expected))
