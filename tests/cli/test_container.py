import dataclasses
import hashlib
import io
import random
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.cli.block_coders import CodeBlocks
from keras_nc.cli.block_coders import ModelBlocks
from keras_nc.cli.container import BLOCK_BYTES
from keras_nc.cli.container import MAX_BLOCK_BYTES
from keras_nc.cli.container import Block
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.cli.encode import decode_range
from keras_nc.cli.encode import decode_stream
from keras_nc.cli.encode import encode_stream
from keras_nc.cli.encode import read_blocks
from keras_nc.coding import AdaptiveCoder
from keras_nc.entropy_models import NGramModel

# Bytes that make windows of many lengths with a codebook of English.
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from([b"the ", b"the", b" statement", b"\n   ", b" " * 40]),
    ),
    max_size=12,
)


def encoded(codebook, text):
    sink = io.BytesIO()
    encode_stream(CodeBlocks(codebook), io.BytesIO(text), sink)
    return sink.getvalue()


def decoded(codebook, data):
    sink = io.BytesIO()
    reader = ContainerReader(io.BytesIO(data))
    decode_stream(CodeBlocks(codebook), reader, sink)
    return sink.getvalue()


def read_range(codebook, source, sink, start, end):
    blocks = CodeBlocks(codebook)
    return decode_range(blocks, ContainerReader(source), sink, start, end)


@settings(max_examples=50, deadline=None)
@given(pieces=PIECES)
def test_any_bytes_come_back(codebook, pieces):
    text = b"".join(pieces)
    assert decoded(codebook, encoded(codebook, text)) == text


@pytest.fixture(scope="module")
def long(text):
    """A text of several blocks, the last of which is noise."""
    noise = np.random.default_rng(0).bytes(BLOCK_BYTES)
    repeats = 1 + 2 * BLOCK_BYTES // len(text)
    return (text * repeats)[: 2 * BLOCK_BYTES] + noise


@pytest.fixture(scope="module")
def long_encoded(codebook, long):
    return encoded(codebook, long)


def test_texts_of_many_blocks_come_back(codebook, long, long_encoded):
    assert decoded(codebook, long_encoded) == long
    reader = ContainerReader(io.BytesIO(long_encoded))
    blocks = list(reader.blocks())
    assert len(blocks) == 3
    for i, block in enumerate(blocks):
        text = long[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES]
        codes = CodeBlocks(codebook).codes(block)
        assert np.array_equal(codes, codebook.encode(text))
        assert block.num_codes == len(codes)
    assert reader.num_bytes == len(long)


def test_no_block_is_larger_than_its_text(codebook, long, long_encoded):
    blocks = list(ContainerReader(io.BytesIO(long_encoded)).blocks())
    assert [block.holds_text for block in blocks] == [False, False, True]
    assert all(len(block.content) <= block.num_bytes for block in blocks)
    noise = long[-70000:]
    assert len(encoded(codebook, noise)) == len(noise) + 56 + 20 + 48


