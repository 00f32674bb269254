import numpy as np
import pytest
from keras import ops

from tests.models.conftest import PROMPTS
from tests.models.conftest import TINY

pytestmark = pytest.mark.usefixtures("seeded")


def test_without_a_preprocessor(make_m1):
    causal_lm = make_m1(**TINY)
    causal_lm.compile(sampler="greedy")
    ids = np.zeros((2, 8), "int32")
    ids[:, 0] = 1
    expected = causal_lm.generate({"token_ids": ids})
    causal_lm.preprocessor = None
    for mask in ({"padding_mask": ids > 0}, {"padding_mask": ids}, {}):
        for stop_token_ids in (None, "auto"):
            x = {"token_ids": ids, **mask}
            found = causal_lm.generate(x, stop_token_ids=stop_token_ids)
            assert found["token_ids"].shape == (2, 8)
            np.testing.assert_array_equal(
                found["token_ids"], expected["token_ids"]
            )
    for generate in (causal_lm.generate, causal_lm.generate_stream):
        for prompts in ("a", ["a", b"b"], []):
            with pytest.raises(ValueError, match="Text needs a tokenizer"):
                generate(prompts)


PADDED = np.array([[1, 5, 6, 7, 0, 0], [1, 8, 0, 0, 0, 0]])


