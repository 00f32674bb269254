import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from keras_nc.coding import Prompt
from keras_nc.coding import join_codes
from keras_nc.coding import split_codes
from keras_nc.models.prompt_mask import PromptMask
from keras_nc.models.prompt_mask import pack_bounds
from keras_nc.models.prompt_mask import pack_next_codes
from keras_nc.models.prompt_mask import within_bounds
from keras_nc.tokenizers import TokenLayout

END = 2
BASE = 4


def allowed_ids(layout, low, high, others, pieces, first_window):
    """Return the ids that may follow the pieces of a window, by search."""
    if not first_window:
        low, high, others = 0, layout.num_codes, []
    codes = sorted({*range(low, high), *others})
    codes = [c for c in codes if layout.is_code[c]]
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


def make_mask(layout, start, next_codes):
    """A mask of rows that are free after some bytes; see `pack_next_codes`."""
    prompts = [Prompt(np.zeros(0, int), b"", row) for row in next_codes]
    packed = pack_next_codes(prompts, layout.num_codes)
    names = ("next_low", "next_high", "next_others")
    return PromptMask(layout, np.array(start), *(packed[n] for n in names))


def run_mask(layout, rows, vocabulary_rows):
    """Return the ids that the mask allows, for rows of one batch."""
    start, next_codes, tokens = zip(*rows, strict=True)
    index = len(tokens[0])
    ids = np.array([t + [0] * 3 for t in tokens], dtype="int32")
    mask = make_mask(layout, start, next_codes)
    logits = np.zeros((len(rows), vocabulary_rows), "float32")
    masked = ops.convert_to_numpy(
        mask(ops.convert_to_tensor(logits), ops.convert_to_tensor(ids), index)
    )
    assert set(np.unique(masked)) <= {np.float32(0), np.float32(-1e30)}
    return [set(np.flatnonzero(row == 0).tolist()) for row in masked]


def layout_of(is_code, window_bits, token_bits, lengths=1):
    return TokenLayout(is_code, window_bits, token_bits, lengths * is_code)


@st.composite
def cases(draw):
    """A layout with gaps, and next_codes that hold at least one code."""
    token_bits = draw(st.sampled_from([1, 2, 3, 6]))
    is_code = np.array(draw(st.lists(st.booleans(), min_size=61, max_size=61)))
    is_code = np.concatenate([[False] * 3, is_code])
    is_code[draw(st.integers(3, 63))] = True
    layout = layout_of(is_code, 6, token_bits)
    codes = np.flatnonzero(is_code).tolist()
    code = draw(st.sampled_from(codes))
    low = draw(st.integers(0, code))
    high = draw(st.integers(code + 1, 64))
    others = draw(st.lists(st.sampled_from(codes), unique=True, max_size=5))
    if others and draw(st.booleans()):
        low, high, code = 0, 0, others[0]
    return layout, low, high, others, code


@settings(deadline=None, max_examples=20)
@given(case=cases())
def test_the_first_window_is_one_of_the_next_codes(case):
    layout, low, high, others, code = case
    spelled = [code]
    if layout.tokens_per_window > 1:
        spelled = split_codes(np.array([code]), 6, layout.token_bits).tolist()
    prompt = [1, 40, 41]
    for phase in range(layout.tokens_per_window):
        pieces = spelled[:phase]
        row = (3, [(low, high, others)], prompt + pieces)
        (found,) = run_mask(layout, [row], 128)
        expected = allowed_ids(layout, low, high, others, pieces, True)
        assert found == expected


def test_rows_of_a_batch_differ():
    is_code = np.ones(64, dtype=bool)
    is_code[:3] = is_code[20:24] = False
    layout = layout_of(is_code, 6, 3)
    first = [(30, 33, [])]
    rows = [
        # (start, next_codes, tokens so far): first piece of the first window,
        (5, first, [1, 5, 5, 5, 5]),
        # second piece of the first window, after its first piece 011,
        (4, first, [1, 5, 5, 5, 3 + 3]),
        # first piece of the second window, which nothing constrains,
        (3, first, [1, 5, 5, 3 + 3, 3 + 7]),
        # second piece of the second window, after 010,
        (2, first, [1, 5, 3 + 3, 3 + 7, 3 + 2]),
        # and an empty prompt's first piece.
        (5, [], [1, 5, 5, 5, 5]),
    ]
    found = run_mask(layout, rows, 128)
    assert found[0] == {3 + 3, 3 + 4}
    assert found[1] == {3 + 6, 3 + 7}
    assert found[2] == {END, *range(3, 11)}
    assert found[3] == {3, 4, 5, 6}  # 010 000 .. 010 011; 20 to 23 are none
    assert found[4] == {END, *range(3, 11)}


