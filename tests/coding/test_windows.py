"""Live windows: exact at every width, and those of a codebook up to 16 bits."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding import WindowCoder
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.shares import allocate
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from tests.coding.reference import ArithmeticCoder

WIDTHS = [9, 16, 24, 32, 33, 64, 128]
DOCUMENTS = [
    b"",
    b"a",
    b"\x00" * 1200,
    b"\xff" * 700,
    bytes(range(256)),
    b"def f(x):\n    return x\n" * 30,
]
any_bytes = st.lists(st.binary(max_size=200), max_size=4)
exhaustive = settings(deadline=None, max_examples=15)


@pytest.fixture(scope="module")
def coders(ngram):
    return {
        W: WindowCoder(stepper_for(ngram, 4, 1024), window_bits=W)
        for W in WIDTHS
    }


@pytest.fixture(scope="module")
def cache(ngram, text):
    stepper = stepper_for(ngram, 16, 1024)
    return PrefixCache.build(
        stepper, [text[:6000]], window_bits=24, max_prefixes=300
    )


@pytest.fixture(params=WIDTHS)
def coder(request, coders):
    return coders[request.param]


def listed(codes):
    """Codes as Python integers."""
    if codes.ndim == 2:
        return [int(high) << 64 | int(low) for high, low in codes]
    return codes.tolist()


def test_round_trip(coder, text):
    documents = [*DOCUMENTS, text[:1000]]
    codes, offsets = coder.encode_batch(documents)
    assert coder.decode_batch(codes, offsets) == documents
    assert np.diff(offsets).tolist()[:2] == [0, 1]
    values = listed(codes)
    assert min(values) >= NUM_SPECIAL
    assert max(values) < 1 << coder.window_bits
    lengths, _ = coder.cut_batch(documents)
    assert lengths.sum() == sum(map(len, documents))
    assert lengths.max() <= 1024


@exhaustive
@given(documents=any_bytes)
@pytest.mark.parametrize("W", WIDTHS)
def test_round_trip_of_any_bytes(coders, W, documents):
    codes, offsets = coders[W].encode_batch(documents)
    assert coders[W].decode_batch(codes, offsets) == documents


@pytest.mark.parametrize("W", [9, 12, 16])
def test_codes_are_those_of_the_codebook(ngram, text, W):
    codebook = Codebook.paper(ngram, window_bits=W)
    coder = WindowCoder(
        stepper_for(ngram, 8, codebook.max_window_bytes), window_bits=W
    )
    documents = [*DOCUMENTS, text[:2000]]
    codes, offsets = coder.encode_batch(documents)
    expected, expected_offsets = codebook.encode_batch(documents)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(offsets, expected_offsets)
    assert codes.dtype == expected.dtype


def big_shares(f, k):
    """The shares of the rule, in Python's integers."""
    total = sum(f)
    shares = [weight * k // total for weight in f]
    order = sorted(range(256), key=lambda b: (-(f[b] * k % total), b))
    for b in order[: k - sum(shares)]:
        shares[b] += 1
    return shares


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_shares_are_those_of_the_rule(data):
    from keras_nc.coding.kernels import windows as kernels

    weights = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 1 << 17))
    f = data.draw(st.lists(weights, min_size=256, max_size=256))
    f[data.draw(st.integers(0, 255))] += data.draw(st.integers(1, 1 << 24))
    k = data.draw(st.integers(0, (1 << data.draw(st.integers(0, 128))) - 1))
    small, keys = np.empty((2, 256), np.uint64)
    words = [np.uint64(word) for word in divmod(k, 1 << 64)]
    found = kernels.share(
        np.array(f, np.uint32), *words, np.uint64(0), small, keys
    )
    q = int(found[0]) << 64 | int(found[1])
    shares = [b * q + int(s) for b, s in zip(f, small, strict=True)]
    assert shares == big_shares(f, k)
    assert sum(shares) == k
    if k < 1 << 38:
        rows = allocate(np.array([f]), np.array([k]))
        assert shares == rows[0].tolist()


@pytest.mark.parametrize("W", [24, 64, 128])
def test_a_cache_changes_no_code(coders, ngram, cache, text, W):
    stepper = stepper_for(ngram, 4, 1024)
    cached = WindowCoder(stepper, window_bits=W, cache=cache)
    documents = [text[i : i + 500] for i in range(0, 4000, 500)]
    codes, offsets = cached.encode_batch(documents)
    expected, _ = coders[W].encode_batch(documents)
    np.testing.assert_array_equal(codes, expected)
    assert cached.decode_batch(codes, offsets) == documents
    asked, known = cached.lookups
    assert known > 0.02 * asked