def test_ids_may_be_cut_padded_and_stripped(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    expected = causal_lm.generate(
        [bytes([2, 3, 4]), bytes([5])], max_length=9, stop_token_ids=None
    )
    # Garbage beyond the mask is not part of a prompt.
    garbage = np.where(PADDED, PADDED, [999, 2, -1, 0, 2, 999])
    arrays = {
        "lists": {"token_ids": PADDED.tolist()},
        "wide": {
            "token_ids": np.pad(PADDED, [(0, 0), (0, 9)]).astype("uint16")
        },
        "cut": {"token_ids": PADDED[:, :4]},
        "mask": {"token_ids": garbage, "padding_mask": (PADDED > 0) * 1.0},
        "tensors": {
            "token_ids": ops.convert_to_tensor(PADDED),
            "padding_mask": ops.convert_to_tensor(PADDED > 0),
        },
    }
    for x in arrays.values():
        given = dict(x)
        found = causal_lm.generate(x, max_length=9, stop_token_ids=None)
        assert x.keys() == given.keys(), "inputs stay as they are"
        assert found["token_ids"].shape == (2, 9)
        assert found["padding_mask"].all()
        texts = causal_lm.preprocessor.generate_postprocess(found)
        assert texts == expected
        stripped = causal_lm.generate(
            x, np.int64(9), stop_token_ids=None, strip_prompt=True
        )
        for row, length in enumerate((4, 2)):
            count = 9 - length
            ids, mask = (
                stripped[k][row] for k in ("token_ids", "padding_mask")
            )
            assert (
                ids[:count].tolist()
                == found["token_ids"][row, length:].tolist()
            )
            assert mask.tolist() == [True] * count + [False] * length
            assert not ids[count:].any()
    # Nothing to add, and no rows.
    found = causal_lm.generate({"token_ids": PADDED[:1, :4]})
    assert found["token_ids"].tolist() == PADDED[:1, :4].tolist()
    found = causal_lm.generate({"token_ids": PADDED[:0]}, max_length=4)
    assert found["token_ids"].shape == found["padding_mask"].shape == (0, 4)


@pytest.mark.parametrize(
    "x, message",
    [
        ({"token_ids": PADDED[:, ::-1]}, "padded on the right.*row 0"),
        (
            {"token_ids": PADDED, "padding_mask": [[1, 0, 1, 0, 0, 0]] * 2},
            "padded on the right.*id 6 in row 0, position 2",
        ),
        ({"token_ids": PADDED * 0}, "at least one id.*row 0"),
        (
            {"token_ids": PADDED, "padding_mask": PADDED * [[1], [0]] > 0},
            "at least one id.*row 1",
        ),
        ({"token_ids": PADDED[:, :0]}, "at least one id"),
        ({"token_ids": PADDED + 252 * (PADDED > 6)}, "1 to 258.*id 259"),
        (
            {"token_ids": PADDED + 2**32 * (PADDED > 7)},
            "id 4294967304 in row 1",
        ),
        ({"token_ids": -PADDED}, "1 to 258.*id -1"),
        ({"token_ids": PADDED, "padding_mask": PADDED >= 0}, "id 0 in row 0"),
        ({"token_ids": PADDED * 1.0}, "integers. Received: dtype=float64"),
        ({"token_ids": PADDED > 0}, "integers. Received: dtype=bool"),
        ({"token_ids": [["a", "b"]]}, "integers"),
        ({"token_ids": PADDED[0]}, "shape .B, S."),
        ({"token_ids": [[1, 5], [1]]}, "shape .B, S."),
        ({"token_ids": PADDED, "padding_mask": PADDED}, "1 or 0"),
        ({"token_ids": PADDED, "padding_mask": [[1] * 5] * 2}, "1 or 0"),
        ({"padding_mask": PADDED > 0}, "must be a dict of .token_ids."),
        ({"token_ids": PADDED, "labels": PADDED}, "a dict of .'labels'"),
        ({"prompts": ["a"]}, "a dict of .'prompts'"),
        ({"token_ids": PADDED, "may_end": [True]}, "1 rows for 2 prompts"),
    ],
)
def test_odd_ids_are_refused(models, x, message):
    with pytest.raises(ValueError, match=message):
        models["m1"].generate(x)


def test_ids_beside_what_is_for_text_are_refused(models):
    x = {"token_ids": PADDED}
    with pytest.raises(ValueError, match="`stop` is looked for in text"):
        models["m1"].generate(x, stop="a")
    with pytest.raises(ValueError, match=r"`max_length` of 3 .*prompt 0"):
        models["m1"].generate(x, max_length=3)


@pytest.mark.parametrize("layout", [(16, 8), (12, 4)], ids=str)
def test_ids_may_end_inside_a_window(models, layout):
    # The next ids complete the window, so that it stands for bytes.
    causal_lm = models[layout]
    causal_lm.compile(sampler="greedy")
    tokenizer = causal_lm.preprocessor.tokenizer
    prompt = tokenizer("the quick brown fox")[:7]
    per_window = tokenizer.layout.tokens_per_window
    rows = [[1, *prompt[:n]] for n in range(8)]
    rows += [[1, 2, *row] for row in rows]  # after another document
    ids = np.zeros((16, 10), "int32")
    for row, part in zip(ids, rows, strict=True):
        row[: len(part)] = part
    found = causal_lm.generate(
        {"token_ids": ids}, max_length=40, stop_token_ids=None
    )["token_ids"]
    for i, row in enumerate(found):
        assert (row[: len(rows[i])] == rows[i]).all()
        tokens = row[1 if i < 8 else 3 :]
        tokens = tokens[: len(tokens) - len(tokens) % per_window]
        assert tokenizer.detokenize(tokens)


def test_what_the_preprocessor_gives_is_what_text_gives(models):
    causal_lm = models[16, 8]
    causal_lm.compile(sampler="greedy")
    for stops in ("auto", None, [77]):
        x = causal_lm.preprocessor.generate_preprocess(PROMPTS[:3], 32)
        found = causal_lm.generate(x, stop_token_ids=stops)
        texts = causal_lm.preprocessor.generate_postprocess(found)
        assert texts == causal_lm.generate(
            PROMPTS[:3], 32, stop_token_ids=stops
        )


def test_rows_hold_pads_after_their_end(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    x = {"token_ids": PADDED}
    endless = causal_lm.generate(x, 20, stop_token_ids=None)["token_ids"]
    # One row ends with its second new id, the other maybe later.
    stop = int(endless[0, 5])
    found = causal_lm.generate(x, 20, stop_token_ids=[stop])
    for row, length, ids, mask in zip(
        endless, (4, 2), found["token_ids"], found["padding_mask"], strict=True
    ):
        ends = np.flatnonzero(row[length:] == stop)
        end = length + ends[0] + 1 if len(ends) else 20
        assert mask.tolist() == [i < end for i in range(20)]
        assert ids.tolist() == [*row[:end], *[0] * (20 - end)]
