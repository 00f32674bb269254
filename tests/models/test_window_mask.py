import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from keras_nc.coding import join_codes
from keras_nc.coding import split_codes
from keras_nc.models.window_mask import WindowMask
from keras_nc.tokenizers import TokenLayout

END = 2


def allowed_ids(layout, low, high, pieces, first_window):
    """Which ids may follow the pieces of a window, by going through all."""
    low, high = (low, high) if first_window else (0, layout.num_codes)
    codes = [c for c in range(low, high) if layout.is_code[c]]
    if layout.tokens_per_window == 1:
        ids = set(codes)
    else:
        spelled = split_codes(
            np.array(codes), layout.window_bits, layout.token_bits
        ).reshape(-1, layout.tokens_per_window)
        phase = len(pieces)
        fits = (spelled[:, :phase] == pieces).all(axis=1)
        ids = set(spelled[fits, phase].tolist())
    if not pieces and (low <= 3 and high >= layout.num_codes):
        ids.add(END)
    return ids


def run_mask(layout, rows, vocabulary_rows):
    """Ids that the mask lets through, for rows of one batch."""
    start, low, high, tokens = zip(*rows, strict=True)
    index = len(tokens[0])
    ids = np.array([t + [0] * 3 for t in tokens], dtype="int32")
    mask = WindowMask(layout, np.array(start), np.array(low), np.array(high))
    logits = np.zeros((len(rows), vocabulary_rows), "float32")
    masked = ops.convert_to_numpy(
        mask(ops.convert_to_tensor(logits), ops.convert_to_tensor(ids), index)
    )
    assert set(np.unique(masked)) <= {np.float32(0), np.float32(-1e30)}
    return [set(np.flatnonzero(row == 0).tolist()) for row in masked]


@st.composite
def cases(draw):
    """A layout with gaps, and an interval that holds at least one code."""
    token_bits = draw(st.sampled_from([1, 2, 3, 6]))
    is_code = np.array(draw(st.lists(st.booleans(), min_size=61, max_size=61)))
    is_code = np.concatenate([[False] * 3, is_code])
    is_code[draw(st.integers(3, 63))] = True
    layout = TokenLayout(is_code, 6, token_bits)
    code = draw(st.sampled_from(np.flatnonzero(is_code).tolist()))
    low = draw(st.integers(0, code))
    high = draw(st.integers(code + 1, 64))
    return layout, low, high, code


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_first_window_lies_in_the_interval(case):
    layout, low, high, code = case
    spelled = [code]
    if layout.tokens_per_window > 1:
        spelled = split_codes(np.array([code]), 6, layout.token_bits).tolist()
    prompt = [1, 40, 41]
    for phase in range(layout.tokens_per_window):
        pieces = spelled[:phase]
        (found,) = run_mask(layout, [(3, low, high, prompt + pieces)], 128)
        assert found == allowed_ids(layout, low, high, pieces, True)


def test_rows_of_a_batch_differ():
    is_code = np.ones(64, dtype=bool)
    is_code[:3] = is_code[20:24] = False
    layout = TokenLayout(is_code, 6, 3)
    rows = [
        # (start, low, high, tokens so far): first piece of the first window,
        (5, 30, 33, [1, 5, 5, 5, 5]),
        # second piece of the first window, after its first piece 011,
        (4, 30, 33, [1, 5, 5, 5, 3 + 3]),
        # first piece of the second window, which nothing constrains,
        (3, 30, 33, [1, 5, 5, 3 + 3, 3 + 7]),
        # second piece of the second window, after 010,
        (2, 30, 33, [1, 5, 3 + 3, 3 + 7, 3 + 2]),
        # and an empty prompt's first piece.
        (5, 0, 64, [1, 5, 5, 5, 5]),
    ]
    found = run_mask(layout, rows, 128)
    assert found[0] == {3 + 3, 3 + 4}
    assert found[1] == {3 + 6, 3 + 7}
    assert found[2] == {END, *range(3, 11)}
    assert found[3] == {3, 4, 5, 6}  # 010 000 .. 010 011; 20 to 23 are none
    assert found[4] == {END, *range(3, 11)}


def test_rows_that_ended_keep_something_to_choose():
    is_code = np.zeros(64, dtype=bool)
    is_code[3:10] = True
    layout = TokenLayout(is_code, 6, 3)
    # After the end id the phases of this row mean nothing any more.
    (found,) = run_mask(layout, [(1, 0, 64, [1, 3, 3 + 4, END, 3 + 7])], 128)
    assert found


@pytest.mark.parametrize("beams", [1, 3])
def test_rows_repeat_for_beams(beams):
    layout = TokenLayout.one_token([False] * 3 + [True] * 7)
    mask = WindowMask(
        layout, np.array([1, 1]), np.array([3, 5]), np.array([5, 6])
    )
    logits = np.zeros((2 * beams, 128), "float32")
    ids = np.ones((2 * beams, 4), "int32")
    masked = mask(ops.convert_to_tensor(logits), ops.convert_to_tensor(ids), 1)
    allowed = ops.convert_to_numpy(masked) == 0
    for row in range(2 * beams):
        expected = [3, 4] if row < beams else [5]
        assert np.flatnonzero(allowed[row]).tolist() == expected


def test_split_and_join_agree_with_the_layout():
    codes = np.arange(3, 64)
    assert join_codes(split_codes(codes, 6, 3), 6, 3).tolist() == codes.tolist()
