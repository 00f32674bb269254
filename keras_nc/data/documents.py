"""Documents from files, tables and data sets; and parts of documents."""

import dataclasses
import json
import warnings

from keras_nc.data import sources
from keras_nc.data.files import COMPRESSED_SUFFIXES
from keras_nc.data.files import DamageError
from keras_nc.data.files import PackedError
from keras_nc.data.files import describe_binary
from keras_nc.data.files import is_url
from keras_nc.data.files import name_suffix
from keras_nc.data.files import open_file

#: Endings of the names of files whose lines are JSON objects.
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".json")
_REMEDY = "Fetch or make the file again."
#: Larger documents and lines of JSON are refused: they are held in memory
#: several times, and positions in them need more than 31 bits.
MAX_DOCUMENT_BYTES = 2_000_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPRESSED_JSON = ", ".join(f".jsonl{end}" for end in COMPRESSED_SUFFIXES)


@dataclasses.dataclass
class ReadingReport:
    """What was not read: counted, and listed.

    Args:
        skip_damaged: bool. Whether to skip what is damaged: a line or record
            without a text, or the rest of a file after the place where reading
            fails. Otherwise damage is an error.
        max_document_bytes: int. A larger document, or line of JSON, is treated
            as damage. Of a larger file, no more than this is read.

    Attributes:
        num_empty: int, empty texts and empty files, which give no document.
        skipped: list of str, an error with its place for all that was skipped.
    """

    skip_damaged: bool = False
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    num_empty: int = 0
    skipped: list = dataclasses.field(default_factory=list)

    def fault(self, error):
        """Note an error if damage is skipped, else raise it."""
        if not self.skip_damaged:
            raise error
        self.skipped.append(" ".join(str(error).split()))

    def check_size(self, size, where):
        """Raise a ValueError if a document is too large."""
        if size > self.max_document_bytes:
            raise _FileError(
                f"{where}: a document must have at most "
                f"{self.max_document_bytes:,} bytes. Received: more. Cut it "
                "into several."
            )


