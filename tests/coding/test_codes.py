import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import join_codes
from keras_nc.coding import split_codes

SHAPES = [
    (16, 16),
    (16, 8),
    (16, 4),
    (16, 1),
    (12, 3),
    (9, 9),
    (24, 8),
    (24, 12),
    (32, 16),
    (48, 16),
    (64, 16),
    (64, 8),
    (64, 1),
]


@settings(deadline=None, max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("W, N", SHAPES)
def test_join_undoes_split(W, N, data):
    first = 3 if W == N else 0
    codes = data.draw(st.lists(st.integers(first, 2**W - 1), max_size=9))
    codes = np.array(codes, np.uint64)
    ids = split_codes(codes, W, N)
    assert ids.dtype == np.int32
    assert ids.shape == (len(codes) * W // N,)
    joined = join_codes(ids, W, N)
    assert joined.tolist() == codes.tolist()
    assert joined.dtype.itemsize == max(2, 4 * (W > 16), 8 * (W > 32))


def test_most_significant_piece_comes_first():
    ids = split_codes(np.array([0x1234], np.uint16), 16, 4)
    assert (ids - 3).tolist() == [1, 2, 3, 4]


def test_whole_windows_are_their_own_ids():
    codes = np.array([3, 65535], np.uint16)
    assert split_codes(codes, 16, 16).tolist() == [3, 65535]


def test_special_ids_between_windows_may_be_skipped():
    ids = [1, *split_codes([7, 8], 16, 8).tolist(), 2, 0, 0]
    assert join_codes(ids, 16, 8, skip_special=True).tolist() == [7, 8]
    with pytest.raises(ValueError, match="id 1 at position 0"):
        join_codes(ids, 16, 8)
    with pytest.raises(ValueError, match=r"id 0 inside.*position 2"):
        join_codes([1, 3, 0, 4], 16, 8, skip_special=True)


def test_special_ids_of_whole_windows():
    assert join_codes([1, 9, 2], 16, 16, skip_special=True).tolist() == [9]
    with pytest.raises(ValueError, match="position 0"):
        join_codes([1, 9, 2], 16, 16)


@pytest.mark.parametrize(
    "ids, match",
    [
        ([3, 4, 5], "only 1"),
        ([3, 259], "259 at position 1"),
        ([-1, 3], "-1 at position 0"),
        ([[3, 4]], "one axis"),
        ([3.0, 4.0], "integers"),
    ],
)
def test_join_refuses_broken_windows(ids, match):
    with pytest.raises(ValueError, match=match):
        join_codes(ids, 16, 8)


@pytest.mark.parametrize(
    "codes, W, N",
    [
        ([65536], 16, 8),
        ([-1], 16, 8),
        ([2], 16, 16),
        ([5], 16, 7),
        ([5], 65, 5),
        ([5], 34, 17),
        ([5], 16, 0),
    ],
)
def test_split_refuses_what_does_not_fit(codes, W, N):
    with pytest.raises(ValueError, match="Received"):
        split_codes(codes, W, N)


def test_nothing_gives_nothing():
    assert split_codes([], 16, 8).shape == (0,)
    assert join_codes([], 16, 8).shape == (0,)


def test_bits_may_be_integers_of_numpy():
    codes = [2**63 + 5]
    for integer in (np.int64, np.uint8):
        W, N = integer(64), integer(8)
        ids = split_codes(codes, W, N)
        assert ids.tolist() == split_codes(codes, 64, 8).tolist()
        assert join_codes(ids, W, N).tolist() == codes


@pytest.mark.parametrize("W, N", [(True, 1), (16.0, 8), (16, "8"), (16, None)])
def test_bits_that_are_no_integers_are_refused(W, N):
    with pytest.raises(TypeError, match=r"must be an integer.*Received"):
        split_codes([5], W, N)
    with pytest.raises(TypeError, match=r"must be an integer.*Received"):
        join_codes([5], W, N)
