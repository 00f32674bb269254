import keras
import numpy as np
import pytest
from keras import ops

from keras_nc.coding import Codebook
from keras_nc.entropy_models import ByteLMModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import ZeroPaddedTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

PREFIXES = [b"", b"t", b"the ", b"\x00\xff", b"the statement", b"a" * 63]


@pytest.fixture(scope="module")
def trained(make_m1, text):
    """An M1 that has learned a little."""
    # `seeded` comes too late for a fixture of the module.
    keras.utils.set_random_seed(0)
    causal_lm = make_m1(sequence_length=64)
    lines = [line for line in text.split(b"\n") if len(line) > 20][:256]
    causal_lm.fit(lines, epochs=4, verbose=0)
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
    # M1 has learned enough for windows longer than bytes.
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
    # Strings without counts are left to the model.
    counted = model.refit(b"ab", np.array([0]))
    rows = counted.probabilities([b"xyz", b""])
    expected = model.probabilities([b"xyz"])[0]
    np.testing.assert_allclose(rows[0], expected, atol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1)


def test_odd_batch_sizes_are_refused(trained):
    for odd in (0, 2.5, "8", True):
        with pytest.raises(
            (TypeError, ValueError), match=f"batch_size={odd!r}"
        ):
            ByteLMModel(trained, batch_size=odd)


def assert_probabilities_are_its_own(causal_lm, rtol):
    found = ByteLMModel(causal_lm).probabilities(PREFIXES)
    for row, prefix in zip(found, PREFIXES, strict=True):
        expected = softmax_over_bytes(causal_lm, prefix)
        np.testing.assert_allclose(row, expected, rtol=rtol)


def add_lora(causal_lm):
    """Factors that are not zero in projections and the table."""
    causal_lm.backbone.enable_lora(2)
    block = causal_lm.backbone.transformer_layers[-1]
    block.mlp.gate.enable_lora(3, lora_alpha=7)
    block.attention.output_projection.enable_lora(2)
    random = np.random.default_rng(0)
    for variable in causal_lm.backbone.weights:
        if "lora" in variable.path:
            variable.assign(0.1 * random.standard_normal(variable.shape))


def test_lora_is_merged(make_m1):
    causal_lm = make_m1()
    plain = ByteLMModel(causal_lm).probabilities(PREFIXES)
    add_lora(causal_lm)
    causal_lm.backbone.token_embedding.enable_lora(2)
    a, b = causal_lm.backbone.token_embedding.weights[1:]
    a.assign(np.full(a.shape, 0.1))
    b.assign(np.full(b.shape, 0.2))
    assert_probabilities_are_its_own(causal_lm, 1e-4)
    merged = ByteLMModel(causal_lm)
    assert abs(merged.probabilities(PREFIXES) - plain).max() > 1e-3
    # Stepper and saved copy equal the merged model.
    steps = merged.stepper(1, 8).probabilities()
    first = merged.probabilities([b""])
    np.testing.assert_allclose(steps, first, rtol=1e-4)


@pytest.mark.parametrize(
    "mode, lora, rtol",
    # int8 also rounds activations; int4 does not.
    [("int8", True, 0.2), ("int4", True, 1e-4), ("int4", False, 1e-4)],
)
def test_quantized_weights_become_floats(make_m1, mode, rtol, lora):
    causal_lm = make_m1(num_layers=1)
    causal_lm.quantize(mode)
    if lora:
        add_lora(causal_lm)
    assert_probabilities_are_its_own(causal_lm, rtol)


def test_weights_of_float8_layers_are_kept(make_m1):
    causal_lm = make_m1(num_layers=1)
    plain = ByteLMModel(causal_lm).probabilities(PREFIXES)
    causal_lm.quantize("float8")
    found = ByteLMModel(causal_lm).probabilities(PREFIXES)
    np.testing.assert_array_equal(found, plain)


def test_a_quantized_table_is_refused(make_m1):
    causal_lm = make_m1()
    causal_lm.backbone.token_embedding.quantize("int8", type_check=False)
    with pytest.raises(ValueError, match=r"embedding table.*int8.*quantize"):
        ByteLMModel(causal_lm)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16"])
def test_all_precisions_become_float32(make_m1, dtype):
    causal_lm = make_m1(dtype=dtype)
    causal_lm.backbone.trainable = False
    full = make_m1()
    for ours, its in zip(
        full.backbone.weights, causal_lm.backbone.weights, strict=True
    ):
        ours.assign(ops.cast(its, "float32"))
    model = ByteLMModel(causal_lm)
    assert {v.dtype for v in model.backbone.weights} == {"float32"}
    np.testing.assert_array_equal(
        model.probabilities(PREFIXES),
        ByteLMModel(full).probabilities(PREFIXES),
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", ["token_embedding", "layer_norm"])
def test_weights_that_are_no_numbers_are_refused(make_m1, layer, bad):
    causal_lm = make_m1()
    [weight] = getattr(causal_lm.backbone, layer).weights
    values = np.array(ops.convert_to_numpy(weight))
    values.flat[-1] = bad
    weight.assign(values)
    with pytest.raises(ValueError, match=f"finite.*Received.*{layer}"):
        ByteLMModel(causal_lm)


def test_probabilities_that_overflow_are_refused_by_coders(make_m1, text):
    causal_lm = make_m1()
    [weight] = causal_lm.backbone.layer_norm.weights
    weight.assign(np.full(weight.shape, 3e38))
    model = ByteLMModel(causal_lm)
    match = "Probabilities must.*Received: row"
    with pytest.raises(ValueError, match=match):
        Codebook.paper(model, window_bits=10)
    with pytest.raises(ValueError, match=match):
        ArithmeticTokenizer(model)(b"text")
    with pytest.raises(ValueError, match=match):
        LiveWindowTokenizer(model)(b"text")
    with pytest.raises(ValueError, match=match):
        ZeroPaddedTokenizer(model, encode_only=True)(b"text")
    for tokenizer in (LiveWindowTokenizer(model), ArithmeticTokenizer(model)):
        with pytest.raises(ValueError, match=match):
            tokenizer.detokenize(list(range(40, 60)))


@pytest.mark.parametrize("odd", ["model", None, np.zeros(3), ByteLMModel])
def test_what_is_no_m1_is_refused(odd):
    with pytest.raises(TypeError, match=r"`ByteCausalLM`.*Received"):
        ByteLMModel(odd)
