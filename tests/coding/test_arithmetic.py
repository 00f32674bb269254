import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import ArithmeticDecoder
from keras_nc.coding import ArithmeticEncoder
from keras_nc.coding import decode_static
from keras_nc.coding import encode_static
from keras_nc.coding.shares import FREQUENCY_BITS
from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import cumulative_frequencies
from keras_nc.coding.shares import frequencies

PRECISIONS = [14, 16, 24]
precisions = st.sampled_from(PRECISIONS)
thorough = settings(deadline=None, max_examples=80)


@st.composite
def distributions(draw):
    """Distributions in which most bytes are nearly certain or impossible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logs = -draw(st.sampled_from([0.0, 1.0, 20.0, 300.0])) * rng.random(256)
    logs[rng.integers(0, 256, draw(st.integers(0, 300)))] = -np.inf
    logs[draw(st.integers(0, 255))] = 0.0
    p = 10.0**logs
    return p / p.sum()


def reference(text, tables, precision):
    """Encode by the rule in unlimited integers; also return carry lengths."""
    low, span, size, longest = 0, 2**64 - 1, 0, 0
    for byte, table in zip(text, tables, strict=True):
        below, above = int(table[byte]), int(table[byte + 1])
        step = span >> precision
        moved, span = low + step * below, step * (above - below)
        before, after = low >> 64, moved >> 64
        longest = max(longest, (before ^ after).bit_length())
        low = moved
        while span < 2**56:
            low, span, size = low << 8, span << 8, size + 1
    if not text:
        return b"", longest
    return (-(-low >> 56)).to_bytes(size + 1, "big"), longest


def lock_step(documents, tables, precision):
    """Code and decode documents, whose tables depend on the position."""
    lengths = [len(document) for document in documents]
    encoder = ArithmeticEncoder(lengths, precision)
    B, T = len(documents), max(lengths, default=0)
    symbols = np.zeros((B, T), np.uint8)
    for row, document in zip(symbols, documents, strict=True):
        row[: len(document)] = np.frombuffer(document, np.uint8)
    rows = [np.tile(tables[t % len(tables)], (B, 1)) for t in range(T)]
    for t in range(T):
        encoder.encode(rows[t], symbols[:, t])
    codes, offsets = encoder.get_compressed()
    decoder = ArithmeticDecoder(codes, offsets, lengths, precision)
    decoded = np.array([decoder.decode(rows[t]) for t in range(T)])
    decoder.close()
    decoded = decoded.reshape(T, B).T
    texts = [
        bytes(row[:length])
        for row, length in zip(decoded, lengths, strict=True)
    ]
    return codes, offsets, texts


@thorough
@given(
    st.lists(st.binary(max_size=80), max_size=4), distributions(), precisions
)
def test_one_table(documents, p, precision):
    table = cumulative_frequencies(p[None], precision)[0]
    codes, offsets = encode_static(documents, table)
    lengths = [len(document) for document in documents]
    assert decode_static(codes, offsets, lengths, table) == documents
    pairs = itertools.pairwise(offsets)
    for document, (a, b) in zip(documents, pairs, strict=True):
        expected, _ = reference(document, [table] * len(document), precision)
        assert codes[a:b].tobytes() == expected


@thorough
@given(
    st.lists(st.binary(max_size=40), max_size=4),
    st.lists(distributions(), min_size=1, max_size=3),
    precisions,
)
def test_tables_that_change(documents, ps, precision):
    tables = cumulative_frequencies(np.array(ps), precision)
    codes, offsets, texts = lock_step(documents, tables, precision)
    assert texts == documents
    for i, document in enumerate(documents):
        rows = [tables[t % len(tables)] for t in range(len(document))]
        code = codes[offsets[i] : offsets[i + 1]].tobytes()
        assert code == reference(document, rows, precision)[0]


def test_carries_go_through_bytes_of_ones():
    p = np.full(256, 1e-9)
    p[[0, 255]] = 0.45, 0.55
    table = cumulative_frequencies(p[None] / p.sum(), 16)[0]
    bits = np.random.default_rng(0).random(60_000) < 0.55
    text = (bits * 255).astype(np.uint8).tobytes()
    expected, longest = reference(text, [table] * len(text), 16)
    assert longest > 8  # a carry went through a whole byte
    codes, offsets = encode_static([text], table)
    assert codes.tobytes() == expected
    assert decode_static(codes, offsets, [len(text)], table) == [text]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("concentration", [0.003, 0.05, 10.0])
def test_codes_are_as_short_as_the_entropy(precision, concentration):
    rng = np.random.default_rng(precision)
    p = rng.dirichlet(np.full(256, concentration), size=8)
    tables = cumulative_frequencies(p, precision)
    # Each byte is drawn from the distribution that it is coded with.
    which = np.repeat(np.arange(8), 2000)
    symbols = [rng.choice(256, size=2000, p=row) for row in p]
    symbols = np.concatenate(symbols).astype("uint8")
    shares = np.diff(tables.astype(np.int64), axis=1) / 2**precision
    entropy = -np.log2(shares[which, symbols]).sum()
    encoder = ArithmeticEncoder([symbols.size], precision)
    for t, row in enumerate(which):
        encoder.encode(tables[[row]], symbols[t : t + 1])
    codes, _ = encoder.get_compressed()
    assert 8 * codes.size <= entropy * 1.0001 + 32
    assert 8 * codes.size >= entropy


def test_codes_of_integer_counts_stay_as_they_are(geometric):
    table = cumulative_frequencies(geometric.probabilities([b""]), 16)[0]
    documents = [b"12 squared is\0\xff", bytes(range(9)), b"\0" * 60, b""]
    codes, offsets = encode_static(documents, table)
    pairs = itertools.pairwise(offsets)
    assert [codes[a:b].tobytes().hex() for a, b in pairs] == GOLDEN


GOLDEN = [
    "ff2bff2cff19004400410057ffed0000ffef0002ffab0004000f806202",
    "5ae355949f3d",
    "0000000000000000",
    "",
]


def test_every_byte_has_a_part():
    p = np.zeros((1, 256))
    p[0, 7] = 1.0
    for precision in range(14, FREQUENCY_BITS + 1):
        parts = np.diff(cumulative_frequencies(p, precision)[0].astype(int))
        assert parts.sum() == 2**precision
        assert parts[7] == 2**precision - 255
        assert (np.delete(parts, 7) == 1).all()


@settings(deadline=None, max_examples=50)
@given(distributions(), precisions)
def test_parts_are_within_one_of_the_exact_shares(p, precision):
    parts = np.diff(cumulative_frequencies(p[None], precision)[0].astype(int))
    f = frequencies(p[None])
    exact = allocate(f, [2**precision - 256])[0] + 1
    assert np.abs(parts - exact).max() <= 1
    assert parts.sum() == 2**precision


def test_odd_precisions_are_refused():
    uniform = np.full((1, 256), 1 / 256)
    for odd in (13, 25, 16.0, None, True):
        with pytest.raises(ValueError, match="Received: precision="):
            cumulative_frequencies(uniform, odd)
        with pytest.raises(ValueError, match="Received: precision="):
            ArithmeticEncoder([1], odd)
        with pytest.raises(ValueError, match="Received: precision="):
            ArithmeticDecoder([], [0, 0], [0], odd)
    assert ArithmeticEncoder([1], np.uint8(16)) is not None
    with pytest.raises(ValueError, match="Received"):
        cumulative_frequencies(uniform * 2, 16)


@pytest.fixture(scope="module")
def table(geometric):
    return cumulative_frequencies(geometric.probabilities([b""]), 16)[0]


def test_damaged_codes_are_refused(table):
    text = b"12 squared is\0\xff" * 5  # 75 bytes
    code = encode_static([text], table)[0].tobytes()

    def decode(code, length=75):
        return decode_static(code, [0, len(code)], [length], table)[0]

    assert decode(code, len(text)) == text
    for cut in range(len(code)):
        with pytest.raises(ValueError, match="Received"):
            decode(code[:cut])
    for bad in (code + b"\0", code + b"x", b"\xff" * len(code)):
        with pytest.raises(ValueError, match="Received"):
            decode(bad)
    with pytest.raises(ValueError, match="Received"):
        decode(code[:-1] + bytes([code[-1] + 1]))
    for length in (0, 1, len(text) - 9, len(text) + 9, 10**6, 2**48, 2**60):
        with pytest.raises(ValueError, match="Received"):
            decode(code, length)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 10**7))
def test_any_code_ends_in_text_or_an_error(table, code, length):
    offsets = [0, len(code)]
    decoder = None
    try:
        found = decode_static(code, offsets, [length], table)
    except ValueError as error:
        found = None
        assert "Received" in str(error)
    # A code that decodes is the code that the encoder writes, no other.
    if found is not None:
        assert encode_static(found, table)[0].tobytes() == code
    if length < 1000:
        try:
            decoder = ArithmeticDecoder(code, offsets, [length])
            text = [decoder.decode(table[None])[0] for _ in range(length)]
            decoder.close()
        except ValueError:
            assert found is None
        else:
            assert [bytes(text)] == found


def test_odd_arguments_are_refused(table):
    wrong = [
        table[:-1],
        table.astype("int64"),
        np.zeros(257, "uint32"),
        table[::-1].copy(),
        np.zeros(0, "uint32"),
    ]
    for bad in wrong:
        with pytest.raises(ValueError, match="`table` must be"):
            encode_static([b"a"], bad)
    encoder = ArithmeticEncoder([1, 2])
    with pytest.raises(ValueError, match="2 bytes left"):
        encoder.get_compressed()
    for bad in (table, table[None], np.tile(table, (2, 1)).astype("int64")):
        with pytest.raises(ValueError, match="`tables` must be"):
            encoder.encode(bad, np.zeros(2, "uint8"))
    flat = np.tile(table, (2, 1))
    flat[1, 5:9] = flat[1, 5]
    with pytest.raises(ValueError, match="byte 6 of document 1"):
        encoder.encode(flat, np.array([6, 6], "uint8"))
    for lengths in ([-1], [1.5], [[1]]):
        with pytest.raises(ValueError, match="`lengths` must be"):
            ArithmeticEncoder(lengths)
    with pytest.raises(ValueError, match="`offsets` must rise"):
        decode_static(b"abc", [0, 2], [2], table)
    with pytest.raises(ValueError, match="document 0"):
        ArithmeticDecoder(*encode_static([b"ab"], table), [2]).close()
    with pytest.raises(TypeError, match="Received: int"):
        encode_static([5], table)
