import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from tests.coding.conftest import SIZES
from tests.coding.conftest import windows_of

AWKWARD = {
    "empty": b"",
    "one byte": b"x",
    "one nul": b"\0",
    "nuls": bytes(1000),
    "0xff": b"\xff" * 1000,
    "invalid utf-8": b"\xc3\x28\xa0\xa1\xe2\x82\xf0\x28\x8c\xbc",
    "surrogate": b"\xed\xa0\x80",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 ½ €".encode(),
    "all bytes": bytes(range(256)) * 3,
    "trailing nul": b"abc\0",
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_bytes_come_back(codebook, name):
    data = AWKWARD[name]
    ids = codebook.encode(data)
    assert ids.dtype == np.uint16
    assert codebook.decode(ids) == data
    assert codebook.token_lengths[ids].sum() == len(data)


def test_a_whole_file_comes_back(codebook, text):
    ids = codebook.encode(text)
    assert codebook.decode(ids) == text
    assert len(ids) < len(text)


def test_ten_megabytes_of_random_bytes_come_back(codebooks):
    data = random.Random(0).randbytes(10_000_000)
    for W, allocation in SIZES:
        codebook = codebooks[W, allocation]
        assert codebook.decode(codebook.encode(data)) == data


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=200), repeat=st.integers(1, 40))
def test_any_bytes_come_back(codebooks, data, repeat):
    for codebook in codebooks.values():
        assert codebook.decode(codebook.encode(data * repeat)) == data * repeat


@settings(deadline=None, max_examples=50)
@given(ids=st.lists(st.integers(3, 511), max_size=50))
def test_any_ids_have_bytes(arithmetic9, ids):
    joined = b"".join(arithmetic9.token_bytes(i) for i in ids)
    assert arithmetic9.decode(ids) == joined
    assert arithmetic9.decode(arithmetic9.encode(joined)) == joined


def test_windows_are_prefix_closed_and_unique(codebook):
    windows = windows_of(codebook)
    known = set(windows.values())
    assert len(known) == len(windows)
    assert list(windows.values()) == sorted(known)
    assert known >= {bytes([b]) for b in range(256)}
    assert all(w[:-1] in known for w in known if len(w) > 1)
    assert min(windows) >= 3
    assert max(map(len, known)) <= codebook.max_window_bytes


def test_every_code_is_used_unless_windows_are_cut_short(codebook):
    lengths = codebook.token_lengths
    assert lengths.shape == (1 << codebook.window_bits,)
    assert lengths.dtype == np.int32
    assert not lengths[:3].any()
    assert 0 < lengths.max() <= codebook.max_window_bytes
    if lengths.max() < codebook.max_window_bytes:
        assert lengths[3:].all()
    with pytest.raises(ValueError, match="read-only"):
        lengths[3] = 0


def test_prefix_ranges_hold_exactly_the_extensions(codebook):
    windows = windows_of(codebook)
    sample = random.Random(1).sample(sorted(windows.values()), 100)
    for prefix in sample:
        low, high = codebook.prefix_range(prefix)
        inside = [i for i, w in windows.items() if w.startswith(prefix)]
        assert list(range(low, high)) == inside
        assert codebook.token_bytes(low) == prefix
    assert codebook.prefix_range(b"") == (3, 1 << codebook.window_bits)
    assert codebook.prefix_range(bytes(65)) == (0, 0)
    assert codebook.prefix_range(sample[0] + b"\xfa\xfb") == (0, 0)


def test_the_parse_is_greedy(codebook, text):
    known = set(windows_of(codebook).values())
    data = text[:2000]
    at = 0
    for i in codebook.encode(data):
        n = 1
        while data[at : at + n + 1] in known and at + n < len(data):
            n += 1
        assert codebook.token_bytes(i) == data[at : at + n]
        at += n
    assert at == len(data)


def test_only_the_remainder_depends_on_what_follows(codebook, text):
    rng = random.Random(2)
    known = set(windows_of(codebook).values())
    grow = {w[:-1] for w in known}
    for _ in range(50):
        at = rng.randrange(len(text))
        data = text[at : at + rng.randrange(40)]
        ids = codebook.encode(data)
        prompt = codebook.split_prompt(data)
        r = len(prompt.remainder)
        last = codebook.token_bytes(ids[-1]) if len(ids) else b""
        assert r == (len(last) if last in grow else 0)
        fixed = ids if r == 0 else ids[:-1]
        assert prompt.ids.tolist() == fixed.tolist()
        for _ in range(5):
            longer = codebook.encode(data + rng.randbytes(5))
            assert longer[: len(fixed)].tolist() == fixed.tolist()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "array"])
