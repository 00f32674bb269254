import bz2
import gzip
import io
import json
import lzma
import tarfile
import types
import warnings
import zipfile

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keras_nc.data import ReadingReport
from keras_nc.data import cut_position
from keras_nc.data import read_documents
from keras_nc.data import take_bytes

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
compressions = pytest.mark.parametrize("suffix", COMPRESS)


def json_lines(*texts, key="text"):
    return b"".join(
        json.dumps({key: text, "id": 1}).encode() + b"\n" for text in texts
    )


@compressions
def test_plain_bytes_pass_exactly(tmp_path, suffix):
    text = bytes(range(256)) * 5000 + b"\r\n\x00"
    (tmp_path / f"a.txt{suffix}").write_bytes(COMPRESS[suffix](text))
    with pytest.warns(UserWarning, match="zero bytes"):
        assert list(read_documents(tmp_path / f"a.txt{suffix}")) == [text]


@compressions
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".JSONL", ".ndjson"])
def test_json_lines(tmp_path, suffix, kind):
    texts = ["one", "zwei äöü", "\x00 line\nline", "x" * 3_000_000]
    file = tmp_path / f"a{kind}{suffix}"
    file.write_bytes(COMPRESS[suffix](json_lines(*texts)))
    expected = [text.encode() for text in texts]
    assert list(read_documents(str(file))) == expected