@pytest.mark.parametrize("token_bits", [6, 3, 2])
def test_next_codes_follow_the_bytes_that_are_consumed(token_bits):
    lengths = np.zeros(64, int)
    lengths[3:] = 1 + np.arange(61) % 3
    layout = layout_of(lengths > 0, 6, token_bits, lengths)
    next_codes = [(20, 21, [3, 4]), (30, 32, []), (40, 41, [7])]

    def tokens(*codes):
        if token_bits == 6:
            return list(codes)
        return split_codes(np.array(codes), 6, token_bits).tolist()

    for codes, expected in (
        ([], {20, 3, 4}),
        ([3], {30, 31}),  # one byte
        ([4], {40, 7}),  # two bytes
        ([20], set(range(3, 64))),  # three: the remainder is consumed
        ([3, 31], set(range(3, 64))),
        ([4, 7], set(range(3, 64))),
    ):
        row = (2, next_codes, [1, 9, *(tokens(*codes) if codes else [])])
        (found,) = run_mask(layout, [row], 128)
        free = len(expected) > 10
        first = {tokens(code)[0] for code in expected}
        assert found == first | ({END} if free else set())


def test_rows_that_ended_keep_something_to_choose():
    is_code = np.zeros(64, dtype=bool)
    is_code[3:10] = True
    layout = layout_of(is_code, 6, 3)
    # After the end id, the phases of this row have no meaning.
    (found,) = run_mask(layout, [(1, [], [1, 3, 3 + 4, END, 3 + 7])], 128)
    assert found


@pytest.mark.parametrize("beams", [1, 3])
def test_rows_repeat_for_beams(beams):
    layout = layout_of(np.arange(10) > 2, 1, 1)
    mask = make_mask(layout, [1, 1], [[(3, 5, [])], [(5, 6, [9])]])
    logits = np.zeros((2 * beams, 128), "float32")
    ids = np.ones((2 * beams, 4), "int32")
    masked = mask(ops.convert_to_tensor(logits), ops.convert_to_tensor(ids), 1)
    allowed = ops.convert_to_numpy(masked) == 0
    for row in range(2 * beams):
        expected = [3, 4] if row < beams else [5, 9]
        assert np.flatnonzero(allowed[row]).tolist() == expected


def test_split_and_join_agree_with_the_layout():
    codes = np.arange(3, 64)
    assert join_codes(split_codes(codes, 6, 3), 6, 3).tolist() == codes.tolist()


@settings(deadline=None, max_examples=40)
@given(
    numbers=st.tuples(*[st.integers(0, BASE**3 - 1)] * 3).map(sorted),
    length=st.integers(0, 4),
    start=st.integers(1, 4),
)
def test_digits_lead_to_a_number_between_the_bounds(numbers, length, start):
    low, number, high = numbers
    every = list(itertools.product(range(BASE), repeat=3))
    bounds = np.array([every[low], every[high]], "int32")
    prompts = [
        Prompt(np.zeros(0, int), b"", bounds=given)
        for given in (bounds, bounds[:, :0], None)
    ]
    ids = np.zeros((3, 8), "int32")
    so_far = [*every[number], 3][:length]
    ids[:, start : start + length] = np.array(so_far, "int32") + 3
    found = within_bounds(
        ops.convert_to_tensor(pack_bounds(prompts)),
        ops.convert_to_tensor(ids),
        ops.convert_to_tensor(np.full(3, start, "int32")),
        ops.convert_to_tensor(np.full(3, length, "int32")),
        3 + BASE,
    )
    found = ops.convert_to_numpy(found)
    fits = set(range(BASE))
    if length < 3:
        between = every[low : high + 1]
        fits = {n[length] for n in between if n[:length] == (*so_far,)}
    assert set(np.flatnonzero(found[0, 3:]).tolist()) == fits
    assert found[1:].all()
