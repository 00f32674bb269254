"""Some text is always held out, and never used for training."""

import dataclasses
import hashlib
import itertools

import pytest

from keras_nc.data import corpus_groups
from keras_nc.data import verify_shards
from keras_nc.tokenizers import ByteTokenizer
from recipes import configs
from recipes import generate
from recipes import tokenize_corpus
from recipes import workdir
from recipes.setting import Setting

PROSE = "A sentence of some words, number {}, ends here. "


def is_in_32(document):
    return hashlib.sha256(document).digest()[0] % 32 == 0


def documents_of(held_out, count, size=1):
    """Documents that the hash holds out, or does not."""
    found = (
        "".join(PROSE.format(f"{i}.{j}") for j in range(size)).encode()
        for i in itertools.count()
    )
    found = (d for d in found if is_in_32(d) == held_out)
    return list(itertools.islice(found, count))


BOOKS = [
    "\n\n".join(PROSE.format(i) for i in range(1000 * j, 1000 * j + 400))
    for j in range(4)
]
CASES = {
    "one document": documents_of(False, 1, size=100),
    "one document that the hash holds out": documents_of(True, 1, size=100),
    "one huge document": [b"".join(documents_of(False, 40, size=50))],
    "two documents": documents_of(False, 2, size=50),
    "two, one of them held out": [
        *documents_of(False, 1, size=50),
        *documents_of(True, 1, size=50),
    ],
    "two, a huge one held out": [
        *documents_of(False, 1),
        *documents_of(True, 1, size=500),
    ],
    "four books": [book.encode() for book in BOOKS],
    "tiny ones": [b"a", b"b", b"cd"],
    "two of one byte": [b"a", b"b"],
    "some empty": [b"", b"some", b"", b"others"],
    "all alike": documents_of(False, 1) * 20,
    "all alike and held out": documents_of(True, 1) * 20,
    "all alike but one": [*documents_of(False, 1) * 20, b"other"],
    "all held out": documents_of(True, 5),
    "no spaces": [b"x" * 9_999],
    "no ASCII": ["漢字".encode() * 3_000],
    "not UTF-8": [b"\x80" * 9_999],
    "many": documents_of(False, 60) + documents_of(True, 2),
}


def make_setting(folder, documents, **others):
    folder.mkdir(exist_ok=True)
    for i, document in enumerate(documents):
        (folder / f"{i:03d}.txt").write_bytes(document)
    config = configs.CONFIGS["smoke"]
    data = (str(folder / "*.txt"),)
    return Setting("smoke", config, folder.parent / "new", data, **others)


@pytest.mark.parametrize("name", CASES)
def test_something_is_held_out(name, tmp_path):
    documents = CASES[name]
    setting = make_setting(tmp_path / "data", documents)
    workdir.claim_workdir(setting)
    parts = {
        split: list(setting.documents(split))
        for split in ("train", "held_out", "probe")
    }
    for part in parts.values():
        assert part and all(part)
    sizes = {split: sum(map(len, part)) for split, part in parts.items()}
    total = sum(map(len, documents))
    if total >= 100:
        least = len(documents[0]) if "alike" in name else total
        assert sizes["held_out"] >= min(least / 40, 10_000)
        assert sizes["train"] >= total / 3
    # No text is in both.
    train = b"\n".join(parts["train"])
    for document in parts["held_out"]:
        for start in range(0, max(1, len(document) - 1000), 1000):
            if len(set(document)) > 9:
                assert document[start : start + 1000] not in train
        if name not in ("not UTF-8", "no spaces"):
            document.decode()
    # The workdir stores the choice, so a new process need not decide again.
    again = make_setting(tmp_path / "data", documents)
    assert again.split == setting.split
    assert list(again.documents("held_out")) == parts["held_out"]
    assert generate.choose_prompts(setting)


