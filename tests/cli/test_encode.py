"""`encode` and `decode` as a user runs them."""

import argparse
import gzip
import inspect
import lzma
import struct
import zlib

import pytest

from keras_nc.tokenizers import ByteScheme
from keras_nc.tokenizers import SchemeTokenizer
from keras_nc.tokenizers import register_scheme
from keras_nc.tokenizers import train_sentencepiece

FILES = {
    "empty": b"",
    "every byte": bytes(range(256)) * 3,
    "NULs": bytes(5000),
    "not UTF-8": "é".encode("latin-1") + b"\r\n\xff\xfe\x00",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_files_come_back(run, folder, content):
    folder.joinpath("file").write_bytes(content)
    code, out, err = run("encode", "file", "--with", "book.npz")
    assert (code, err) == (0, "")
    assert out.startswith(f"file.knc: {len(content):,} bytes in ")
    folder.joinpath("file").unlink()
    code, out, err = run("decode", "file.knc", "--with", "book.npz")
    assert (code, err) == (0, "")
    assert folder.joinpath("file").read_bytes() == content
    assert len(list(folder.iterdir())) == 4


def test_what_is_reported(run, folder, codebook):
    size = folder.joinpath("text").stat().st_size
    windows = len(codebook.encode(folder.joinpath("text").read_bytes()))
    _, out, _ = run("encode", "text", "--with", "book.npz", "-o", "out")
    written = folder.joinpath("out").stat().st_size
    report = (
        f"{size:,} bytes in {windows:,} windows of 11 bits: "
        f"{size / windows:.3f} bytes/window; "
        f"the encoded file has {written:,} bytes, "
        f"{8 * written / size:.3f} bits/byte\n"
    )
    assert out == f"out: {report}"
    _, out, _ = run("decode", "out", "--with", "book.npz", "-o", "back")
    assert out == f"back: {report}"


@pytest.mark.parametrize("preset", ["m2", "tokenizer"])
def test_a_preset_is_as_good_as_its_codebook(run, folder, presets, preset):
    run("encode", "text", "--with", presets / preset, "-o", "a")
    run("encode", "text", "--with", "book.npz", "-o", "b")
    a, b = (folder.joinpath(name).read_bytes() for name in "ab")
    assert a == b
    code, _, _ = run("decode", "a", "--with", presets / preset, "-o", "c")
    assert code == 0
    text = folder.joinpath("text").read_bytes()
    assert folder.joinpath("c").read_bytes() == text


@pytest.fixture
def sentencepiece_preset(folder, text):
    """A SentencePiece model of the text's lines."""
    tokenizer = train_sentencepiece([text[:20000]], 500, "bpe")
    tokenizer.save_to_preset(str(folder / "pieces"))
    return folder / "pieces"


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_presets_of_other_tokens(run, folder, sentencepiece_preset, content):
    path = sentencepiece_preset
    folder.joinpath("in").write_bytes(content)
    code, out, err = run("encode", "in", "--with", path)
    assert (code, err) == (0, "")
    assert " tokens of " in out
    code, _, _ = run("decode", "in.knc", "--with", path, "-o", "out")
    assert code == 0
    assert folder.joinpath("out").read_bytes() == content
    code, _, err = run("decode", "in.knc", "--with", "book.npz", "-o", "no")
    assert code == 2 and "tokenizer that encoded it" in err


@register_scheme
class LossyScheme(ByteScheme):
    """Bytes in lower case, as in tokenizers that lose capital letters."""

    name = "lossy"

    def encode_batch(self, documents):
        return super().encode_batch([d.lower() for d in documents])


def test_nothing_is_written_that_would_not_come_back(run, folder):
    """Tokenizers refuse such models. This tests one that slips through."""
    preset = folder / "preset"
    SchemeTokenizer(LossyScheme()).save_to_preset(str(preset))
    folder.joinpath("text").write_bytes(b"she Sells " * 50)
    before = sorted(folder.iterdir())
    code, out, err = run("encode", "text", "--with", "preset")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "give back every byte" in err and "'preset'" in err
    assert sorted(folder.iterdir()) == before
    folder.joinpath("text").write_bytes(b"she sells " * 50)
    code, _, _ = run("encode", "text", "--with", "preset")
    assert code == 0


def test_force_replaces(run, folder):
    folder.joinpath("out").write_bytes(b"old")
    run("encode", "text", "--with", "book.npz", "-o", "out", "--force")
    assert folder.joinpath("out").read_bytes().startswith(b"\x89KNC")


def test_pipes(run, start, folder):
    run("encode", "text", "--with", "book.npz")
    encoded = folder.joinpath("text.knc").read_bytes()
    process = start("decode", "-", "--with", "book.npz", "-o", "back")
    out, err = process.communicate(encoded)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"back: 50,000 bytes in ")
    text = folder.joinpath("text").read_bytes()
    assert folder.joinpath("back").read_bytes() == text


