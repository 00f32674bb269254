import keras
import numpy as np
import pytest
from keras import ops

from keras_nc.layers import CausalSelfAttention
from keras_nc.layers import DecoderBlock
from keras_nc.layers import GatedMLP
from keras_nc.layers import TokenEmbedding
from keras_nc.layers.causal_self_attention import project_together

pytestmark = pytest.mark.usefixtures("seeded")
POSITIONS = ["relative_bias", "rope"]


def make_block(position, dtype=None):
    return DecoderBlock(
        num_heads=2,
        head_dim=8,
        intermediate_dim=32,
        position=position,
        num_buckets=8,
        max_distance=20,
        dtype=dtype,
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_no_position_sees_a_later_one(position):
    block = make_block(position)
    x = np.random.normal(size=(2, 12, 16)).astype("float32")
    changed = x.copy()
    changed[:, 7:] += 1
    before = ops.convert_to_numpy(block(x))
    after = ops.convert_to_numpy(block(changed))
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-6)
    assert np.abs(before[:, 7:] - after[:, 7:]).min(axis=-1).max() > 1e-3


@pytest.mark.parametrize("position", POSITIONS)
def test_cache_equals_full_attention(position):
    block = make_block(position)
    x = np.random.normal(size=(2, 12, 16)).astype("float32")
    full = ops.convert_to_numpy(block(x))
    empty = np.zeros((2, 20, 2, 8), dtype="float32")
    cache = (ops.convert_to_tensor(empty), ops.convert_to_tensor(empty))
    start, cache = block(x[:, :5], cache=cache, cache_update_index=0)
    outputs = [ops.convert_to_numpy(start)]
    for i in range(5, 12):
        step, cache = block(x[:, i : i + 1], cache=cache, cache_update_index=i)
        outputs.append(ops.convert_to_numpy(step))
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), full, atol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="XLA decides what it copies"
)
def test_torch_writes_into_the_cache():
    import torch

    block = make_block("rope")
    x = np.random.normal(size=(2, 6, 16)).astype("float32")
    full = ops.convert_to_numpy(block(x))
    given = ops.zeros((2, 8, 2, 8)), ops.zeros((2, 8, 2, 8))
    with torch.no_grad():
        _, cache = block(x[:, :4], cache=given, cache_update_index=0)
        step, cache = block(x[:, 4:], cache=cache, cache_update_index=4)
    assert all(a is b for a, b in zip(cache, given, strict=True))
    np.testing.assert_allclose(
        ops.convert_to_numpy(step), full[:, 4:], atol=1e-5
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_config_round_trip(position):
    block = make_block(position, dtype="mixed_bfloat16")
    config = keras.saving.serialize_keras_object(block)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == block.get_config()
    assert again.compute_dtype == "bfloat16"


def test_odd_configurations_are_refused():
    with pytest.raises(ValueError, match="position='learned'"):
        CausalSelfAttention(2, 8, position="learned")
    with pytest.raises(ValueError, match="head_dim=7"):
        CausalSelfAttention(2, 7, position="rope")


def test_gated_mlp_is_the_formula():
    layer = GatedMLP(5)
    x = np.random.normal(size=(2, 3, 4)).astype("float32")
    y = ops.convert_to_numpy(layer(x))
    gate, value, output = layer.get_weights()
    expected = (np.maximum(x @ gate, 0) * (x @ value)) @ output
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_logits_are_tied_padded_and_masked():
    layer = TokenEmbedding(vocabulary_size=130, hidden_dim=16)
    hidden = np.random.normal(size=(1, 3, 16)).astype("float32")
    logits = ops.convert_to_numpy(layer(hidden, reverse=True))
    (table,) = layer.get_weights()
    assert table.shape == (256, 16)
    np.testing.assert_allclose(
        logits[..., :130], hidden @ table[:130].T, atol=1e-5
    )
    assert (logits[..., 130:] == np.float32(-1e30)).all()
    embedded = ops.convert_to_numpy(layer(np.array([[7]])))
    np.testing.assert_allclose(embedded[0, 0], table[7] * 4, atol=1e-5)
    again = TokenEmbedding.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Only JAX on a GPU takes both."
)
@pytest.mark.parametrize("length", [6, 7])
def test_a_bias_beside_a_causal_mask(length):
    # What a GPU does, on any device.
    attention = make_block("relative_bias").attention
    x = ops.convert_to_tensor(np.random.normal(size=(2, length, 16)), "float32")
    expected = attention(x)
    heads = [attention.query(x), attention.key(x), attention.value(x)]
    attended = attention.output_projection(attention._attend_causally(*heads))
    np.testing.assert_allclose(attended, expected, atol=1e-5)


@pytest.mark.parametrize("changed", ["nothing", "lora", "int8"])
def test_one_product_for_several_projections(changed):
    x = ops.convert_to_tensor(np.random.normal(size=(2, 5, 16)), "float32")
    block = make_block("rope")
    block(x)
    attention, mlp = block.attention, block.mlp
    for layers in (
        [attention.query, attention.key, attention.value],
        [mlp.gate, mlp.value],
    ):
        if changed == "lora":
            layers[0].enable_lora(2, b_initializer="ones")
        if changed == "int8":
            layers[-1].quantize("int8")
        together = project_together(x, layers)
        for layer, output in zip(layers, together, strict=True):
            np.testing.assert_allclose(
                ops.convert_to_numpy(output),
                ops.convert_to_numpy(layer(x)),
                atol=1e-5,
            )