def test_other_key_and_no_final_newline(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(json_lines("one", "two", key="content").rstrip())
    assert list(read_documents(file, text_key="content")) == [b"one", b"two"]


def test_half_a_surrogate_pair_is_kept(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a\\ud800"}')
    assert list(read_documents(file)) == [b"a\xed\xa0\x80"]


@compressions
def test_what_is_empty_gives_no_document(tmp_path, suffix):
    pack = COMPRESS[suffix]
    (tmp_path / f"a.txt{suffix}").write_bytes(pack(b""))
    (tmp_path / f"b.jsonl{suffix}").write_bytes(pack(b""))
    (tmp_path / f"c.jsonl{suffix}").write_bytes(
        pack(b"\n" + json_lines("", "one") + b"  \n\n")
    )
    assert list(read_documents(f"{tmp_path}/*")) == [b"one"]


def test_byte_order_mark(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json_lines("one"))
    assert list(read_documents(file)) == [b"one"]


def test_files_are_sorted_and_read_once(tmp_path):
    for name in ("b/2.txt", "a.txt", "b/c/1.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "b/note.md").write_bytes(b"note")
    expected = [b"a.txt", b"b/2.txt", b"b/c/1.txt"]
    assert list(read_documents(f"{tmp_path}/**/*.txt")) == expected
    patterns = [tmp_path / "b/*.txt", f"{tmp_path}/**/*.txt"]
    assert list(read_documents(patterns)) == expected


def test_a_path_with_brackets(tmp_path):
    file = tmp_path / "a[1].txt"
    file.write_bytes(b"one")
    assert list(read_documents(file)) == [b"one"]


def test_json_lines_stream(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(json_lines("one", "two") + b"not JSON\n")
    documents = read_documents(file)
    assert isinstance(documents, types.GeneratorType)
    assert [next(documents), next(documents)] == [b"one", b"two"]
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3"):
        next(documents)


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_documents_that_are_too_large(tmp_path, suffix):
    text = b"x" * 1_000
    lines = [
        b'{"text": "%s"}' % line for line in (b"a", text, b"b", text * 3, b"c")
    ]
    for name, content in {
        "a.jsonl": b"\n".join(lines),
        "b.txt": text,
        "c.txt": text[:900],
    }.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(COMPRESS[suffix](content))
    files = f"{tmp_path}/*"
    with pytest.raises(ValueError, match=r"line 2: .* at most 900 bytes"):
        list(read_documents(files, report=ReadingReport(False, 900)))
    report = ReadingReport(True, 900)
    found = list(read_documents(files, report=report))
    assert found == [b"a", b"b", b"c", text[:900]]
    assert len(report.skipped) == 3
    assert "line 4" in report.skipped[1]
    assert f"b.txt{suffix}: a document" in report.skipped[2]


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    """A file of a terabyte that takes no disk."""
    with open(tmp_path / "a.txt", "wb") as file:
        file.truncate(10**12)
    report = ReadingReport(True, 10**6)
    assert list(read_documents(tmp_path / "a.txt", report=report)) == []
    assert len(report.skipped) == 1


def test_no_match(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one")
    # At the call, not at the first step.
    with pytest.raises(ValueError, match=r"no_such.*matches none"):
        read_documents([tmp_path / "a.txt", tmp_path / "no_such*"])
    with pytest.raises(ValueError, match="matches none"):
        read_documents(tmp_path)  # a folder is no file
    with pytest.raises(ValueError, match="empty sequence"):
        read_documents([])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "one JSON object"),
        (b"[", "one JSON object"),
        (b'"text"', "Received: str"),
        (b'{"text": "\xff"}', "UTF-8"),
        (b'{"body": "x"}', r"the key 'text'.*\['body'\].*`text_key`"),
        (b'{"text": 3}', "must be a string. Received: int"),
        (b'{"text": null}', "must be a string. Received: NoneType"),
    ],
)
@compressions
def test_bad_lines_are_named(tmp_path, suffix, line, message):
    file = tmp_path / f"a.jsonl{suffix}"
    content = json_lines("one") + b"\n" + line + b"\n"
    file.write_bytes(COMPRESS[suffix](content))
    with pytest.raises(
        ValueError, match=rf"(?s)a\.jsonl.*, line 3: .*{message}"
    ):
        list(read_documents(file))


@pytest.mark.parametrize("kind", ["a.txt", "a.jsonl"])
@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_damaged_archives_are_named(tmp_path, kind, suffix):
    texts = [f"text {number}" * 50 for number in range(2000)]
    packed = COMPRESS[suffix](json_lines(*texts))
    file = tmp_path / (kind + suffix)
    damaged = [
        packed[:-3],
        packed[: len(packed) // 2],
        packed + b"rubbish",
        packed[:1] + b"????" + packed[5:],
        b"no archive at all",
        b"",
    ]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{kind}{suffix} is damaged"):
            list(read_documents(file))


@pytest.mark.parametrize(
    ("suffix", "part"),
    [
        (".gz", "gzip member"),
        (".zst", "zstd frame"),
        (".bz2", "bzip2 stream"),
        (".xz", "xz stream"),
    ],
)
def test_compressed_files_of_several_parts(tmp_path, suffix, part):
    file = tmp_path / f"a.txt{suffix}"
    parts = [COMPRESS[suffix](text) for text in (b"one", b"", b" two")]
    file.write_bytes(b"".join(parts))
    assert list(read_documents(file)) == [b"one two"]
    file.write_bytes(b"".join(parts)[:-2])
    with pytest.raises(ValueError, match=f"ends within a {part}"):
        list(read_documents(file))


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_zeros_may_pad_compressed_files(tmp_path, suffix):
    file = tmp_path / f"a.txt{suffix}"
    part = COMPRESS[suffix](b"one")
    file.write_bytes(part + bytes(100_000) + part + bytes(4))
    assert list(read_documents(file)) == [b"oneone"]


def test_zst_with_a_skippable_frame(tmp_path):
    file = tmp_path / "a.txt"
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0note"
    file.write_bytes(skippable + zstandard.compress(b"one"))
    assert list(read_documents(file)) == [b"one"]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_misnamed_files_are_decompressed(tmp_path, suffix):
    packed = COMPRESS[suffix]
    text, lines = tmp_path / "a.txt", tmp_path / "b.jsonl.gz"
    text.write_bytes(packed(b"text"))
    lines.write_bytes(packed(json_lines("one", "two")))
    assert list(read_documents([text, lines])) == [b"text", b"one", b"two"]
    text.write_bytes(packed(gzip.compress(b"text")))
    with pytest.raises(ValueError, match=r"a\.txt, compressed twice"):
        list(read_documents(text))


def make_zip():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.txt", "one")
    return packed.getvalue()


def make_tar():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("one.txt"))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.zip", make_zip(), "a ZIP archive"),
        ("a.txt", make_zip(), "a ZIP archive"),
        ("a.jsonl", make_zip(), "a ZIP archive"),
        ("a.gz", make_zip(), "a ZIP archive"),
        ("a.docx", make_zip(), "a Word document"),
        ("a.tar", make_tar(), "a tar archive"),
        ("a.tar.gz", gzip.compress(make_tar(), mtime=0), "a tar archive"),
        ("a.tgz", gzip.compress(make_tar(), mtime=0), "a tar archive"),
        ("a.TXT", lzma.compress(make_tar()), "a tar archive"),
        ("a.dat", b"PAR1\x15\x04PAR1", "a Parquet table"),
        ("a.pdf", b"%PDF-1.7\n", "a PDF document"),
        ("a", b"%PDF-1.7\n", "a PDF document"),
        ("a.txt.br", b"\x0b\x02\x80text\x03", "a Brotli file"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    ],
)
def test_packed_files_are_refused_by_name(tmp_path, name, content, what):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(read_documents(file))
    assert f"Received: {file}, {what}. Unpack it" in str(error.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"\xff\xd8\xff\xe0JFIF", "a JPEG image"),
        (b"\x7fELF\x02", "a program"),
        ("Wörter".encode("utf-16"), "UTF-16 text"),
        ("words".encode("utf-16-le"), "a binary file"),
        (b"text" * 100_000 + b"\0", "a binary file"),
        (b'{"text": "one"}\n', "JSON lines"),
    ],
)
@compressions
def test_what_does_not_look_like_text_warns(tmp_path, suffix, content, what):
    file = tmp_path / f"a.txt{suffix}"
    file.write_bytes(COMPRESS[suffix](content))
    with pytest.warns(UserWarning, match=f"looks like {what}") as caught:
        assert list(read_documents(file)) == [content]
    assert len(caught) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Zwei Wörter, кириллица, 漢字 and \x1b[1mcolours\x1b[0m.\r\n\f",
        "PK is a name, Rar! is not; ORC, PAR1, BZh and 7z are words.",
        "BZh",
        "ustar " * 100,
        '{"text": 3}',
        "{",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_does_not_warn(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(read_documents(tmp_path / "a.txt")) == [
            text.encode(encoding)
        ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_json_lines_are_utf_8(tmp_path, encoding):
    file = tmp_path / "a.jsonl"
    file.write_bytes('{"text": "one"}\n'.encode(encoding))
    with pytest.raises(
        ValueError, match=r"line 1: .* in UTF-8\. .*UTF-(16|32)"
    ):
        list(read_documents(file))


@pytest.mark.parametrize(
    ("document", "limit", "position"),
    [
        (b"one\n\ntwo three\nfour", 6, 5),  # a blank line
        (b"one\r\n\r\ntwo three", 8, 7),
        (b"one two\nthree four", 10, 8),  # a line
        (b"one two three", 9, 8),  # a word
        (b"onetwothree", 9, 9),
        (b"short", 5, 5),
        (b"short", 99, 5),
        ("äöü".encode(), 3, 2),
        ("a漢字".encode(), 6, 4),
        ("a漢字".encode(), 7, 7),
        (b"\x80" * 9, 7, 7),  # not UTF-8
        (b"a b" + b"c" * 97, 100, 100),
        (b"a b" + b"c" * 97, 50, 50),  # the word ends too early
    ],
)
def test_where_a_document_is_cut(document, limit, position):
    assert cut_position(document, limit) == position


@given(st.text(min_size=1, max_size=60), st.integers(4, 70))
def test_no_character_is_cut(text, limit):
    document = text.encode("utf-8", "replace")
    position = cut_position(document, limit)
    assert 0 < position <= limit
    document[:position].decode()
    document[position:].decode()
    assert position == len(document) or position > limit // 2 - 4


@given(
    st.lists(st.binary(max_size=12), max_size=8),
    st.one_of(st.none(), st.integers(0, 40)),
)
def test_documents_up_to_so_many_bytes(documents, max_bytes):
    taken = list(take_bytes(iter(documents), max_bytes))
    assert all(taken)
    if max_bytes is None:
        assert taken == [document for document in documents if document]
        return
    total = sum(map(len, taken))
    assert total <= max_bytes
    *uncut, last = taken or [b""]
    remaining = iter(documents)
    assert all(document in remaining for document in uncut), "in their order"
    assert any(document.startswith(last) for document in documents or [b""])
    # For any documents, each text gives something.
    if max_bytes and any(documents):
        assert total >= min(sum(map(len, documents)), max_bytes) / 4


def test_numbers_of_bytes_of_numpy():
    assert list(take_bytes([b"x" * 200], np.uint8(100))) == [b"x" * 100]