class Unseekable(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.parametrize("start, kind", [
    (0, io.BytesIO),
    (BLOCK_BYTES - 3, io.BytesIO),
    (2 * BLOCK_BYTES + 9, io.BytesIO),
    (2 * BLOCK_BYTES + 9, Unseekable),
])  # fmt: skip
def test_ranges(codebook, long, long_encoded, start, kind):
    for end in (start, start + 7, None):
        sink = io.BytesIO()
        found = read_range(codebook, kind(long_encoded), sink, start, end)
        assert sink.getvalue() == long[start:end]
        assert found == (len(long) if end is None else end)


def test_a_range_needs_only_its_blocks(codebook, long, long_encoded):
    """Damage elsewhere is not even seen."""
    damaged = bytearray(long_encoded)
    damaged[56 + 20 + 9] ^= 1
    sink = io.BytesIO()
    start = BLOCK_BYTES + 50000
    source = io.BytesIO(damaged)
    read_range(codebook, source, sink, start, start + 20)
    assert sink.getvalue() == long[start : start + 20]
    with pytest.raises(ValueError, match="match its checksum"):
        read_range(codebook, io.BytesIO(damaged), sink, 5, 20)
    cut = io.BytesIO(long_encoded[:2000])
    with pytest.raises(ValueError, match="its end cut off"):
        read_range(codebook, cut, sink, 2 * BLOCK_BYTES, None)


def test_ranges_beyond_the_text_are_refused(uniform):
    data = encoded(uniform, b"some text")
    for start, end, name in ((0, 10, "0:10"), (10, None, "10:"), (9, 12, "9")):
        with pytest.raises(ValueError, match=f"{name}.* has 9 bytes"):
            read_range(uniform, io.BytesIO(data), io.BytesIO(), start, end)


def test_short_ends_join_the_block_before():
    for size, lengths in (
        (0, []),
        (3, [3]),
        (8, [8]),
        (11, [11]),
        (12, [8, 4]),
        (27, [8, 8, 11]),
    ):
        text = bytes(range(size))
        found = list(read_blocks(io.BytesIO(text), 8))
        assert list(map(len, found)) == lengths
        assert b"".join(found) == text


GOLDEN = """
    894b4e430d0a1a0a 0400 0000
    a1fd277afea48c649d6c4292c9671456 78a738fe95adbb8edd78a8b4ba105dac
    0000000000000000 59f026ed
    06000000 04000000 05000000 270c9c4f 5ee0a4fb 613ceb0d91
    00000000 0600000000000000
    6da526c7b909d3a20f6fcf550766aa71 f950259725c01dbf54eb02d371002b39
    3b056a12
"""
GOLDEN_TEXT = b"ab\0\0\0\xff"


def test_golden(uniform):
    data = bytes.fromhex(GOLDEN)
    assert encoded(uniform, GOLDEN_TEXT) == data
    assert decoded(uniform, data) == GOLDEN_TEXT
    # The numbers that the format requires, computed independently.
    expected = GOLDEN.replace(" ", "")
    assert uniform.fingerprint in expected
    assert hashlib.sha256(GOLDEN_TEXT).hexdigest() in expected


def test_version_3_is_read(uniform):
    header = "0300 0000" + GOLDEN.split("0400 0000")[1]
    data = bytearray.fromhex("894b4e430d0a1a0a" + header)
    data[52:56] = zlib.crc32(data[:52]).to_bytes(4, "little")
    assert data[52:56].hex() == "7759fe3b"
    assert decoded(uniform, data) == GOLDEN_TEXT


@pytest.fixture(scope="module")
def table():
    """A text that repeats itself, but has few windows of a codebook."""
    rng = random.Random(0)
    letters = [chr(i) for i in range(0x430, 0x450)]
    words = ["".join(rng.choices(letters, k=7)) for _ in range(200)]
    text = " ".join(rng.choices(words, k=120_000)).encode()
    return text[: BLOCK_BYTES + 600_000]


def test_lzma_packs_what_a_codebook_does_not_know(codebook, table, monkeypatch):
    data = encoded(codebook, table)
    blocks = list(ContainerReader(io.BytesIO(data)).blocks())
    # They are tried, because samples of them promise much.
    assert [block.by_lzma for block in blocks] == [True, True]
    assert decoded(codebook, data) == table
    for block in blocks:
        codes = codebook.encode(CodeBlocks(codebook).unpack(block))
        assert CodeBlocks(codebook).codes(block).tolist() == codes.tolist()
        assert block.num_codes == len(codes)
    sink = io.BytesIO()
    end = len(table)
    read_range(codebook, io.BytesIO(data), sink, end - 99, end)
    assert sink.getvalue() == table[-99:]
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(ValueError, match="a Python without it"):
        decoded(codebook, data)
    larger = encoded(codebook, table)
    assert len(larger) > len(data)
    assert decoded(codebook, larger) == table


@pytest.mark.parametrize(
    "change",
    [
        lambda block: {"content": block.content[:-1]},
        lambda block: {"content": block.content + b"\0"},
        lambda block: {"content": b"\x05" + block.content[1:]},
        lambda block: {"num_bytes": block.num_bytes - 1},
        lambda block: {"num_bytes": block.num_bytes + 1},
    ],
)
def test_damaged_lzma_is_noticed(codebook, table, change):
    block = CodeBlocks(codebook).pack(table[:20_000])
    assert block.by_lzma
    damaged = dataclasses.replace(block, **change(block))
    with pytest.raises(ValueError, match="must hold its text and nothing"):
        CodeBlocks(codebook).unpack(damaged)


@pytest.mark.parametrize("version", [0, 2, 5])
def test_other_versions_are_refused(uniform, version):
    data = bytearray(encoded(uniform, b"some text"))
    data[8] = version
    with pytest.raises(ValueError, match=f"with version {version}"):
        decoded(uniform, data)


def test_golden_codes(codebook, text):
    """A file with codes, not text, in its block."""
    data = encoded(codebook, text[:3000])
    digest = hashlib.sha256(data).hexdigest()[:16]
    assert (len(data), digest) == (1287, "f8b8ba172ef427ba")


def test_memory_does_not_grow_with_the_text(codebook, text):
    class Source:
        def __init__(self, blocks):
            self.left = blocks

        def read(self, size):
            self.left -= 1
            return (text * (1 + size // len(text)))[:size] * (self.left >= 0)

    class Sink:
        def write(self, data):
            return len(data)

    coder = CodeBlocks(codebook)
    encode_stream(coder, Source(1), Sink())  # compiles
    peaks = []
    for blocks in (4, 24):
        tracemalloc.start()
        num_bytes, _ = encode_stream(
            CodeBlocks(codebook), Source(blocks), Sink()
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert num_bytes == blocks * BLOCK_BYTES
    assert peaks[1] < 1.2 * peaks[0]


def test_damaged_numbers_of_a_block_are_noticed(uniform):
    """Checksums may be right: someone may have made them so."""
    data = encoded(uniform, b"some text")
    for numbers in (
        (MAX_BLOCK_BYTES + 1, 5, 9),
        (9, 10, 9),
        (9, 0, 9),
        (9, 5, 10),
        (9, 5, 0),
    ):
        head = struct.pack("<IIII", *numbers, zlib.crc32(b"some text"))
        head += struct.pack("<I", zlib.crc32(head))
        with pytest.raises(ValueError, match="a block of"):
            decoded(uniform, data[:56] + head + data[76:])


def test_every_cut_is_noticed(uniform):
    data = encoded(uniform, b"some text")
    for size in range(len(data)):
        with pytest.raises(ValueError, match="Received: 'stream'"):
            decoded(uniform, data[:size])


def test_every_flipped_bit_is_noticed(uniform):
    data = encoded(uniform, b"some text")
    for i in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[i // 8] ^= 1 << i % 8
        with pytest.raises(ValueError, match="Received: "):
            decoded(uniform, bytes(damaged))


def test_more_after_the_end_is_noticed(uniform):
    with pytest.raises(ValueError, match="bytes after its end"):
        decoded(uniform, encoded(uniform, b"some text") + b"\0")


@pytest.mark.parametrize("text, size", [(b"ab", 3), (b"ax", 2)])
def test_codes_of_another_text_are_noticed(uniform, text, size):
    sink = io.BytesIO()
    writer = ContainerWriter(sink, uniform.fingerprint)
    writer.write(CodeBlocks(uniform).pack(b"ab"))
    writer.finish(size, hashlib.sha256(text).digest())
    with pytest.raises(ValueError, match="does not match its checksum"):
        decoded(uniform, sink.getvalue())


@pytest.mark.parametrize("ids, fault", [
    ([2] * 50, "id 2 at position 0"),
    ([9] * 50, "100 bytes instead of 50"),
    (None, "damaged or cut"),
])  # fmt: skip
def test_codes_of_another_coder_are_refused(uniform, ids, fault):
    content = b"\xff\xff"
    if ids:
        content = AdaptiveCoder(uniform.token_lengths > 0).encode(ids)
    sink = io.BytesIO()
    writer = ContainerWriter(sink, uniform.fingerprint)
    writer.write(Block(50, content, 50))
    writer.finish(50, bytes(32))
    with pytest.raises(ValueError, match=fault):
        decoded(uniform, sink.getvalue())


@pytest.fixture(scope="module")
def model_blocks(text):
    return ModelBlocks(NGramModel.from_text(text[:50000], order=2))


@pytest.mark.parametrize("size", [1, 1024, 1025, 16385, 65536, 70000])
def test_a_model_codes_parts_of_a_block(model_blocks, text, size):
    content = (text * 2)[:size]
    block = model_blocks.pack(content)
    assert block.num_codes == len(range(0, size, 1024 * -(-size // 16384)))
    assert model_blocks.unpack(block) == content
    assert size == 1 or len(block.content) < size / 2


def test_a_model_codes_files_of_many_blocks(model_blocks, text):
    content = (text * 4)[:200_000] + bytes(range(256))
    sink = io.BytesIO()
    encode_stream(model_blocks, io.BytesIO(content), sink)
    back = io.BytesIO()
    reader = ContainerReader(io.BytesIO(sink.getvalue()))
    decode_stream(model_blocks, reader, back)
    assert back.getvalue() == content
    reader = ContainerReader(io.BytesIO(sink.getvalue()))
    part = io.BytesIO()
    decode_range(model_blocks, reader, part, 65000, 66000)
    assert part.getvalue() == content[65000:66000]


def test_damaged_streams_are_noticed(model_blocks, text):
    block = model_blocks.pack(text[:3000])
    content = block.content
    for damaged, codes in (
        (content[:-1], 3),
        (content + b"\0", 3),
        (content[:3], 3),
        (content, 2),
        (b"\xff\xff" + content[2:], 3),
    ):
        with pytest.raises(ValueError, match="Received: "):
            model_blocks.unpack(Block(codes, damaged, 3000))