def read_documents(patterns, text_key="text", *, report=None):
    r"""Iterate over the documents in files, tables and data sets.

    The input is named by paths and patterns, also those of fsspec, such as
    `gs://bucket/c4/*.jsonl.zst`, and by the names of data sets: `tfds:NAME` for
    one that TFDS prepared, `hf:NAME` for one of Hugging Face, which is
    streamed. After the name, `#` and a split may follow, by default `#train`.
    So `tfds:c4/en:3.1.0#validation`, and `hf:allenai/c4:en` with the name of a
    configuration. Optional packages that these need are named if missing.

    A file named `*.jsonl`, `*.ndjson`, `*.jsonlines` or `*.json` holds one
    JSON object per line, each a document, and is read line by line. Any other
    file is one document. Its bytes are unchanged, even if they are invalid
    UTF-8. Both may be compressed: `.gz`, `.zst`, `.bz2`, `.xz`. Blank lines,
    empty texts and empty files give no document. If JSON escapes half a
    surrogate pair, it becomes the three bytes that UTF-8 would give it. A
    document of more than 2 GB is refused.

    Files named `*.parquet` hold a document in each row, and those named
    `*.array_record` in each record, which may be a `tf.train.Example`.

    A file that does not look like text is read with a warning. Archives and
    other packed files are refused.

    The call only finds the files. The iterator reads them, and holds one
    document in memory at a time. It can be used once. For another pass, call
    again or make a list.

    Args:
        patterns: a path, glob pattern, URL or name of a data set, or a
            sequence of them; `**` stands for any number of folders. Files that
            several patterns match are read once, and all files in the order of
            their names.
        text_key: str, the key under which JSON objects hold their text, or the
            column of tables and data sets.
        report: a `ReadingReport`, which counts what gives no document, and
            says whether to skip damage; `None` to stop at the first damage.

    Returns:
        An iterator of bytes.

    Raises:
        ValueError: from the call, if a pattern matches no file. From the
            iterator, with file and line, if a line is not a JSON object with
            a text under `text_key`, if a file is packed, or if a compressed
            file is damaged or cut short.
        ImportError: if the input needs a package that is not installed.

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
    parts = find_parts(patterns)  # now, not when the iterator starts
    return read_parts(parts, text_key, report)


def find_parts(patterns):
    """List the parts of an input that can be read by themselves.

    Args:
        patterns: as `read_documents` takes them.

    Returns:
        A list of `sources.Part`, in the order in which they are read: a file
        is one part, and so is each shard of a data set.
    """
    parts = []
    for name in sources.find_files(patterns):
        if sources.is_dataset(name):
            count = sources.num_shards(name)
            parts += [sources.Part(name, i, count) for i in range(count)]
        else:
            size, version = sources.describe(name)
            parts.append(sources.Part(name, size=size, version=version))
    return parts


def read_parts(parts, text_key="text", report=None):
    """Iterate over the documents of parts.

    Args:
        parts: iterable of `Part`, as `find_parts` lists them.
        text_key: str, see `read_documents`.
        report: a `ReadingReport` or `None`, see `read_documents`.

    Yields:
        bytes: documents, none of them empty.
    """
    report = report or ReadingReport()
    for part in parts:
        try:
            for document in _read_part(part, text_key, report):
                if document:
                    yield document
                else:
                    report.num_empty += 1
        except _FileError as error:
            report.fault(error)
        except OSError as error:
            # What a network loses may come back. Do not skip it.
            if is_url(part.name) or sources.is_dataset(part.name):
                raise
            error.filename = part.name
            if not report.skip_damaged:
                raise
            report.fault(error)


class _FileError(ValueError):
    """A file that cannot be read any further."""


def _read_part(part, text_key, report):
    if sources.holds_records(part):
        return _read_records(part, text_key, report)
    if name_suffix(part.name) in _JSON_SUFFIXES:
        return _read_json_lines(part.name, text_key, report)
    return _read_text(part.name, text_key, report)


def _read_records(part, text_key, report):
    try:
        for where, value in sources.read_records(part, text_key):
            try:
                document = _as_document(value, text_key, where)
                report.check_size(len(document), where)
                yield document
            except ValueError as error:
                report.fault(error)
    except sources.RecordError as error:
        raise _FileError(str(error)) from error


def _read_text(file, text_key, report):
    try:
        with open_file(file) as stream:
            what = describe_binary(stream)
            document = stream.read(report.max_document_bytes + 1)
    except DamageError as error:
        raise _FileError(
            f"A file must be as it was written. Received: {file} is damaged: "
            f"{error}. {_REMEDY}"
        ) from error
    except PackedError as error:
        raise _FileError(str(error)) from error
    report.check_size(len(document), file)
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


def _read_json_lines(file, text_key, report):
    number = 0
    try:
        with open_file(file) as stream:
            room = report.max_document_bytes + 1
            while line := stream.readline(room):
                number += 1
                if number == 1:
                    _check_encoding(file, line)
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.strip():
                    try:
                        report.check_size(len(line), f"{file}, line {number}")
                        text = _parse_line(line, text_key, file, number)
                    except ValueError as error:
                        report.fault(error)
                        while len(line) == room and line[-1:] != b"\n":
                            line = stream.readline(room)
                    else:
                        yield text
    except DamageError as error:
        raise _FileError(
            f"A file must be as it was written. Received: {file} is damaged "
            f"at line {number + 1}: {error}. {_REMEDY}"
        ) from error
    except PackedError as error:
        raise _FileError(str(error)) from error


def _check_encoding(file, line):
    encoding = json.detect_encoding(line)
    if not encoding.startswith("utf-8"):
        raise _FileError(
            f"{file}, line 1: JSON lines must be in UTF-8. Received: "
            f"{encoding.upper()}. Save the file as UTF-8."
        )


def _parse_line(line, text_key, file, number):
    where = f"{file}, line {number}"
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
    return _as_document(record[text_key], text_key, where)


def _as_document(text, text_key, where):
    """Return a value as bytes, or raise a ValueError."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        # JSON may escape half a surrogate pair. Keep it.
        return text.encode("utf-8", "surrogatepass")
    raise ValueError(
        f"{where}: the text under {text_key!r} must be a string. "
        f"Received: {type(text).__name__}. Set `text_key` to the key of "
        "the text, or leave this line out."
    )


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
