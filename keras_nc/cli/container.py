r"""The file that `keras-nc encode` writes.

All numbers are little-endian. Format version 4:

    header    8 bytes   \x89 K N C \r \n \x1a \n
              uint16    format version: 4
              uint16    method: 0 for codes, 1 for a model in the loop
              32 bytes  fingerprint of the codebook, tokenizer or model
              8 bytes   method 1: the first of the SHA-256 of the probabilities
                        that the model gives here, see `ModelBlocks`; else 0
              uint32    CRC-32 of the header so far
    blocks    uint32    bytes of text in this block, 1 to 2^22
              uint32    number of its codes or streams
              uint32    bytes of its content, at most those of its text; plus
                        2^31 if the content is the text by LZMA
              uint32    CRC-32 of its content
              uint32    CRC-32 of these four numbers
              bytes     the content: the codes as `coding.AdaptiveCoder` writes
                        them, or the streams of `ModelBlocks`; or the text
                        itself, if it has as many bytes; or raw LZMA2 with a
                        dictionary of 4 MiB, where that is smaller
    end       uint32    0
              uint64    bytes of the text
              32 bytes  SHA-256 of the text
              uint32    CRC-32 of the end so far

The text is that of all blocks, joined. Nothing follows the end. Version 3 is
the same without LZMA, and is read, too.
"""

import dataclasses
import math
import struct
import threading
import zlib

import numpy as np

MAGIC = b"\x89KNC\r\n\x1a\n"
FORMAT_VERSION = 4
_KNOWN_VERSIONS = (3, 4)
#: Methods: what the blocks of a file hold.
BY_CODES, BY_MODEL = 0, 1
PROBE_BYTES = 8
NO_PROBE = bytes(PROBE_BYTES)
#: Bytes of text in a block that we write. Each block is decoded by itself. With
#: larger blocks, the file is smaller, but reading from its middle takes longer.
BLOCK_BYTES = 1 << 20
MAX_BLOCK_BYTES = 1 << 22
MAX_VOCABULARY = 1 << 16  # codes have two bytes