def test_all_kinds_of_bytes_are_the_same(codebook, kind):
    data = b"any kind of bytes \0"
    make = (lambda d: np.frombuffer(d, np.uint8)) if kind == "array" else kind
    ids = codebook.encode(make(data)).tolist()
    assert ids == codebook.encode(data).tolist()
    strided = memoryview(data * 2)[::2]
    assert codebook.decode(codebook.encode(strided)) == bytes(strided)
    assert codebook.encode(make(b"")).tolist() == []


@pytest.mark.parametrize(
    "data, match",
    [
        (5, "Text must be `str` or bytes"),
        ([b"a"], "Received: list"),
        (np.zeros(3, np.int64), "uint8"),
        (np.zeros((3, 3), np.uint8), "one axis"),
    ],
)
def test_what_is_no_bytes_is_refused(arithmetic9, data, match):
    with pytest.raises(TypeError, match=match):
        arithmetic9.encode(data)


def test_a_batch_is_its_documents(codebook, text):
    documents = [
        b"",
        text[:5000],
        b"",
        b"a",
        bytearray(b"\0\0"),
        text[:77],
        b"",
    ]
    ids, offsets = codebook.encode_batch(documents)
    assert ids.dtype == np.uint16 and offsets.dtype == np.int64
    assert offsets[0] == 0 and offsets[-1] == len(ids)
    for i, document in enumerate(documents):
        ours = ids[offsets[i] : offsets[i + 1]]
        assert ours.tolist() == codebook.encode(document).tolist()
    ids, offsets = codebook.encode_batch([])
    assert len(ids) == 0 and offsets.tolist() == [0]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "i8", "u8"])
def test_ids_of_any_type(arithmetic9, dtype):
    ids = np.array([3, 99, 127])
    expected = b"".join(arithmetic9.token_bytes(i) for i in ids)
    assert arithmetic9.decode(ids.astype(dtype)) == expected
    assert arithmetic9.decode(ids[::-1][::-1].tolist()) == expected
    assert arithmetic9.decode(np.repeat(ids, 2)[::2]) == expected


def test_nothing_decodes_to_nothing(arithmetic9):
    for ids in ([], np.zeros(0, np.int32), np.zeros(0)):
        assert arithmetic9.decode(ids) == b""
    assert arithmetic9.decode([0, 1, 2], skip_special=True) == b""


@pytest.mark.parametrize(
    "ids, match",
    [
        ([3, 512], "0 to 511.*id 512 at position 1"),
        ([3, 4, -1], "id -1 at position 2"),
        (np.array([2**64 - 1], np.uint64), "at position 0"),
        ([3, 2, 1], "Special.*id 2 at position 1.*skip_special"),
        ([[3, 4]], "one axis"),
        ([3.0], "integers"),
    ],
)
def test_bad_ids_are_refused(arithmetic9, ids, match):
    with pytest.raises(ValueError, match=match):
        arithmetic9.decode(ids)


@pytest.mark.parametrize("i", [-1, 0, 2, 512])
def test_only_windows_have_bytes(arithmetic9, i):
    with pytest.raises(ValueError, match=f"id {i}"):
        arithmetic9.token_bytes(i)


def test_eight_threads_encode_alike(ngram, text):
    codebook = Codebook.paper(ngram, window_bits=12)
    expected = Codebook.paper(ngram, window_bits=12).encode(text * 20)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(codebook.encode, [text * 20] * 8))
    assert all(np.array_equal(ids, expected) for ids in results)


def test_pickle_and_equality(codebook, codebooks):
    copy = pickle.loads(pickle.dumps(codebook))
    assert copy == codebook and hash(copy) == hash(codebook)
    assert copy.encode(b"pickled").tolist() == (
        codebook.encode(b"pickled").tolist()
    )
    assert sum(other == codebook for other in codebooks.values()) == 1
    assert codebook != "codebook"
    assert codebook.fingerprint[:12] in repr(codebook)


def test_without_a_cache_folder_kernels_still_compile(monkeypatch):
    import numba

    from keras_nc.coding.kernels import jit

    njit = numba.njit

    def cannot_cache(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", cannot_cache)
    assert jit(lambda x: x + 1)(1) == 2
