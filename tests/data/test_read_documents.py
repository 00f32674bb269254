import gzip
import json
import types

import pytest
import zstandard

from keras_nc.data import read_documents

COMPRESS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
compressions = pytest.mark.parametrize("suffix", COMPRESS)


def json_lines(*texts, key="text"):
    return b"".join(
        json.dumps({key: text, "id": 1}).encode() + b"\n" for text in texts
    )


@compressions
def test_plain_bytes_pass_exactly(tmp_path, suffix):
    text = bytes(range(256)) * 5000 + b"\r\n\x00"
    (tmp_path / f"a.txt{suffix}").write_bytes(COMPRESS[suffix](text))
    assert list(read_documents(tmp_path / f"a.txt{suffix}")) == [text]


@compressions
@pytest.mark.parametrize("kind", [".jsonl", ".json", ".JSONL"])
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
        (b'{"body": "x"}', r"no key 'text'.*\['body'\].*`text_key`"),
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
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_archives_are_named(tmp_path, kind, suffix):
    texts = [f"text {number}" * 50 for number in range(2000)]
    packed = COMPRESS[suffix](json_lines(*texts))
    file = tmp_path / (kind + suffix)
    damaged = [packed[:-3], packed[: len(packed) // 2], b"no archive at all"]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{kind}{suffix} is damaged"):
            list(read_documents(file))


def test_zst_of_several_frames(tmp_path):
    file = tmp_path / "a.txt.zst"
    frames = [zstandard.compress(text) for text in (b"one", b"", b" two")]
    file.write_bytes(b"".join(frames))
    assert list(read_documents(file)) == [b"one two"]
    file.write_bytes(b"".join(frames)[:-2])
    with pytest.raises(ValueError, match="ends within a zstd frame"):
        list(read_documents(file))
