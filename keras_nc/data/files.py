"""Documents from files: plain text and JSON lines, compressed or not."""

import glob
import gzip
import io
import json
import os
import pathlib
import zlib

import zstandard

_BLOCK_BYTES = 2**20
_REMEDY = "Fetch or make the file again."


def read_documents(patterns, text_key="text"):
    r"""Iterate over the documents in files.

    A file named `*.jsonl` or `*.json`, or either with `.gz` or `.zst` after
    it, holds one JSON object per line, each a document, and is read line by
    line. Any other file is one document, its bytes passed on as they are,
    invalid UTF-8 too, once `.gz` or `.zst` is undone. Blank lines, empty texts
    and empty files give no document.

    Files are found at once; they are read as the iterator advances, one
    document in memory at a time. It can be passed through once: call again
    for another pass, or make a list of it.

    Args:
        patterns: a path or glob pattern, or a sequence of them; `**` stands
            for any number of folders. Files that several patterns match are
            read once, and all files in the order of their paths.
        text_key: str, the key under which JSON objects hold their text.

    Returns:
        An iterator of bytes.

    Raises:
        ValueError: if a pattern matches no file, at the call; while
            iterating, with file and line, for lines that are not JSON
            objects with a text under `text_key`, and for damaged or truncated
            compressed files.

    Example:
    >>> import pathlib
    >>> import tempfile
    >>> from keras_nc.data import read_documents
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.txt").write_bytes(b"one\n")
    ...     _ = pathlib.Path(folder, "b.jsonl").write_bytes(b'{"text": "two"}')
    ...     list(read_documents(f"{folder}/*"))
    [b'one\n', b'two']
    """
    files = _find_files(patterns)  # now, not at the iterator's first step
    return _read_files(files, text_key)


def _find_files(patterns):
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found = set()
    for pattern in map(os.fspath, patterns):
        # A path that exists is meant as it is, brackets and all.
        if os.path.isfile(pattern):
            matches = [pattern]
        else:
            matches = glob.glob(pattern, recursive=True)
            matches = list(filter(os.path.isfile, matches))
        if not matches:
            raise ValueError(
                "Each pattern must match at least one file. Received: "
                f"{pattern!r}, which matches none. For all files below a "
                "folder, use 'folder/**/*'."
            )
        found.update(matches)
    if not found:
        raise ValueError(
            "`patterns` must name at least one file. Received: an empty "
            "sequence."
        )
    return sorted(found)


def _read_files(files, text_key):
    for file in files:
        path = pathlib.PurePath(file)
        kind = path.suffix.lower()
        if kind in (".gz", ".zst"):
            kind = path.with_suffix("").suffix.lower()
        if kind in (".jsonl", ".json"):
            documents = _read_json_lines(file, text_key)
        else:
            documents = _read_whole(file)
        yield from filter(None, documents)


def _read_whole(file):
    with _open(file) as stream:
        try:
            document = stream.read()
        except _DAMAGE as error:
            raise ValueError(
                f"{file} is damaged: {error}. {_REMEDY}"
            ) from error
    yield document


def _read_json_lines(file, text_key):
    with _open(file) as stream:
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline()
            except _DAMAGE as error:
                raise ValueError(
                    f"{file} is damaged at line {number}: {error}. {_REMEDY}"
                ) from error
            if not line:
                return
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # byte order mark
            if line.strip():
                yield _parse_line(line, text_key, f"{file}, line {number}")


def _parse_line(line, text_key, where):
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: each line must hold one JSON object. Received: "
            f"{line[:60]!r} ({error}). Write one object per line, in UTF-8."
        ) from error
    if not isinstance(record, dict):
        raise ValueError(
            f"{where}: each line must hold one JSON object. Received: "
            f"{type(record).__name__}. Write one object per line."
        )
    if text_key not in record:
        raise ValueError(
            f"{where}: no key {text_key!r}. Received: an object with the keys "
            f"{sorted(record)}. Set `text_key` to the key of the text."
        )
    text = record[text_key]
    if not isinstance(text, str):
        raise ValueError(
            f"{where}: the text under {text_key!r} must be a string. "
            f"Received: {type(text).__name__}. Set `text_key` to the key of "
            "the text."
        )
    # JSON may escape half a surrogate pair; keep it rather than lose it.
    return text.encode("utf-8", "surrogatepass")


def _open(file):
    suffix = pathlib.PurePath(file).suffix.lower()
    if suffix == ".gz":
        return gzip.open(file, "rb")
    if suffix == ".zst":
        return io.BufferedReader(_ZstdStream(file), _BLOCK_BYTES)
    return open(file, "rb")


class _TruncatedError(Exception):
    """A compressed file ends before its content does."""


#: What reading a damaged or truncated compressed file may raise.
_DAMAGE = (
    EOFError,
    _TruncatedError,
    gzip.BadGzipFile,
    zlib.error,
    zstandard.ZstdError,
)


class _ZstdStream(io.RawIOBase):
    """Reads a `.zst` file of any number of frames; refuses truncated ones.

    The library's own `stream_reader` takes a truncated file for a short one.
    """

    _file = None

    def __init__(self, file):
        super().__init__()
        self._file = open(file, "rb")  # noqa: SIM115, closed by `close`
        # Files written with `--long` need windows of up to 2 GiB.
        self._library = zstandard.ZstdDecompressor(max_window_size=2**31)
        self._frame = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._ready:
            if not self._packed:
                self._packed = self._file.read(_BLOCK_BYTES)
                if not self._packed:
                    if self._frame is not None:
                        raise _TruncatedError("it ends within a zstd frame")
                    return 0
            if self._frame is None:
                self._frame = self._library.decompressobj()
            self._ready = memoryview(self._frame.decompress(self._packed))
            self._packed = b""
            if self._frame.eof:
                self._packed = self._frame.unused_data
                self._frame = None
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self):
        if self._file is not None:
            self._file.close()
        super().close()
