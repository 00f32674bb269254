import keras
import numpy as np
import pytest
from keras import ops

from keras_nc.losses import token_nats
from keras_nc.models import SIZES
from keras_nc.models import ByteBackbone
from keras_nc.models import CompressedBackbone
from tests.models import reference_decoder
from tests.scripts import run_script

pytestmark = pytest.mark.usefixtures("seeded")

PARAMETERS = {
    "3m": 3.15e6,
    "25m": 25.17e6,
    "113m": 113.2e6,
    "403m": 402.7e6,
    "2b": 1.61e9,
}


def perturb(causal_lm):
    """Give every weight a different value, scales and biases included."""
    random = np.random.default_rng(1)
    causal_lm.backbone.set_weights(
        [
            w + random.normal(0, 0.1, w.shape).astype("float32")
            for w in causal_lm.backbone.get_weights()
        ]
    )


def batch(vocabulary_size, rows=2, length=40):
    ids = np.random.default_rng(2).integers(3, vocabulary_size, (rows, length))
    ids[:, 0] = 1
    return {
        "token_ids": ids.astype("int32"),
        "padding_mask": np.ones_like(ids, dtype="int32"),
    }


@pytest.mark.parametrize("position", ["relative_bias", "rope"])
def test_logits_are_those_of_the_formulas(make_m1, position):
    # Each backend is compared with the same float64 reference, so the backends
    # also agree with each other to 1e-4.
    causal_lm = make_m1(position=position)
    perturb(causal_lm)
    x = batch(259, length=150)
    logits = ops.convert_to_numpy(causal_lm(x))
    for row, ids in zip(logits, x["token_ids"], strict=True):
        expected = reference_decoder.logits(causal_lm, ids)
        np.testing.assert_allclose(row[:, :259], expected[:, :259], atol=5e-5)


def test_parameter_counts_are_the_papers():
    # Use another process: variables without values from a stateless scope, here
    # gigabytes, would get values when a later scope ends.
    printed = run_script(
        """
        import keras
        from keras_nc.models import SIZES, CompressedBackbone
        for size in SIZES:
            with keras.StatelessScope(initialize_variables=False):
                backbone = CompressedBackbone.from_size(size, 65536)
            embedding = backbone.token_embedding.count_params()
            assert embedding == 65536 * SIZES[size]["hidden_dim"]
            print(size, backbone.count_params() - embedding)
        """
    )
    counted = dict(line.split() for line in printed.splitlines())
    assert set(counted) == set(PARAMETERS) == set(SIZES)
    for size, expected in PARAMETERS.items():
        assert int(counted[size]) == pytest.approx(expected, rel=0.005)


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="'4m'"):
        ByteBackbone.from_size("4m")
    with pytest.raises(ValueError, match="num_layers=0"):
        ByteBackbone.from_size("3m", num_layers=0)
    with pytest.raises(ValueError, match="head_dim=0"):
        ByteBackbone.from_size("3m", head_dim=0)
    with pytest.raises(ValueError, match="vocabulary_size=100"):
        ByteBackbone.from_size("3m", vocabulary_size=100)
    with pytest.raises(ValueError, match="num_heads=3"):
        ByteBackbone.from_size("3m", num_heads=3)


def test_targets_give_nats(make_m1):
    causal_lm = make_m1()
    x = batch(259)
    targets = np.roll(x["token_ids"], -1, axis=1)
    logits = ops.convert_to_numpy(causal_lm(x)).astype("float64")
    nats = ops.convert_to_numpy(causal_lm({**x, "target_ids": targets}))
    assert nats.shape == targets.shape
    log_z = np.log(np.exp(logits[..., :259]).sum(-1))
    picked = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(nats, log_z - picked, atol=1e-4)
    again = ops.convert_to_numpy(token_nats(targets, causal_lm(x)))
    np.testing.assert_allclose(nats, again, atol=1e-5)


def test_score(make_m1):
    causal_lm = make_m1()
    x = batch(259)
    targets = np.roll(x["token_ids"], -1, axis=1)
    seen = []

    def look(hidden, index):
        seen.append((index, tuple(hidden.shape)))
        return hidden

    logits = causal_lm.score(x["token_ids"], layer_intercept_fn=look)
    assert seen == [(i, (2, 40, 32)) for i in (-1, 0, 1)]
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits),
        ops.convert_to_numpy(causal_lm(x)),
        atol=1e-5,
    )
    nats = causal_lm.score(
        x["token_ids"], scoring_mode="loss", target_ids=targets
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(nats),
        ops.convert_to_numpy(causal_lm({**x, "target_ids": targets})),
        atol=1e-5,
    )
    with pytest.raises(ValueError, match="needs `target_ids`"):
        causal_lm.score(x["token_ids"], scoring_mode="loss")
    with pytest.raises(ValueError, match="'sum'"):
        causal_lm.score(x["token_ids"], scoring_mode="sum")


def test_padding_on_the_right_changes_nothing(make_m1):
    causal_lm = make_m1()
    x = batch(259)
    full = ops.convert_to_numpy(causal_lm(x))
    mask = np.arange(40) < 25
    padded = {
        "token_ids": np.where(mask, x["token_ids"], 0),
        "padding_mask": x["padding_mask"] * mask,
    }
    cut = ops.convert_to_numpy(causal_lm(padded))
    np.testing.assert_allclose(full[:, :25], cut[:, :25], atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_dtype_policies(make_m1, dtype):
    causal_lm = make_m1(dtype=dtype)
    x = batch(259)
    logits = causal_lm(x)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    stored = causal_lm.backbone.token_embedding.embeddings.dtype
    assert stored == ("bfloat16" if dtype == "bfloat16" else "float32")
    reference = make_m1()
    reference.backbone.set_weights(
        [
            np.asarray(w, dtype="float32")
            for w in causal_lm.backbone.get_weights()
        ]
    )
    expected = ops.convert_to_numpy(reference(x))[..., :259]
    found = ops.convert_to_numpy(logits)[..., :259]
    assert np.abs(expected - found).max() < 0.25
    assert np.abs(expected - found).mean() < 0.03


@pytest.mark.parametrize("position", ["relative_bias", "rope"])
def test_documents_of_a_row_do_not_see_each_other(position):
    backbone = CompressedBackbone(
        40, 2, 2, 8, 16, position=position, document_masks=True
    )
    again = CompressedBackbone.from_config(backbone.get_config())
    assert again.document_masks
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 40, (2, 12)).astype("int32")
    numbers = np.repeat([[1, 2, 3], [1, 1, 2]], 4, axis=1).astype("int32")

    def states(ids, numbers):
        inputs = {"token_ids": ids, "padding_mask": numbers}
        return keras.ops.convert_to_numpy(backbone(inputs))

    together = states(ids, numbers)
    for start, stop in ((0, 4), (4, 8), (8, 12)):
        alone = states(ids[:, start:stop], np.ones((2, 4), "int32"))
        np.testing.assert_allclose(together[0, start:stop], alone[0], atol=1e-5)
    alone = states(ids[:, :8], np.ones((2, 8), "int32"))
    np.testing.assert_allclose(together[1, :8], alone[1], atol=1e-5)
    assert np.abs(together[0, 4:8] - alone[0, 4:8]).max() > 1e-2
