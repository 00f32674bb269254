"""Training that needs less memory learns the same."""

import keras
import numpy as np
import pytest

from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM

B, T, V = 3, 10, 300
#: Three positions of three rows at a time, for a table of 384 rows. The last
#: chunk has one position.
CHUNK_BYTES = 3 * B * 384 * 4


def make_model(logits_bytes, dtype="float32", **kwargs):
    keras.utils.set_random_seed(0)
    model = CompressedCausalLM(
        CompressedBackbone(
            V,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            dtype=dtype,
            **kwargs,
        )
    )
    # With plain gradient descent, the weights show the gradients.
    model.compile(
        keras.optimizers.SGD(1.0), z_loss=0.1, logits_bytes=logits_bytes
    )
    return model


def trained(*args, **kwargs):
    """Return the logs of a step, and the weights after it."""
    model = make_model(*args, **kwargs)
    generator = np.random.default_rng(0)
    ids = generator.integers(1, V, (B, T + 1))
    weights = generator.random((B, T)).astype("float32")
    x = {"token_ids": ids[:, :-1], "padding_mask": np.ones((B, T), "int32")}
    loss = model.train_on_batch(x, ids[:, 1:], weights)
    return float(loss), model.get_weights()


@pytest.fixture(scope="module")
def plain():
    return trained(1 << 28)


@pytest.mark.parametrize(
    "logits_bytes, options",
    [(CHUNK_BYTES, {}), (1 << 28, {"gradient_checkpointing": True})],
    ids=["logits in chunks", "gradient checkpointing"],
)
def test_gradients_are_the_same(plain, logits_bytes, options):
    loss, weights = trained(logits_bytes, **options)
    assert loss == pytest.approx(plain[0], abs=1e-5)
    for weight, other in zip(weights, plain[1], strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)


def test_bfloat16(plain):
    loss, _ = trained(
        CHUNK_BYTES, "mixed_bfloat16", gradient_checkpointing=True
    )
    assert loss == pytest.approx(plain[0], rel=2e-2)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="logits_bytes=0"):
        trained(0)


def kept_bytes(model):
    """Bytes that the forward pass keeps for the backward one."""
    ids = np.ones((B, T), "int32")
    inputs = {"token_ids": ids, "padding_mask": ids, "target_ids": ids}
    if keras.backend.backend() == "torch":
        import torch

        sizes = []

        def keep(tensor):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            model(inputs, training=True)
        return sum(sizes)
    import jax

    def nats(weights):
        return model.stateless_call(weights, [], inputs, training=True)[0]

    weights = [variable.value for variable in model.trainable_variables]
    kept = jax.eval_shape(lambda weights: jax.vjp(nats, weights)[1], weights)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="It does not tell."
)
def test_less_is_kept():
    logits = B * T * 384 * 4
    plain = kept_bytes(make_model(1 << 28))
    chunked = kept_bytes(make_model(CHUNK_BYTES))
    # Not less by all of them: a last chunk is padded.
    assert chunked < plain - 0.9 * logits
    both = kept_bytes(make_model(CHUNK_BYTES, gradient_checkpointing=True))
    assert both < 0.75 * chunked