def test_a_range(run, folder):
    run("encode", "text", "--with", "book.npz")
    text = folder.joinpath("text").read_bytes()
    arguments = "decode", "text.knc", "--with", "book.npz", "-o", "part"
    code, out, _ = run(*arguments, "--range", "1000:1234")
    assert (code, out) == (0, "part: bytes 1,000 to 1,234 of the text\n")
    assert folder.joinpath("part").read_bytes() == text[1000:1234]
    code, out, _ = run(*arguments, "--range", "40000:", "--force")
    assert folder.joinpath("part").read_bytes() == text[40000:]
    before = sorted(folder.iterdir())
    for part in ("5", "a:b", "-5:9", "9:5", ":60000", "60000:", "\u0663:9"):
        code, _, err = run(*arguments, f"--range={part}", "--force")
        assert code == 2 and err.count("\n") == 1 and "A range must" in err
        assert sorted(folder.iterdir()) == before
    assert folder.joinpath("part").read_bytes() == text[40000:]


def test_prose_and_code_are_smaller_than_with_gzip(run, folder, text):
    """The codebook knows English; the code is that of a module."""
    for name, content in (
        ("prose", text[40000 : 40000 + (16 << 10)]),
        ("code", inspect.getsource(argparse)[: 16 << 10].encode()),
    ):
        folder.joinpath(name).write_bytes(content)
        run("encode", name)
        size = folder.joinpath(f"{name}.knc").stat().st_size
        assert size < 0.8 * len(gzip.compress(content, 9))


def test_the_built_in_codebook(run, folder, text):
    """No option is needed; English is smaller than with xz -9e."""
    content = text[:50000]
    code, out, err = run("encode", "text")
    assert (code, err) == (0, "") and " windows of 16 bits" in out
    size = folder.joinpath("text.knc").stat().st_size
    best = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    assert size < 0.9 * len(best)
    code, _, _ = run("decode", "text.knc", "-o", "back")
    assert code == 0 and folder.joinpath("back").read_bytes() == content
    run("encode", "text", "--with", "equal_info_12bit_en", "-o", "b")
    code, _, _ = run("decode", "b", "-o", "c")  # found by the header
    assert code == 0 and folder.joinpath("c").read_bytes() == content
    code, _, err = run("decode", "b", "--with", "book.npz", "-o", "d")
    assert code == 2 and "tokenizer that encoded it" in err
    run("encode", "text", "--with", "book.npz", "-o", "e")
    code, _, err = run("decode", "e", "-o", "d")
    assert code == 2 and "Pass it with --with" in err
    code, _, err = run("encode", "text", "--with", "equal_info", "-o", "d")
    assert code == 2 and "equal_info_16bit_en, " in err


def test_the_built_in_model_in_the_loop(run, folder, text):
    """Its file is much smaller than with xz -9e, and tells what it needs."""
    content = text[:1300] + b"\xff"
    folder.joinpath("in").write_bytes(content)
    code, out, err = run("encode", "in", "--with", "byte_lm_3m_en")
    assert code == 0 and "with a model in the loop; the encoded" in out
    # It is said before anything is done.
    assert err.count("\n") == 1 and "only with the same software" in err
    best = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    assert folder.joinpath("in.knc").stat().st_size < 0.8 * len(best)
    code, _, err = run("decode", "in.knc", "-o", "out")
    assert (code, err) == (0, "")
    assert folder.joinpath("out").read_bytes() == content
    code, out, _ = run("inspect", "in.knc")
    assert code == 0 and "model's fingerprint" in out


@pytest.fixture
def with_m1(run, folder, presets):
    """A file that M1 encoded, and the options that decode it."""
    folder.joinpath("in").write_bytes(b"she sells " * 20)
    code, _, _ = run("encode", "in", "--with", presets / "m1")
    assert code == 0
    return "--with", presets / "m1"


def test_a_model_of_a_preset(run, folder, with_m1):
    content = folder.joinpath("in").read_bytes()
    run("decode", "in.knc", *with_m1, "-o", "part", "--range", "50:60")
    assert folder.joinpath("part").read_bytes() == content[50:60]
    code, out, _ = run("verify", "in.knc", *with_m1)
    assert code == 0 and "decode to the 200 bytes" in out
    code, _, err = run("inspect", "in.knc", *with_m1)
    assert code == 2 and "Leave out --with" in err
    folder.joinpath("empty").write_bytes(b"")
    code, _, _ = run("encode", "empty", *with_m1)
    run("decode", "empty.knc", *with_m1, "-o", "out")
    assert code == 0 and folder.joinpath("out").read_bytes() == b""


def change_header(path, at, value):
    """Change a byte of the header, and make its checksum right."""
    data = bytearray(path.read_bytes())
    data[at] ^= value
    data[52:56] = struct.pack("<I", zlib.crc32(data[:52]))
    path.write_bytes(data)


@pytest.mark.parametrize("options, change, fault", [
    (["--with", "book.npz"], None, "with the model that encoded it"),
    ([], None, "with the model that encoded it"),  # the built-in one
    (None, (44, 1), "gives others here"),  # probabilities of this machine
    (None, (10, 2), "the unknown method 3"),
    (None, (10, 1), "with the codebook or tokenizer that encoded it"),
])  # fmt: skip
def test_what_a_model_cannot_decode(
    run, folder, with_m1, options, change, fault
):
    if change:
        change_header(folder / "in.knc", *change)
    before = sorted(folder.iterdir())
    options = with_m1 if options is None else options
    code, out, err = run("decode", "in.knc", *options, "-o", "out")
    assert (code, out) == (2, "") and fault in err and err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
