"""Open files and URLs as streams of bytes, compressed or not.

The first bytes of a file also tell whether it is text.
"""

import bz2
import contextlib
import dataclasses
import io
import lzma
import os
import pathlib
import shutil
import tempfile
import zlib
from collections.abc import Callable

import zstandard

from keras_nc.imports import need

_BLOCK_BYTES = 2**16
#: Enough for every magic number below; that of tar is at byte 257.
_HEAD_BYTES = 512


class DamageError(Exception):
    """A compressed file is cut short, or its content is damaged."""


class PackedError(ValueError):
    """A file is packed in a format that is not supported."""


@dataclasses.dataclass(frozen=True)
class Compression:
    """One way to compress a file.

    Args:
        name: str.
        suffixes: tuple of str, the endings of file names.
        starts: function of the first bytes of a file that tells whether it has
            this format.
        part: str, the format's word for a part. A file may have several parts.
        new_decompressor: function that makes a decompressor of one part, with
            `decompress`, `eof` and `unused_data`.
    """

    name: str
    suffixes: tuple
    starts: Callable
    part: str
    new_decompressor: Callable


def _starts_zstd(head):
    # Writers may put skippable frames first.
    skippable = head[1:4] == b"*M\x18" and head[0] >> 4 == 5
    return skippable or head.startswith(b"\x28\xb5\x2f\xfd")


def _starts_bzip2(head):
    # A block, or the end of an empty stream.
    begins = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    return head.startswith(b"BZh") and head[4:10] in begins


COMPRESSIONS = (
    Compression(
        "gzip",
        (".gz",),
        lambda head: head.startswith(b"\x1f\x8b\x08"),
        "gzip member",
        lambda: zlib.decompressobj(wbits=31),  # with header and checksum
    ),
    Compression(
        "zstd",
        (".zst", ".zstd"),
        _starts_zstd,
        "zstd frame",
        # Files written with `--long` need windows of up to 2 GiB.
        lambda: zstandard.ZstdDecompressor(
            max_window_size=2**31
        ).decompressobj(),
    ),
    Compression(
        "bzip2", (".bz2",), _starts_bzip2, "bzip2 stream", bz2.BZ2Decompressor
    ),
    Compression(
        "xz",
        (".xz",),
        lambda head: head.startswith(b"\xfd7zXZ\0"),
        "xz stream",
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    ),
)
#: Endings of the names of compressed files.
COMPRESSED_SUFFIXES = {
    suffix: compression
    for compression in COMPRESSIONS
    for suffix in compression.suffixes
}

