r"""The file that `keras-nc encode` writes, and the codes that it holds.

All numbers are little-endian. Format version 1:

    header    8 bytes   \x89 K N C \r \n \x1a \n
              uint16    format version: 1
              32 bytes  fingerprint of the codebook, a SHA-256
              uint32    CRC-32 of the header so far
    blocks    uint32    number of codes in this block, 1 to 2^21
              uint32    CRC-32 of the codes
              uint16s   the codes
    end       uint32    0
              uint64    bytes of the text
              32 bytes  SHA-256 of the text
              uint32    CRC-32 of the end so far

The joined codes of all blocks are the codes of the text. The boundaries of
blocks have no meaning. Nothing follows the end.
"""

import math
import struct
import zlib

import numpy as np

MAGIC = b"\x89KNC\r\n\x1a\n"
FORMAT_VERSION = 1
MAX_BLOCK_CODES = 1 << 21
MAX_VOCABULARY = 1 << 16  # codes are written in two bytes

_HEADER = struct.Struct("<8sH32s")
_BLOCK = struct.Struct("<II")
_END = struct.Struct("<IQ32s")
_CRC = struct.Struct("<I")


class ContainerWriter:
    """Write codes to a binary stream, block by block.

    Args:
        sink: the stream.
        fingerprint: of the codebook, 64 hexadecimal digits.

    Example:
    >>> import io
    >>> sink = io.BytesIO()
    >>> writer = ContainerWriter(sink, "ab" * 32)
    >>> writer.write([3, 4, 5])
    >>> writer.finish(num_bytes=3, sha256=bytes(32))
    >>> reader = ContainerReader(io.BytesIO(sink.getvalue()))
    >>> [block.tolist() for block in reader.blocks()]
    [[3, 4, 5]]
    """

    def __init__(self, sink, fingerprint):
        self._sink = sink
        digest = bytes.fromhex(fingerprint)
        self._write_checked(_HEADER.pack(MAGIC, FORMAT_VERSION, digest))

    def write(self, codes):
        """Write codes, integers of shape (T,), in one or more blocks."""
        codes = np.asarray(codes).astype("<u2", copy=False)
        for i in range(0, len(codes), MAX_BLOCK_CODES):
            block = codes[i : i + MAX_BLOCK_CODES].tobytes()
            head = _BLOCK.pack(len(block) // 2, zlib.crc32(block))
            self._sink.write(head)
            self._sink.write(block)

    def finish(self, num_bytes, sha256):
        """Write the end: size and SHA-256 (32 bytes) of the text."""
        self._write_checked(_END.pack(0, num_bytes, sha256))

    def _write_checked(self, fields):
        self._sink.write(fields + _CRC.pack(zlib.crc32(fields)))


class ContainerReader:
    """Read codes from a binary stream, block by block, and check them.

    Args:
        source: the stream.
        name: str, the name of the stream in errors.

    Attributes:
        fingerprint: of the codebook, 64 hexadecimal digits.
        num_bytes: int, bytes of the text; `None` until all blocks are read.
        sha256: bytes, of the text; `None` until all blocks are read.

    Raises:
        ValueError: if the stream is not a container of this version.
    """

    def __init__(self, source, name="stream"):
        self._source = source
        self._name = name
        self.num_bytes = self.sha256 = None
        magic = source.read(len(MAGIC))
        if magic != MAGIC:
            begins = f"begins with {magic!r}" if magic else "is empty"
            raise ValueError(
                "The input must be a file that `keras-nc encode` wrote. "
                f"Received: {name!r}, which {begins}. Name an encoded file."
            )
        rest = self._read(_HEADER.size - len(MAGIC))
        _, version, digest = _HEADER.unpack(magic + rest)
        if version != FORMAT_VERSION:
            raise ValueError(
                f"An encoded file must have format version {FORMAT_VERSION}. "
                f"Received: {name!r} with version {version}. Decode it with "
                "the version of keras-nc that encoded it."
            )
        self._check_crc(magic + rest, "header")
        self.fingerprint = digest.hex()

    def blocks(self):
        """Yield the codes, uint16 arrays of shape (T,).

        Raises:
            ValueError: if the stream is damaged or cut short.
        """
        while True:
            head = self._read(_CRC.size)
            (size,) = _CRC.unpack(head)
            if size == 0:
                break
            if size > MAX_BLOCK_CODES:
                raise self.damaged(f"a block of {size} codes")
            (crc,) = _CRC.unpack(self._read(_CRC.size))
            block = self._read(2 * size)
            if zlib.crc32(block) != crc:
                raise self.damaged("a block that does not match its checksum")
            yield np.frombuffer(block, "<u2").astype(np.uint16, copy=False)
        end = head + self._read(_END.size - len(head))
        self._check_crc(end, "end")
        if self._source.read(1):
            raise self.damaged("bytes after its end")
        _, self.num_bytes, self.sha256 = _END.unpack(end)

    def damaged(self, fault):
        """Make the ValueError for a damaged stream."""
        return ValueError(
            "An encoded file must be complete and unchanged. Received: "
            f"{self._name!r} with {fault}. Fetch the file again, or encode the "
            "text again."
        )

    def _read(self, size):
        data = self._source.read(size)
        if len(data) != size:
            raise self.damaged("its end cut off")
        return data

    def _check_crc(self, fields, part):
        if self._read(_CRC.size) != _CRC.pack(zlib.crc32(fields)):
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
        self.fingerprint = scheme.fingerprint
        self.vocabulary_size = scheme.vocabulary_size
        #: Bits of a token if all ids were equally probable, a float.
        self.window_bits = math.log2(scheme.vocabulary_size)

    def encode(self, data):
        """Return the ids of bytes, uint16 of shape (T,)."""
        ids, _ = self._scheme.encode_batch([data])
        return ids.astype(np.uint16)

    def decode(self, ids):
        """Return the bytes of ids."""
        return self._scheme.decode(ids.astype(np.int32))

    def token_bytes(self, token_id):
        """Return the bytes of one id."""
        return self._scheme.token_bytes(token_id)

    def encode_part(self, data):
        """Encode all of a part. Tokens do not cross the ends of parts."""
        return self.encode(data), len(data)