def test_what_cannot_be_parted_is_refused_first(tmp_path):
    for documents, message in (([b"x"] * 9, "Give more"), ([b""], "empty")):
        setting = make_setting(tmp_path / str(len(documents)), documents)
        with pytest.raises(ValueError, match=message):
            workdir.claim_workdir(setting)
        assert not setting.workdir.exists()


def test_an_unusual_part_is_said(tmp_path, capsys):
    setting = make_setting(tmp_path / "data", CASES["four books"])
    workdir.claim_workdir(setting)
    held_out = sum(map(len, setting.documents("held_out")))
    assert f"Held out: the end of the longest document, {held_out:,} bytes" in (
        capsys.readouterr().err
    )
    other = tmp_path / "other"
    other.mkdir()
    workdir.claim_workdir(make_setting(other / "data", CASES["many"]))
    assert capsys.readouterr().err == ""


def test_long_documents_are_cut(tmp_path):
    """Held-out text may be of few documents, all of them too long."""
    long = documents_of(True, 1, size=2_000)
    documents = documents_of(False, 80, size=100) + long
    setting = make_setting(tmp_path / "data", documents)
    limit = setting.config.held_out_bytes
    assert len(long[0]) > limit
    [held_out] = setting.documents("held_out")
    assert long[0].startswith(held_out)
    assert 0.7 * limit < len(held_out) <= limit


def test_held_out_files_beside_the_default_corpus(tmp_path):
    setting = make_setting(
        tmp_path / "data", [b"held out"], held_out=(f"{tmp_path}/data/*",)
    )
    setting = Setting(**{**vars(setting), "data": ("default",)})
    assert list(setting.documents("held_out")) == [b"held out"]
    assert len(next(setting.documents("train"))) >= 64


def test_held_out_files_are_not_trained_on(tmp_path):
    setting = make_setting(
        tmp_path / "data", CASES["two documents"], held_out=("",)
    )
    held_out = (f"{tmp_path}/data/../data/001.txt",)
    setting = Setting(**{**vars(setting), "held_out": held_out})
    [train], [held_out] = map(setting.documents, ("train", "held_out"))
    assert [train, held_out] == CASES["two documents"]


@pytest.mark.parametrize("name", ["tiny ones", "all alike"])
@pytest.mark.parametrize("tokens", ["bytes", "sentencepiece"])
def test_little_text_is_tokenized(name, tokens, tmp_path):
    setting = make_setting(tmp_path / "data", CASES[name])
    workdir.claim_workdir(setting)
    tokenize_corpus.run(setting, tokens)
    shards = tokenize_corpus.open_shards(setting, tokens)
    for training in (setting.config.m1_training, setting.config.m2_training):
        batch = training.batch_size * training.sequence_length
        assert shards["train"].num_tokens >= batch
    held_out = sum(map(len, setting.documents("held_out")))
    assert shards["held_out"].num_bytes == held_out, "once"


def test_all_of_some_files_are_tokenized_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_groups, "_GROUP_BYTES", 2_000)
    setting = make_setting(tmp_path / "data", CASES["many"])
    config = dataclasses.replace(setting.config, train_bytes=None)
    setting = Setting(**{**vars(setting), "config": config})
    workdir.claim_workdir(setting)
    work = tokenize_corpus.Work(verify=True)
    shards = tokenize_corpus.write(setting, "bytes", ByteTokenizer(), work)
    folder = shards["train"].directory
    assert len(corpus_groups.read_inputs(folder)["groups"]) > 1
    train = list(setting.documents("train"))
    verify_shards(folder, ByteTokenizer(), train)
    assert 0 < len(train) < len(CASES["many"])


def test_of_a_large_corpus_the_beginning_is_checked(tmp_path, monkeypatch):
    setting = make_setting(tmp_path / "data", CASES["many"])
    split = setting.check_text()
    (tmp_path / "data" / "z.txt").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(ValueError, match=r"z\.txt is damaged"):
        setting.check_text()
    limit = sum(map(len, CASES["many"]))
    monkeypatch.setattr("recipes.setting._CHECKED_BYTES", limit)
    assert setting.check_text() == split