#: Formats that may hold packed text: an offset, the bytes there, and a name.
_PACKED_SUFFIXES = {
    ".7z": "a 7z archive",
    ".arrow": "an Arrow table",
    ".avro": "an Avro table",
    ".br": "a Brotli file",
    ".docx": "a Word document",
    ".epub": "an e-book",
    ".feather": "a Feather table",
    ".lz4": "an LZ4 file",
    ".lzma": "an LZMA file",
    ".odt": "an OpenDocument text",
    ".orc": "an ORC table",
    ".parquet": "a Parquet table",
    ".pdf": "a PDF document",
    ".pptx": "a PowerPoint presentation",
    ".rar": "a RAR archive",
    ".tar": "a tar archive",
    ".xlsx": "an Excel table",
    ".zip": "a ZIP archive",
}
_PACKED_MAGIC = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (257, b"ustar\0", "a tar archive"),
    (257, b"ustar ", "a tar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file"),
    (0, b"\xff\x06\0\0sNaPpY", "a Snappy file"),
    (0, b"\x89LZO\0\r\n\x1a\n", "an lzop file"),
    (0, b"LZIP\x01", "an lzip file"),
    (0, b"\x1f\x9d", "a file of the program compress"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (0, b"PAR1\x15", "a Parquet table"),
    (0, b"ARROW1\0\0", "an Arrow table"),
    (0, b"Obj\x01", "an Avro table"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SQLite format 3\0", "an SQLite database"),
)
#: Formats that are neither packed nor text.
_BINARY_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF87a", "a GIF image"),
    (0, b"GIF89a", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (8, b"WEBPVP8", "a WebP image"),
    (8, b"WAVEfmt ", "a WAV recording"),
    (0, b"ID3\x03", "an MP3 recording"),
    (0, b"ID3\x04", "an MP3 recording"),
    (0, b"OggS\0", "an Ogg recording"),
    (0, b"fLaC\0", "a FLAC recording"),
    (0, b"\x1aE\xdf\xa3", "a Matroska video"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xff\xfe\0\0", "UTF-32 text"),
    (0, b"\0\0\xfe\xff", "UTF-32 text"),
    (0, b"\xff\xfe", "UTF-16 text"),
    (0, b"\xfe\xff", "UTF-16 text"),
)


def is_url(name):
    """Return whether a name is a URL, which fsspec opens."""
    return "://" in name


def file_system(url):
    """Return the file system of a URL and the path in it."""
    fsspec = need("fsspec", "remote", f"The URL {url!r}")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(
            "A URL must have the package of its protocol. Received: "
            f"{url!r} without it ({error}). Install the extra [remote], as in "
            '`pip install "keras-nc[remote]"`.'
        ) from error


def open_binary(name):
    """Open a file, or what a URL names, to read bytes.

    Args:
        name: str or path.

    Returns:
        A buffered binary stream with `peek`. The caller closes it.
    """
    name = os.fspath(name)
    if not is_url(name):
        return open(name, "rb")
    system, path = file_system(name)
    return io.BufferedReader(system.open(path, "rb"))


@contextlib.contextmanager
def local_copy(name):
    """Yield a path with the content of a file, for readers that need a path."""
    if not is_url(name):
        yield name
        return
    with tempfile.NamedTemporaryFile() as copy:
        with open_binary(name) as stream:
            shutil.copyfileobj(stream, copy)
        copy.flush()
        yield copy.name


def name_suffix(file):
    """Return the suffix of a name without the suffix of its compression.

    Example:
    >>> from keras_nc.data.files import name_suffix
    >>> name_suffix("some/Text.JSONL.gz")
    '.jsonl'
    """
    path = pathlib.PurePath(file)
    if path.suffix.lower() in COMPRESSED_SUFFIXES:
        path = path.with_suffix("")
    return path.suffix.lower()


def open_file(file):
    """Open a file, and decompress it while reading if it is compressed.

    The first bytes tell whether and how a file is compressed, so files with a
    wrong suffix can also be read.

    Args:
        file: path.

    Returns:
        A buffered binary stream, to be closed. `peek` gives its first bytes.

    Raises:
        PackedError: If it is packed in an unsupported format.
        DamageError: If its name says that it is compressed, but it is not.
            Reading the stream may also raise it.
    """
    stream = open_binary(file)  # closed by the caller
    try:
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        _refuse_packed(file, head)
        found = [c for c in COMPRESSIONS if head and c.starts(head)]
        named = COMPRESSED_SUFFIXES.get(pathlib.PurePath(file).suffix.lower())
        if not found and named:
            raise DamageError(f"it is not a {named.name} file")
        if found:
            raw = _DecompressedStream(stream, found[0])
            stream = io.BufferedReader(raw, _BLOCK_BYTES)
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
            _refuse_packed(file, head)
            if any(head and c.starts(head) for c in COMPRESSIONS):
                raise _packed_error(file, "compressed twice")
    except BaseException:
        stream.close()
        raise
    return stream


def _refuse_packed(file, head):
    what = _PACKED_SUFFIXES.get(name_suffix(file)) or _match(
        _PACKED_MAGIC, head
    )
    if what:
        raise _packed_error(file, what)


def _packed_error(file, what):
    return PackedError(
        "Files must be text or JSON lines, plain or compressed "
        f"({', '.join(COMPRESSED_SUFFIXES)}). Received: {file}, {what}. "
        "Unpack it, or save its text as a .txt or .jsonl file."
    )


def describe_binary(stream):
    """Describe a stream that is not text by its first bytes.

    Args:
        stream: what `open_file` returned, not read yet.

    Returns:
        str, for example `"a PNG image"`; `None` if the format is unknown.
    """
    return _match(_BINARY_MAGIC, stream.peek(_HEAD_BYTES))


def _match(magic_numbers, head):
    for start, magic, what in magic_numbers:
        if head[start : start + len(magic)] == magic:
            return what
    return None


class _DecompressedStream(io.RawIOBase):
    """The content of a compressed file of any number of parts.

    This is needed because the readers of the libraries miss damage: that of
    zstd accepts truncated files, and those of bzip2 and xz skip damaged parts
    after the first.
    """

    def __init__(self, packed, compression):
        super().__init__()
        self._packed = packed
        self._compression = compression
        self._part = None  # the decompressor of the part that is being read
        self._unread = b""
        self._ready = memoryview(b"")
        self._is_first = True

    def readable(self):
        return True

    def readinto(self, buffer):
        filled = 0
        # Fill the buffer, because the first bytes tell what the content is.
        while filled < len(buffer) and (self._ready or self._decompress()):
            size = min(len(buffer) - filled, len(self._ready))
            buffer[filled : filled + size] = self._ready[:size]
            self._ready = self._ready[size:]
            filled += size
        return filled

    def _decompress(self):
        """Make some bytes ready; return False at the end of the file."""
        while not self._ready:
            if not self._unread:
                self._unread = self._packed.read(_BLOCK_BYTES)
            if self._part is None and not self._is_first:
                # gzip and xz allow zeros between parts and at the end.
                self._unread = self._unread.lstrip(b"\0")
                if not self._unread and self._packed.peek(1):
                    continue
            if not self._unread:
                if self._part is not None:
                    part = self._compression.part
                    raise DamageError(f"it ends within a {part}")
                return False
            if self._part is None:
                self._part = self._compression.new_decompressor()
                self._is_first = False
            self._ready = self._decompress_block()
        return True

    def _decompress_block(self):
        try:
            block = self._part.decompress(self._unread)
        except (
            zlib.error,
            lzma.LZMAError,
            zstandard.ZstdError,
            OSError,  # from bzip2
        ) as error:
            raise DamageError(str(error)) from error
        self._unread = b""
        if self._part.eof:
            self._unread = self._part.unused_data
            self._part = None
        return memoryview(block)

    def close(self):
        if not self.closed:
            self._packed.close()
        super().close()
