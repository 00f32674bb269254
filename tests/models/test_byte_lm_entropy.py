import numpy as np
import pytest
from keras import ops

from keras_nc.coding import Codebook
from keras_nc.entropy_models import ByteLMModel
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

PREFIXES = [b"", b"t", b"the ", b"\x00\xff", b"the statement", b"a" * 63]


@pytest.fixture(scope="module")
def trained(make_m1, text):
    """An M1 that knows a little about what follows what."""
    causal_lm = make_m1(sequence_length=64)
    lines = [line for line in text.split(b"\n") if len(line) > 20][:256]
    causal_lm.fit(lines, epochs=2, verbose=0)
    return causal_lm


def softmax_over_bytes(causal_lm, prefix):
    ids = np.array([[1, *(3 + b for b in prefix)]], dtype="int32")
    logits = causal_lm({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    logits = ops.convert_to_numpy(logits)[0, -1, 3:259].astype("float64")
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def test_probabilities_are_m1s(trained):
    found = ByteLMModel(trained).probabilities(PREFIXES)
    assert found.dtype == np.float64 and found.shape == (6, 256)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    for row, prefix in zip(found, PREFIXES, strict=True):
        expected = softmax_over_bytes(trained, prefix)
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_batches_hardly_matter(trained):
    prefixes = [bytes([a, b]) for a in range(20) for b in range(5)] + PREFIXES
    large = ByteLMModel(trained, batch_size=64).probabilities(prefixes)
    small = ByteLMModel(trained, batch_size=7).probabilities(prefixes)
    np.testing.assert_allclose(large, small, atol=1e-5)
    assert ByteLMModel(trained).probabilities([]).shape == (0, 256)


@pytest.mark.parametrize("allocation", ["arithmetic", "tunstall"])
def test_codebooks_of_m1(trained, text, allocation):
    model = ByteLMModel(trained)
    codebook = Codebook.build(
        model,
        window_bits=10,
        allocation=allocation,
        parse="greedy",
        prune=False,
        rounds=0,
    )
    ids = codebook.encode(text)
    assert codebook.decode(ids) == text
    # What M1 learned makes windows longer than bytes.
    assert len(text) / len(ids) > 1.1


def test_m1_computes_in_float32(make_m1):
    half = make_m1(dtype="mixed_bfloat16")
    full = make_m1()
    full.backbone.set_weights(half.backbone.get_weights())
    np.testing.assert_array_equal(
        ByteLMModel(half).probabilities(PREFIXES),
        ByteLMModel(full).probabilities(PREFIXES),
    )


def test_weights_are_copied(make_m1):
    causal_lm = make_m1()
    model = ByteLMModel(causal_lm)
    before = model.probabilities(PREFIXES)
    causal_lm.backbone.set_weights(
        [w + 0.1 for w in causal_lm.backbone.get_weights()]
    )
    np.testing.assert_array_equal(model.probabilities(PREFIXES), before)


def test_models_over_windows_are_refused(codebooks, make_m2):
    causal_lm = make_m2(EqualInfoTokenizer(codebooks[12]))
    with pytest.raises(ValueError, match="4096 ids"):
        ByteLMModel(causal_lm)


def test_rounds_learn_what_follows_window_starts(trained, text):
    model = ByteLMModel(trained)
    settings = dict(window_bits=10, parse="greedy", prune=False)
    plain = Codebook.build(model, rounds=0, **settings)
    refitted = Codebook.build(model, text, rounds=1, **settings)
    assert len(refitted.encode(text)) < 0.95 * len(plain.encode(text))
    # What was never counted is left to the model.
    counted = model.refit(b"ab", np.array([0]))
    rows = counted.probabilities([b"xyz", b""])
    expected = model.probabilities([b"xyz"])[0]
    np.testing.assert_allclose(rows[0], expected, atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1)


def test_odd_batch_sizes_are_refused(trained):
    with pytest.raises(ValueError, match="batch_size=0"):
        ByteLMModel(trained, batch_size=0)
