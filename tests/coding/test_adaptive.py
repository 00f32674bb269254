"""The adaptive coder: exact for any ids, small for those that repeat."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import AdaptiveCoder

COSTS = np.random.default_rng(0).integers(1, 14 * 1024, 3000).astype(np.uint16)


@st.composite
def vocabularies(draw):
    """Draw a coder with any use and costs of its ids, and any of its ids."""
    V = draw(st.integers(1, 70) | st.sampled_from([512, 3000, 4095, 1 << 16]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    is_used = rng.random(V) < draw(st.sampled_from([0, 0.5, 1]))
    costs = None
    if draw(st.booleans()):
        costs = rng.integers(0, 1 << 16, V).astype(np.uint16)
    ids = draw(st.lists(st.integers(0, V - 1), max_size=40))
    # Repeats of many lengths, so that guesses are made, and fail.
    repeats = draw(st.lists(st.integers(0, 40), max_size=8))
    return AdaptiveCoder(is_used, costs), ids + [
        i for n in repeats for i in ids[:n] * 3
    ]


@settings(max_examples=150, deadline=None)
@given(vocabularies())
def test_any_ids_come_back(vocabulary):
    coder, ids = vocabulary
    code = coder.encode(ids)
    assert coder.decode(code, len(ids)).tolist() == ids
    assert coder.encode(ids, limit=len(code)) == code
    if code:
        assert coder.encode(ids, limit=len(code) - 1) is None


@pytest.mark.parametrize("bits, loss", [
    (1, 1.5), (5, 1.06), (12, 1.15), (16, 1.2)
])  # fmt: skip
def test_ids_of_no_pattern_come_back(bits, loss):
    rng = np.random.default_rng(bits)
    ids = rng.integers(0, 1 << bits, 20000).astype(np.uint16)
    coder = AdaptiveCoder(np.ones(1 << bits, bool))
    code = coder.encode(ids)
    assert np.array_equal(coder.decode(code, ids.size), ids)
    assert len(code) < loss * ids.size * bits / 8


def test_the_least_probable_ids_fit_the_buffer():
    """An id may cost more than its bits; this is the worst that we know."""
    costs = np.full(1 << 16, 65535, np.uint16)
    costs[0] = 1
    coder = AdaptiveCoder(np.ones(1 << 16, bool), costs)
    ids = np.arange(65535, 60000, -1)
    assert np.array_equal(coder.decode(coder.encode(ids), ids.size), ids)


def test_costs_make_the_beginning_small():
    """The first ids already take few more bits than their costs."""
    p = 2.0 ** (-COSTS / 1024)
    p /= p.sum()
    costs = np.round(-1024 * np.log2(p)).astype(np.uint16)
    ids = np.random.default_rng(1).choice(p.size, 200, p=p)
    known = AdaptiveCoder(np.ones(p.size, bool), costs)
    unknown = AdaptiveCoder(np.ones(p.size, bool))
    bits = costs[ids].sum() / 1024
    assert 8 * len(known.encode(ids)) < 1.1 * bits
    assert 8 * len(unknown.encode(ids)) > 1.15 * bits


def test_costs_need_not_be_those_of_probabilities():
    """Costs of 0 bits for all ids are those of equally probable ids."""
    ids = np.random.default_rng(5).integers(0, 1 << 16, 500)
    is_used = np.ones(1 << 16, bool)
    cheap = AdaptiveCoder(is_used, np.zeros(1 << 16, np.uint16))
    assert cheap.encode(ids) == AdaptiveCoder(is_used).encode(ids)
    assert cheap.decode(cheap.encode(ids), ids.size).tolist() == ids.tolist()


def test_repeats_cost_next_to_nothing():
    ids = np.tile(np.random.default_rng(2).integers(0, 3000, 500), 20)
    coder = AdaptiveCoder(np.ones(3000, bool))
    once = len(coder.encode(ids[:500]))
    assert len(coder.encode(ids)) < 1.2 * once


GOLDEN = {
    "costs": "1913 9cf3cf54cb88da35 a775ec71a5119c09",
    "no costs": "1876 a51a18fb0e244cb4 e3a217f2ee064bb8",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    """Codes are pinned: these bits are the format."""
    costs = COSTS if name == "costs" else None
    coder = AdaptiveCoder(np.arange(3000) % 7 > 0, costs)
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 55, 3000) ** 2
    ids[1000:1500] = ids[:500]
    ids[2000:2400] = ids[700:1100]
    code = coder.encode(ids)
    assert coder.decode(code, ids.size).tolist() == ids.tolist()
    digest = hashlib.sha256(code).hexdigest()[:16]
    assert f"{len(code)} {code[:8].hex()} {digest}" == GOLDEN[name]


def test_an_empty_code():
    coder = AdaptiveCoder([True] * 5)
    assert coder.encode([]) == b""
    assert coder.decode(b"", 0).tolist() == []
    with pytest.raises(ValueError, match="1 bytes for 0 ids"):
        coder.decode(b"a", 0)


def test_damage_is_noticed_or_gives_other_ids():
    coder = AdaptiveCoder(COSTS > 0, COSTS)
    ids = np.random.default_rng(4).integers(0, 3000, 300)
    code = coder.encode(ids)
    for cut in range(len(code)):
        with pytest.raises(ValueError, match="damaged or cut"):
            coder.decode(code[:cut], ids.size)
    with pytest.raises(ValueError, match="damaged or cut"):
        coder.decode(code + b"\0", ids.size)
    for bit in range(0, 8 * len(code), 7):
        damaged = bytearray(code)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = coder.decode(bytes(damaged), ids.size)
        except ValueError:
            continue
        assert not np.array_equal(found, ids)


@pytest.mark.parametrize("ids", [[-1], [8], [3, 1 << 16]])
def test_ids_of_another_vocabulary_are_refused(ids):
    with pytest.raises(ValueError, match=r"from 0 to 7\. Received: ids"):
        AdaptiveCoder([True] * 8).encode(ids)


@pytest.mark.parametrize("size", [0, (1 << 16) + 1])
def test_a_vocabulary_of_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match="number of ids"):
        AdaptiveCoder(np.ones(size, bool))