_HEADER = struct.Struct(f"<8sHH32s{PROBE_BYTES}s")
_BLOCK = struct.Struct("<IIII")
_END = struct.Struct("<IQ32s")
_NUMBER = struct.Struct("<I")
_VERSION = struct.Struct("<H")
_BY_LZMA = 1 << 31


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of an encoded file.

    Attributes:
        num_codes: int, its codes or streams.
        content: bytes, or `None` if the reader skipped it.
        num_bytes: int, bytes of its text.
        by_lzma: bool, whether the content is the text by LZMA.
    """

    num_codes: int
    content: bytes | None
    num_bytes: int
    by_lzma: bool = False

    @property
    def holds_text(self):
        """Whether the content is the text itself."""
        return len(self.content) == self.num_bytes and not self.by_lzma


class ContainerWriter:
    """Write blocks to a binary stream.

    Args:
        sink: the stream.
        fingerprint: of the codebook or model, 64 hexadecimal digits.
        method: `BY_CODES` or `BY_MODEL`.
        probe: `PROBE_BYTES` bytes.

    Example:
    >>> import io
    >>> sink = io.BytesIO()
    >>> writer = ContainerWriter(sink, "ab" * 32)
    >>> writer.write(Block(num_codes=2, content=b"sea", num_bytes=3))
    >>> writer.finish(num_bytes=3, sha256=bytes(32))
    >>> reader = ContainerReader(io.BytesIO(sink.getvalue()))
    >>> [block.content for block in reader.blocks()]
    [b'sea']
    """

    def __init__(self, sink, fingerprint, method=BY_CODES, probe=NO_PROBE):
        self._sink = sink
        digest = bytes.fromhex(fingerprint)
        self._write_checked(
            _HEADER.pack(MAGIC, FORMAT_VERSION, method, digest, probe)
        )

    def write(self, block):
        """Write a block."""
        content = block.content
        self._write_checked(
            _BLOCK.pack(
                block.num_bytes,
                block.num_codes,
                len(content) | _BY_LZMA * block.by_lzma,
                zlib.crc32(content),
            )
        )
        self._sink.write(content)

    def finish(self, num_bytes, sha256):
        """Write the end: size and SHA-256 (32 bytes) of the text."""
        self._write_checked(_END.pack(0, num_bytes, sha256))

    def _write_checked(self, fields):
        self._sink.write(fields + _NUMBER.pack(zlib.crc32(fields)))


class ContainerReader:
    """Read blocks from a binary stream, and check them.

    Args:
        source: the stream.
        name: str, the name of the stream in errors.

    Attributes:
        name: str.
        version: int, the format version.
        method: `BY_CODES` or `BY_MODEL`.
        fingerprint: of the codebook or model, 64 hexadecimal digits.
        probe: `PROBE_BYTES` bytes.
        num_bytes: int, bytes of the text; `None` until all blocks are read.
        sha256: bytes, of the text; `None` until all blocks are read.

    Raises:
        ValueError: if the stream is not a container of a known version.
    """

    def __init__(self, source, name="stream"):
        self._source = source
        self.name = name
        self.num_bytes = self.sha256 = None
        magic = source.read(len(MAGIC))
        if magic != MAGIC:
            begins = f"begins with {magic!r}" if magic else "is empty"
            raise ValueError(
                "An encoded file must begin as `keras-nc encode` writes it. "
                f"Received: {name!r}, which {begins}. Name a file that was "
                "encoded."
            )
        (self.version,) = _VERSION.unpack(head := self._read(_VERSION.size))
        if self.version not in _KNOWN_VERSIONS:
            known = " or ".join(map(str, _KNOWN_VERSIONS))
            raise ValueError(
                f"An encoded file must have the format version {known}. "
                f"Received: {name!r} with version {self.version}. "
                "Decode it with the version of keras-nc that encoded it."
            )
        head = magic + head
        head += self._read(_HEADER.size - len(head))
        self._check_crc(head, "header")
        _, _, self.method, digest, self.probe = _HEADER.unpack(head)
        if self.method not in (BY_CODES, BY_MODEL):
            raise self.damaged(f"the unknown method {self.method}")
        self.fingerprint = digest.hex()

    def blocks(self, start=0):
        """Yield the blocks.

        Args:
            start: int. Skip the content of blocks whose text ends at this byte
                or before it. It is not checked.

        Yields:
            `Block` objects.

        Raises:
            ValueError: if the stream is damaged or cut short.
        """
        first_byte = 0
        while True:
            head = self._read(_NUMBER.size)
            (number,) = _NUMBER.unpack(head)
            if number == 0:
                break
            yield self._read_block(number, start - first_byte)
            first_byte += number
        end = head + self._read(_END.size - len(head))
        self._check_crc(end, "end")
        if self._source.read(1):
            raise self.damaged("bytes after its end")
        _, self.num_bytes, self.sha256 = _END.unpack(end)

    def _read_block(self, num_bytes, skipped):
        head = _NUMBER.pack(num_bytes)
        head += self._read(_BLOCK.size - len(head))
        self._check_crc(head, "block")
        _, num_codes, size, crc = _BLOCK.unpack(head)
        by_lzma = self.version > 3 and size >= _BY_LZMA
        size -= _BY_LZMA * by_lzma
        # The writer keeps to these limits; they bound time and memory.
        if not (
            num_bytes <= MAX_BLOCK_BYTES
            and 1 <= num_codes <= num_bytes
            and 1 <= size <= num_bytes
        ):
            raise self.damaged(
                f"a block of {num_bytes} bytes, {num_codes} codes and {size} "
                "bytes of content"
            )
        content = None
        if num_bytes <= skipped:
            self._skip(size)
        else:
            content = self._read(size)
            self._check_content(content, crc)
        return Block(num_codes, content, num_bytes, by_lzma)

    def damaged(self, fault):
        """Make the ValueError for a damaged stream."""
        return ValueError(
            "An encoded file must be complete and unchanged. Received: "
            f"{self.name!r} with {fault}. Fetch the file again, or encode the "
            "text again."
        )

    def _read(self, size):
        data = self._source.read(size)
        if len(data) != size:
            raise self.damaged("its end cut off")
        return data

    def _skip(self, size):
        if self._source.seekable():
            self._source.seek(size, 1)
        else:
            self._read(size)

    def _check_content(self, content, crc):
        if zlib.crc32(content) != crc:
            raise self.damaged("a block that does not match its checksum")

    def _check_crc(self, fields, part):
        if self._read(_NUMBER.size) != _NUMBER.pack(zlib.crc32(fields)):
            raise self.damaged(f"a damaged {part}")


class SchemeCodes:
    """Any scheme with the methods of a `Codebook` that commands need.

    Args:
        scheme: a `keras_nc.tokenizers.Scheme`. Each of its ids must stand for
            bytes, whatever the ids beside it.

    Raises:
        ValueError: if the bytes of an id depend on others, or there are too
            many ids.
    """

    def __init__(self, scheme):
        lengths = scheme.token_lengths
        if lengths is None or len(lengths) > MAX_VOCABULARY:
            which = "each stand" if lengths is not None else "do not each stand"
            raise ValueError(
                "A tokenizer must have at most "
                f"{MAX_VOCABULARY:,} ids, which each stand for bytes. "
                f"Received: the scheme {scheme.name!r} with "
                f"{scheme.vocabulary_size:,} ids, which {which} for bytes. "
                "Pass a codebook, or another preset."
            )
        self._scheme = scheme
        # Schemes do not promise that several threads may use them.
        self._lock = threading.Lock()
        #: As those of a `Codebook`.
        self.token_lengths, self.costs = lengths, None
        self.fingerprint = scheme.fingerprint
        self.vocabulary_size = scheme.vocabulary_size
        #: Bits of a token if all ids were equally probable, a float.
        self.window_bits = math.log2(scheme.vocabulary_size)

    def encode(self, data):
        """Return the ids of bytes, uint16 of shape (T,)."""
        with self._lock:
            ids, _ = self._scheme.encode_batch([data])
        return ids.astype(np.uint16)

    def decode(self, ids):
        """Return the bytes of ids."""
        with self._lock:
            return self._scheme.decode(ids.astype(np.int32))

    def token_bytes(self, token_id):
        """Return the bytes of one id."""
        return self._scheme.token_bytes(token_id)

    def encode_part(self, data):
        """Encode all of a part. Tokens do not cross the ends of parts."""
        return self.encode(data), len(data)