def test_batches_change_no_code(ngram, cache, text):
    documents = [text[i : i + 97] for i in range(0, 2000, 97)]
    all_codes = []
    for B in (1, 3, 64):
        stepper = stepper_for(ngram, B, 1024)
        coder = WindowCoder(stepper, window_bits=48, cache=cache)
        codes, offsets = coder.encode_batch(documents)
        all_codes.append(codes.tolist())
        for i in (0, 7):
            part = codes[offsets[i] : offsets[i + 1]]
            assert coder.decode_batch(part, [0, len(part)]) == [documents[i]]
    assert all_codes[0] == all_codes[1] == all_codes[2]


GOLDEN = {
    9: [94, 233, 511],
    24: [5824149, 16777208],
    32: [1491003415, 4294965503],
    64: [6404373785455493042],
    128: [118139844172671925166632484231712666933],
}


@pytest.mark.parametrize("W", GOLDEN)
def test_codes_stay_as_they_are(geometric, W):
    coder = WindowCoder(stepper_for(geometric, 2, 1024), window_bits=W)
    text = b"\0\1\2\0\0\3\0\1\xff"
    codes, offsets = coder.encode_batch([text])
    assert listed(codes) == GOLDEN[W]
    assert coder.decode_batch(codes, offsets) == [text]


@pytest.mark.parametrize("W", [24, 33, 64, 128])
def test_codes_are_those_of_the_definition(ngram, W):
    coder = WindowCoder(stepper_for(ngram, 2, 12), window_bits=W)
    text = b"    def __init__(self, x):\n\0\xff\0\0"
    codes, _ = coder.encode_batch([text])
    reference = ArithmeticCoder(ngram, W, max_window_bytes=12)
    assert listed(codes) == reference.encode(text)


@pytest.mark.parametrize("W", [24, 128])
def test_m1_in_the_loop(make_m1, text, seeded, W):
    stepper = stepper_for(ByteLMModel(make_m1()), 4, 1024)
    documents = [b"\0" * 100, b"", text[:300], bytes(range(256)), text[:40]]
    plain = WindowCoder(stepper, window_bits=W)
    cache = PrefixCache.build(
        stepper, documents, window_bits=W, max_prefixes=50
    )
    cached = WindowCoder(stepper, window_bits=W, cache=cache)
    codes, offsets = plain.encode_batch(documents)
    assert cached.encode_batch(documents)[0].tolist() == codes.tolist()
    for coder in (plain, cached):
        assert coder.decode_batch(codes, offsets) == documents
        # Alone in its row and its batch.
        part = codes[offsets[2] : offsets[3]]
        assert coder.decode_batch(part, [0, len(part)]) == [text[:300]]


def test_certain_bytes_fill_the_longest_window():
    counts = np.zeros(256, int)
    counts[97] = 1
    stepper = stepper_for(UnigramModel(counts), 2, 1024)
    coder = WindowCoder(stepper, window_bits=64)
    lengths, _ = coder.cut_batch([b"a" * 5000, b"b" * 3])
    assert lengths.tolist() == [1024] * 4 + [904, 1, 1, 1]
    # No window is as long as the states of this code.
    codes, offsets = coder.encode_batch([b"a" * 1024])
    with pytest.raises(ValueError, match="stands for none"):
        coder.decode_batch(codes + np.uint64(1), offsets)


def test_odd_codes_are_refused(coders):
    for W in (24, 64, 128):
        codes, offsets = coders[W].encode_batch([b"some text"])
        for bad in (0, 1, 2):
            wrong = codes.copy()
            wrong[0] = [0, bad] if W == 128 else bad
            with pytest.raises(ValueError, match=f"code {bad} at position 0"):
                coders[W].decode_batch(wrong, offsets)
        for wrong in ([1], [1, len(codes)], [0, 0], [], [0, 2, 1], 5):
            with pytest.raises(ValueError, match="ascend"):
                coders[W].decode_batch(codes, wrong)
        for wrong in (codes.astype(float), codes[..., None], codes[0]):
            with pytest.raises(ValueError, match="unsigned"):
                coders[W].decode_batch(wrong, offsets)
    with pytest.raises(ValueError, match=r"below 2\^24"):
        coders[24].decode_batch(np.array([1 << 24], "uint32"), [0, 1])


