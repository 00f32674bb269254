"""Documents from files, text or JSON lines; and parts of documents."""

import glob
import json
import os
import warnings

from keras_nc.data.compressed_files import COMPRESSED_SUFFIXES
from keras_nc.data.compressed_files import DamageError
from keras_nc.data.compressed_files import describe_binary
from keras_nc.data.compressed_files import name_suffix
from keras_nc.data.compressed_files import open_file

#: Endings of the names of files whose lines are JSON objects.
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".json")
_REMEDY = "Fetch or make the file again."
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPRESSED_JSON = ", ".join(f".jsonl{end}" for end in COMPRESSED_SUFFIXES)


def read_documents(patterns, text_key="text"):
    r"""Iterate over the documents in files.

    A file named `*.jsonl`, `*.ndjson`, `*.jsonlines` or `*.json` holds one
    JSON object per line, each a document, and is read line by line. Any other
    file is one document. Its bytes are unchanged, even if they are invalid
    UTF-8. Both may be compressed: `.gz`, `.zst`, `.bz2`, `.xz`. Blank lines,
    empty texts and empty files give no document. If JSON escapes half a
    surrogate pair, it becomes the three bytes that UTF-8 would give it.

    A file that does not look like text is read with a warning. Archives,
    tables and other packed files are refused.

    The call only finds the files. The iterator reads them, and holds one
    document in memory at a time. It can be used once. For another pass, call
    again or make a list.

    Args:
        patterns: a path or glob pattern, or a sequence of them; `**` stands
            for any number of folders. Files that several patterns match are
            read once, and all files in the order of their paths.
        text_key: str, the key under which JSON objects hold their text.

    Returns:
        An iterator of bytes.

    Raises:
        ValueError: from the call, if a pattern matches no file. From the
            iterator, with file and line, if a line is not a JSON object with
            a text under `text_key`, if a file is packed, or if a compressed
            file is damaged or cut short.

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
    files = find_files(patterns)  # now, not when the iterator starts
    return _read_files(files, text_key)


def find_files(patterns):
    """List the files that patterns match.

    Args:
        patterns: a path or glob pattern, or a sequence of them; `**` stands
            for any number of folders.

    Returns:
        A list of str: each file once, in the order of the paths.

    Raises:
        ValueError: if a pattern matches no file, or if there is no pattern.
    """
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found = set()
    for pattern in map(os.fspath, patterns):
        # A path that exists is not a pattern, even if it has brackets.
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
            "sequence. Pass a path or a glob pattern."
        )
    return sorted(found)


def _read_files(files, text_key):
    for file in files:
        if name_suffix(file) in _JSON_SUFFIXES:
            documents = _read_json_lines(file, text_key)
        else:
            documents = _read_text(file, text_key)
        yield from filter(None, documents)


def _read_text(file, text_key):
    try:
        with open_file(file) as stream:
            what = describe_binary(stream)
            document = stream.read()
    except DamageError as error:
        raise ValueError(f"{file} is damaged: {error}. {_REMEDY}") from error
    if what is None and b"\0" in document:
        what = "a binary file, with zero bytes"
    if what:
        warnings.warn(
            f"{file} looks like {what}. It is read as one document of "
            f"{len(document):,} bytes. If you do not want this, leave it out, "
            "or save it as UTF-8 text.",
            stacklevel=2,
        )
    elif _is_json_line(document, text_key):
        warnings.warn(
            f"{file} looks like JSON lines. It is read as one document of "
            f"{len(document):,} bytes. To read the text of each line, let "
            f"its name end in .jsonl (or {_COMPRESSED_JSON}).",
            stacklevel=2,
        )
    yield document


def _is_json_line(document, text_key):
    """Return whether the first line is a JSON object with a text."""
    if document[:1] != b"{":
        return False
    try:
        record = json.loads(document.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(record.get(text_key), str)


def _read_json_lines(file, text_key):
    number = 0
    try:
        with open_file(file) as stream:
            while line := stream.readline():
                number += 1
                if number == 1:
                    _check_encoding(file, line)
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.strip():
                    yield _parse_line(line, text_key, f"{file}, line {number}")
    except DamageError as error:
        raise ValueError(
            f"{file} is damaged at line {number + 1}: {error}. {_REMEDY}"
        ) from error


def _check_encoding(file, line):
    encoding = json.detect_encoding(line)
    if not encoding.startswith("utf-8"):
        raise ValueError(
            f"{file}, line 1: JSON lines must be in UTF-8. Received: "
            f"{encoding.upper()}. Save the file as UTF-8."
        )


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
        keys = sorted(record)
        listed = f"{keys[:10]}{' and more' if keys[10:] else ''}"
        raise ValueError(
            f"{where}: each object must have the key {text_key!r}. Received: "
            f"an object with the keys {listed}. Set `text_key` to the key of "
            "the text."
        )
    text = record[text_key]
    if not isinstance(text, str):
        raise ValueError(
            f"{where}: the text under {text_key!r} must be a string. "
            f"Received: {type(text).__name__}. Set `text_key` to the key of "
            "the text, or leave this line out."
        )
    # JSON may escape half a surrogate pair. Keep it.
    return text.encode("utf-8", "surrogatepass")


def cut_position(document, limit):
    r"""Find the best place to cut a document in two.

    Args:
        document: bytes.
        limit: int, the most bytes before the cut.

    Returns:
        int, at most `limit`: after the last blank line in the last quarter
        before `limit`, else after the last line or word there, else where no
        UTF-8 character is cut.

    Example:
    >>> from keras_nc.data import cut_position
    >>> cut_position(b"One line.\nAnother line.\n", 12)
    10
    """
    if limit >= len(document):
        return len(document)
    for end in (b"\n\n", b"\r\n\r\n", b"\n", b" "):
        least = max(0, limit - limit // 4 - len(end))
        found = document.rfind(end, least, limit)
        if found >= 0:
            return found + len(end)
    # In UTF-8, the first byte of a character is at most three bytes back.
    for position in range(limit, max(limit - 4, 0), -1):
        if document[position] & 0xC0 != 0x80:
            return position
    return limit


def take_bytes(documents, max_bytes):
    """Take documents up to a number of bytes.

    Documents are taken in order; those that do not fit are skipped. If the
    result has less than half of `max_bytes`, the first document that did not
    fit comes last, cut at `cut_position`.

    Args:
        documents: iterable of bytes.
        max_bytes: int, or `None` for all.

    Yields:
        bytes: documents, none of them empty.

    Example:
    >>> from keras_nc.data import take_bytes
    >>> list(take_bytes([b"long one", b"two", b"three"], 5))
    [b'two']
    >>> list(take_bytes([b"long one", b"longest"], 5))
    [b'long ']
    """
    room = float("inf") if max_bytes is None else max_bytes
    too_long = None
    for document in filter(None, documents):
        if len(document) <= room:
            room -= len(document)
            yield document
        elif too_long is None:
            too_long = document
        if room <= 0:
            return
    if too_long is not None and room > max_bytes / 2:
        yield too_long[: cut_position(too_long, room)]
