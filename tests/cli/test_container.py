import hashlib
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.cli import container
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.cli.encode import BLOCK_BYTES
from keras_nc.cli.encode import decode_stream
from keras_nc.cli.encode import encode_blocks
from keras_nc.cli.encode import encode_stream

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
    encode_stream(codebook, io.BytesIO(text), sink)
    return sink.getvalue()


def decoded(codebook, data):
    sink = io.BytesIO()
    decode_stream(codebook, io.BytesIO(data), sink)
    return sink.getvalue()


@settings(max_examples=150, deadline=None)
@given(pieces=PIECES)
def test_blocks_cut_no_window(codebook, pieces):
    codes = [np.zeros(0, np.uint16), *encode_blocks(codebook, pieces)]
    content = codebook.encode(b"".join(pieces))
    assert np.concatenate(codes).tolist() == content.tolist()


@settings(max_examples=50, deadline=None)
@given(pieces=PIECES)
def test_any_bytes_come_back(codebook, pieces):
    text = b"".join(pieces)
    assert decoded(codebook, encoded(codebook, text)) == text


def test_texts_of_many_blocks_come_back(codebook, text):
    rng = np.random.default_rng(0)
    noise = rng.bytes(BLOCK_BYTES + 7)
    long = text * (1 + 2 * BLOCK_BYTES // len(text)) + noise
    data = encoded(codebook, long)
    assert decoded(codebook, data) == long
    reader = ContainerReader(io.BytesIO(data))
    codes = np.concatenate(list(reader.blocks()))
    assert np.array_equal(codes, codebook.encode(long))
    assert reader.num_bytes == len(long)


def test_large_writes_become_blocks_of_allowed_size():
    sink = io.BytesIO()
    writer = ContainerWriter(sink, "00" * 32)
    codes = np.arange(container.MAX_BLOCK_CODES + 5) % 1000 + 3
    writer.write(codes)
    writer.finish(0, bytes(32))
    reader = ContainerReader(io.BytesIO(sink.getvalue()))
    sizes = [len(block) for block in reader.blocks()]
    assert sizes == [container.MAX_BLOCK_CODES, 5]


def test_golden(uniform):
    text = b"ab\0\0\0\xff"
    expected = """
        894b4e430d0a1a0a 0100
        a1fd277afea48c649d6c4292c9671456 78a738fe95adbb8edd78a8b4ba105dac
        1760b496
        03000000 c30a364d 8701 8c01 0400
        01000000 b5dcc279 fd03
        00000000 0600000000000000
        6da526c7b909d3a20f6fcf550766aa71 f950259725c01dbf54eb02d371002b39
        3b056a12
    """
    assert encoded(uniform, text) == bytes.fromhex(expected)
    # The numbers that the format requires, computed independently.
    assert uniform.fingerprint in expected.replace(" ", "")
    assert hashlib.sha256(text).hexdigest() in expected.replace(" ", "")
    assert [uniform.token_bytes(i) for i in (0x187, 0x18C, 4, 0x3FD)] == [
        b"a",
        b"b\0",
        b"\0\0",
        b"\xff",
    ]


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

    encode_stream(codebook, Source(1), Sink())  # compiles
    peaks = []
    for blocks in (4, 24):
        tracemalloc.start()
        num_bytes, _ = encode_stream(codebook, Source(blocks), Sink())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert num_bytes == blocks * BLOCK_BYTES
    assert peaks[1] < 1.2 * peaks[0]


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
    writer.write(uniform.encode(b"ab"))
    writer.finish(size, hashlib.sha256(text).digest())
    with pytest.raises(ValueError, match="does not match its checksum"):
        decoded(uniform, sink.getvalue())


def test_codes_without_a_window_are_refused(uniform):
    sink = io.BytesIO()
    writer = ContainerWriter(sink, uniform.fingerprint)
    writer.write([2])
    writer.finish(0, bytes(32))
    with pytest.raises(ValueError, match="id 2 at position 0"):
        decoded(uniform, sink.getvalue())