def test_odd_settings_are_refused(ngram):
    for W in (8, 65, 127, 129, 0):
        with pytest.raises(ValueError, match=f"Received: {W}"):
            WindowCoder(stepper_for(ngram, 1, 64), window_bits=W)
    with pytest.raises(TypeError, match=r"24\.0"):
        WindowCoder(stepper_for(ngram, 1, 64), window_bits=24.0)
    for odd in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"max_prefixes={odd!r}"):
            PrefixCache.build(
                stepper_for(ngram, 1, 64),
                b"text",
                window_bits=24,
                max_prefixes=odd,
            )
    with pytest.raises(ValueError, match="Received: 1025"):
        WindowCoder(stepper_for(ngram, 1, 1025), window_bits=24)


def test_cache_files(cache, tmp_path):
    path = tmp_path / "cache.npz"
    cache.save(path)
    again = PrefixCache.load(path)
    assert again.fingerprint == cache.fingerprint
    assert again.num_prefixes == cache.num_prefixes == 300
    data = path.read_bytes()
    middle = len(data) // 2
    for damaged in (
        b"",
        b"PK" + data[:9],
        data[:middle],
        data[:middle] + b"?" + data[middle + 1 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="prefix cache file must hold"):
            PrefixCache.load(path)


def test_odd_caches_are_refused(cache):
    firsts, last_bytes, frequencies = cache.arrays
    children = np.diff(firsts).astype("uint16")
    assert PrefixCache(children, last_bytes, frequencies).num_prefixes == 300
    wrong = [
        (children[1:], last_bytes, frequencies),
        (children[::-1].copy(), last_bytes, frequencies),
        (children, last_bytes[::-1].copy(), frequencies),
        (children, last_bytes, frequencies * 0),
        (children, last_bytes, frequencies.astype("int64")),
        (children[:0], last_bytes[:0], frequencies[:0]),
    ]
    for fields in wrong:
        with pytest.raises(ValueError, match="Received: arrays with"):
            PrefixCache(*fields)


def test_caches_larger_than_memory_are_refused(ngram, tmp_path):
    stepper = stepper_for(ngram, 1, 64)
    with pytest.raises(ValueError, match="memory"):
        PrefixCache.build(stepper, b"a", window_bits=24, max_prefixes=10**12)
    with pytest.raises(ValueError, match="positive"):
        PrefixCache.build(stepper, b"a", window_bits=24, max_prefixes=0)
    # A small file that claims to hold an array of terabytes.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": "<u4", "fortran_order": False, "shape": (10**11, 256)},
    )
    path = tmp_path / "cache.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("frequencies.npy", header.getvalue())
    with pytest.raises(ValueError, match="memory"):
        PrefixCache.load(path)


@pytest.mark.parametrize("integer", [np.int64, np.uint8])
@pytest.mark.parametrize("W", [9, 64, 128])
def test_widths_may_be_integers_of_numpy(ngram, W, integer):
    stepper = stepper_for(ngram, 4, 64)
    cache = PrefixCache.build(
        stepper, b"a rose", window_bits=integer(W), max_prefixes=integer(5)
    )
    coder = WindowCoder(stepper, window_bits=integer(W), cache=cache)
    expected = WindowCoder(stepper, window_bits=W, cache=cache)
    codes, offsets = coder.encode_batch(DOCUMENTS)
    assert listed(codes) == listed(expected.encode_batch(DOCUMENTS)[0])
    assert coder.decode_batch(codes, offsets) == DOCUMENTS


@pytest.mark.parametrize("value", [True, 24.0, "24", None])
def test_widths_that_are_no_integers_are_refused(ngram, value):
    stepper = stepper_for(ngram, 4, 64)
    with pytest.raises(TypeError, match="`window_bits` must be an integer"):
        WindowCoder(stepper, window_bits=value)
    with pytest.raises(TypeError, match="`max_prefixes` must be an integer"):
        PrefixCache.build(stepper, b"a", window_bits=24, max_prefixes=value)


@pytest.mark.parametrize("W", [16, 24, 64, 128])
def test_settings_may_be_integers_of_numpy(ngram, text, W):
    sizes = np.int16(4), np.uint16(64)
    stepper = stepper_for(ngram, *sizes)
    cache = PrefixCache.build(
        stepper, text[:500], window_bits=np.uint8(W), max_prefixes=np.uint8(9)
    )
    coder = WindowCoder(stepper, window_bits=np.uint8(W), cache=cache)
    plain = WindowCoder(stepper_for(ngram, 4, 64), window_bits=W, cache=cache)
    codes, offsets = coder.encode_batch([text[:500]])
    expected, _ = plain.encode_batch([text[:500]])
    assert codes.tolist() == expected.tolist() and codes.dtype == expected.dtype
    assert coder.decode_batch(codes, offsets) == [text[:500]]
