"""`inspect` shows the content of files."""

import collections

import pytest

from keras_nc.coding import Codebook
from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer


@pytest.fixture
def shown(run, folder):
    """A function that runs `inspect`; it returns rows of words."""

    def inspect(*arguments):
        code, out, err = run("inspect", *arguments)
        assert (code, err) == (0, "")
        return [line.split() for line in out.splitlines() if line.strip()]

    return inspect


def test_codebook(shown, codebook):
    rows = shown("book.npz", "--top", "50")
    assert ["fingerprint", codebook.fingerprint] in rows
    assert ["format", "version", "2"] in rows
    assert ["window", "bits", "(W)", "11"] in rows
    assert ["windows", "2,045"] in rows
    assert ["codes", "without", "a", "window", "0"] in rows
    assert ["longest", "allowed,", "bytes", "64"] in rows
    longest = int(codebook.token_lengths.max())
    assert ["longest", "window,", "bytes", str(longest)] in rows
    low, high = codebook.prefix_range(b"th")
    share = f"{100 * (high - low) / 2048:.3f}"
    span = [f"[{low:,},", f"{high:,})"]
    assert ['"th"', str(high - low), share, *span] in rows


def test_windows_of_a_text(shown, folder, codebook):
    text = folder.joinpath("text").read_bytes()
    codes = codebook.encode(text).tolist()
    counts = collections.Counter(codes)
    rows = shown("book.npz", "--text", "text", "--top", "3")
    assert ["bytes", f"{len(text):,}"] in rows
    assert ["windows", f"{len(codes):,}"] in rows
    assert ["different", "windows", f"{len(counts):,}"] in rows
    per_byte = f"{11 * len(codes) / len(text):.3f}"
    name = ["bits/byte,", "windows", "as", "they", "are"]
    assert [*name, per_byte] in rows
    # Equal counts are in the order of their ids.
    most = sorted(counts, key=lambda i: (-counts[i], i))[:3]
    ids = [int(row[0].replace(",", "")) for row in rows[-3:]]
    assert ids == most
    assert rows[-3][1] == f"{counts[most[0]]:,}"


def test_an_empty_text(shown, folder):
    folder.joinpath("empty").touch()
    rows = shown("book.npz", "--text", "empty")
    assert ["bytes/window", "-"] in rows


def test_encoded_file(run, shown, folder, codebook):
    run("encode", "text", "--with", "book.npz")
    rows = shown("text.knc")
    assert ["codebook's", "fingerprint", codebook.fingerprint] in rows
    assert ["bytes", "of", "the", "text", "50,000"] in rows
    size = folder.joinpath("text.knc").stat().st_size
    assert ["bytes", "of", "the", "file", f"{size:,}"] in rows
    rate = ["bits/byte", "of", "the", "file", f"{8 * size / 50_000:.3f}"]
    assert rate in rows
    named = shown("text.knc", "--with", "book.npz", "--top", "1")
    code = int(named[-1][0].replace(",", ""))
    window = codebook.token_bytes(code).decode()
    assert " ".join(named[-1][3:]) == " ".join(f'"{window}"'.split())


def test_preset_of_windows(shown, presets, codebook):
    rows = shown(presets / "m2")
    assert ["model", "CompressedCausalLM"] in rows
    assert ["backbone", "CompressedBackbone"] in rows
    assert ["hidden_dim", "32"] in rows
    assert ["tokenizer", "EqualInfoTokenizer"] in rows
    assert ["fingerprint", codebook.fingerprint] in rows


def test_parameters_are_counted(shown, presets, make_m1):
    rows = shown(presets / "m1")
    assert ["parameter_count", f"{make_m1().count_params():,}"] in rows
    assert ["tokenizer.name", "bytes"] in rows


def test_preset_of_a_tokenizer(shown, presets):
    rows = shown(presets / "tokenizer", "--text", "text")
    assert ["tokenizer", "EqualInfoTokenizer"] in rows
    assert ["tokenizer.token_bits", "1"] in rows
    assert ["bytes", "50,000"] in rows


@pytest.fixture
def documents(folder):
    return folder.joinpath("text").read_bytes().split(b"\n\n")


def test_shards(shown, folder, codebook, documents):
    tokenizer = EqualInfoTokenizer(codebook)
    shards = write_shards(documents, tokenizer, folder / "shards")
    rows = shown("shards", "--with", "book.npz", "--top", "1000")
    assert ["fingerprint", tokenizer.fingerprint] in rows
    assert ["documents", f"{len(documents):,}"] in rows
    assert ["end", "ids", f"{len(documents):,}"] in rows
    assert ["tokens", f"{shards.num_tokens:,}"] in rows
    assert ["bytes/token", f"{shards.bytes_per_token:.3f}"] in rows
    ends = [row for row in rows if row[-1:] == ["(end)"]]
    assert [row[:2] for row in ends] == [["2", f"{len(documents):,}"]]
    ids, _ = codebook.encode_batch(documents)
    code, count = collections.Counter(ids.tolist()).most_common(1)[0]
    window = codebook.token_bytes(code).decode()
    (row,) = [row for row in rows if row[:2] == [f"{code:,}", f"{count:,}"]]
    assert " ".join(row[3:]) == " ".join(f'"{window}"'.split())


def test_shards_without_a_codebook(shown, folder, documents):
    write_shards(documents, ByteTokenizer(), folder / "shards")
    rows = shown("shards", "--top", "1")
    assert ["tokenizer", "bytes"] in rows
    space = sum(document.count(b" ") for document in documents)
    assert rows[-1][:2] == ["35", f"{space:,}"]


def test_shards_of_another_codebook(run, folder, uniform, documents):
    write_shards(documents, EqualInfoTokenizer(uniform), folder / "shards")
    code, out, err = run("inspect", "shards", "--with", "book.npz")
    assert (code, out) == (2, "")
    assert "codebook that made them" in err
    assert err.count("\n") == 1


def test_shards_of_split_windows(run, folder, documents, codebook):
    tokenizer = EqualInfoTokenizer(Codebook.load("book.npz"), token_bits=1)
    write_shards(documents, tokenizer, folder / "shards")
    code, _, err = run("inspect", "shards", "--with", "book.npz")
    assert code == 2 and "each is a window" in err
    code, out, _ = run("inspect", "shards")
    rows = [line.split() for line in out.splitlines()]
    assert code == 0 and ["vocabulary", "5"] in rows
