import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import frequencies
from tests.coding import reference


def uniform(rows=2):
    return np.full((rows, 256), 1 / 256)


def test_frequencies_are_floors():
    p = uniform(1)
    p[0, :2] = [1 / 256 + 1e-9, 1 / 256 - 1e-9]
    assert frequencies(p)[0, :3].tolist() == [65536, 65535, 65536]
    assert frequencies(p).dtype == np.int64


def test_frequencies_take_float32():
    assert (frequencies(uniform().astype(np.float32)) == 65536).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p[:, :255],
        lambda p: p[0],
        lambda p: p * 1.01,
        lambda p: np.where(np.arange(256) == 7, np.nan, p),
        lambda p: np.where(np.arange(256) == 7, np.inf, p),
        lambda p: np.where(np.arange(256) == 7, np.inf, -np.inf) * p,
        lambda p: np.full_like(p, 1e308),
        lambda p: p + np.where(np.arange(256) < 128, 0.01, -0.01),
        lambda p: np.zeros((2, 256), np.int64),
        lambda p: np.zeros((2, 256)),
    ],
)
def test_frequencies_refuse_what_is_no_distribution(spoil):
    with pytest.raises(ValueError, match=r"shape \(n, 256\).*Received.*soft"):
        frequencies(spoil(uniform()))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 1 << 16), min_size=256, max_size=256).filter(any),
    st.integers(0, (1 << 32) - 3),
)
def test_shares_agree_with_fractions(f, codes):
    ours = allocate([f], [codes])[0]
    assert ours.tolist() == reference.shares(f, codes)
    assert ours.sum() == codes
    assert not ours[np.array(f) == 0].any()


def test_ties_go_to_the_smaller_byte():
    assert allocate([[1] * 256], [3])[0].tolist() == [1] * 3 + [0] * 253


def test_rows_may_share_different_numbers_of_codes():
    shares = allocate(frequencies(uniform(3)), [0, 256, 5])
    assert shares.sum(axis=1).tolist() == [0, 256, 5]
    assert allocate(np.zeros((0, 256)), []).shape == (0, 256)


@pytest.mark.parametrize(
    "f, codes",
    [
        (np.ones((1, 255)), [5]),
        (np.ones((1, 256)), [5, 5]),
        (np.zeros((1, 256)), [5]),
        (-np.ones((1, 256)), [5]),
        (np.full((1, 256), 1 << 24), [5]),
        (np.ones((1, 256)), [-1]),
        (np.ones((1, 256)), [1 << 38]),
    ],
)
def test_allocate_refuses_what_it_cannot_share(f, codes):
    with pytest.raises(ValueError, match="Received"):
        allocate(f, codes)
