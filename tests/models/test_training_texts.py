import keras
import numpy as np
import pytest

from keras_nc.tokenizers import EqualInfoTokenizer
from tests.models.conftest import TEXTS

pytestmark = pytest.mark.usefixtures("seeded")


def test_texts_are_cut_without_an_end(make_m1, codebooks, make_m2):
    tokenizer = EqualInfoTokenizer(codebooks[16], token_bits=8)
    preprocessor = make_m2(tokenizer, sequence_length=4).preprocessor
    text = b"the statement is executed when \xff\x00\xff\x00"
    ids = tokenizer(text).tolist()
    assert len(ids) > 8
    x, y, weight = preprocessor(text)
    assert x["token_ids"].tolist() == [1, *ids[:3]]
    assert y.tolist() == ids[:4]
    assert weight.tolist() == [True] * 4
    # Exactly as long as the text with its end, and one more.
    for length in (len(ids) + 1, len(ids) + 2):
        x, y, weight = preprocessor(text, sequence_length=length)
        pads = length - len(ids) - 1
        assert x["token_ids"].tolist() == [1, *ids, 2, 0][:length]
        assert y.tolist() == [*ids, 2] + [0] * pads
        assert weight.tolist() == [True] * (length - pads) + [False] * pads
    x, y, weight = preprocessor([])
    assert x["token_ids"].shape == y.shape == weight.shape == (0, 4)


def test_packing_is_the_same_in_tf_data(make_m1, codebooks, make_m2):
    tf = pytest.importorskip("tensorflow")
    texts = [t.encode() for t in TEXTS] + [b"\xff\x00" * 50]
    for causal_lm in (
        make_m1(16),
        make_m2(EqualInfoTokenizer(codebooks[12]), 6),
        make_m2(EqualInfoTokenizer(codebooks[16], token_bits=4), 9),
    ):
        preprocessor = causal_lm.preprocessor
        eager = preprocessor(texts)
        ds = tf.data.Dataset.from_tensor_slices(texts)
        batched = next(
            ds.batch(len(texts)).map(preprocessor).as_numpy_iterator()
        )
        single = list(ds.map(preprocessor).as_numpy_iterator())
        stacked = keras.tree.map_structure(lambda *a: np.stack(a), *single)
        for a, b, c in zip(
            *map(keras.tree.flatten, (eager, batched, stacked)), strict=True
        ):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


PAIRS = {
    "prompts": ["The names of ", "", "a state", "if x"],
    "responses": ["this statement are bound.", "A list.", "ment", ""],
}


def test_only_responses_are_trained(make_m1, codebooks, make_m2):
    """Prompts and responses are encoded together, in and out of tf.data."""
    for causal_lm in (make_m1(), make_m2(EqualInfoTokenizer(codebooks[12]))):
        preprocessor = causal_lm.preprocessor
        x, y, weight = preprocessor(PAIRS)
        texts = [a + b for a, b in zip(*PAIRS.values(), strict=True)]
        same_x, same_y, mask = preprocessor(texts)
        np.testing.assert_array_equal(x["token_ids"], same_x["token_ids"])
        np.testing.assert_array_equal(y, same_y)
        for row, in_text, of_response, prompt in zip(
            y, mask, weight, PAIRS["prompts"], strict=True
        ):
            committed = row[in_text & ~of_response]
            known = preprocessor.tokenizer.split_prompt(prompt).ids
            np.testing.assert_array_equal(committed, known)
            assert not of_response[~in_text].any()
        single = preprocessor({k: v[0] for k, v in PAIRS.items()})
        np.testing.assert_array_equal(single[1], y[0])
        np.testing.assert_array_equal(single[2], weight[0])
        tf = pytest.importorskip("tensorflow")
        data = tf.data.Dataset.from_tensor_slices(PAIRS)
        for dataset in (data.batch(4), data):
            a, b, c = next(iter(dataset.map(preprocessor)))
            at = ... if dataset is not data else 0
            np.testing.assert_array_equal(a["token_ids"], x["token_ids"][at])
            np.testing.assert_array_equal(b, y[at])
            np.testing.assert_array_equal(c, weight[at])


def test_fine_tuning_on_responses(make_m1):
    causal_lm = make_m1()
    history = causal_lm.fit(PAIRS, batch_size=4, epochs=3, verbose=0)
    losses = history.history["loss"]
    assert losses[2] < losses[0]
    for wrong, message in (
        ({"prompts": ["a"]}, "'prompts' and 'responses'"),
        ({"prompts": ["a", "b"], "responses": ["c"]}, "2 prompts, 1 responses"),
    ):
        with pytest.raises(ValueError, match=message):
            causal_lm.fit(wrong, verbose=0)
