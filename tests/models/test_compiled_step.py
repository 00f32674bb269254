"""What a training step computes, read from what JAX hands to the compiler."""

import re

import keras
import numpy as np
import pytest

from keras_nc.models import SIZES
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import scoring

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Other backends give no text."
)
B, T, V, D = 2, 16, 300, 32
#: Rows of the table of `V` ids.
ROWS = 384


def lowered(position="rope", logits_bytes="auto", **dims):
    """Return a whole step of `fit` in mixed_bfloat16, lowered."""
    import jax

    small = dict(num_layers=1, num_heads=2, hidden_dim=D, intermediate_dim=48)
    backbone = CompressedBackbone(
        V,
        position=position,
        dtype="mixed_bfloat16",
        **{**small, **dims},
    )
    model = CompressedCausalLM(backbone)
    model.compile(weighted_metrics=[], logits_bytes=logits_bytes)
    model.optimizer.build(model.trainable_variables)
    y = np.ones((B, T), "int32")
    data = {"token_ids": y, "padding_mask": y}, y
    model._symbolic_build(data_batch=(*data, None))
    state = [
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    return jax.jit(model.train_step).lower(state, data)


def products(step):
    """Return the lines of products; outer products do not count."""
    lines = step.as_text().splitlines()
    lines = [line for line in lines if "stablehlo.dot_general" in line]
    return [line for line in lines if "contracting_dims = [] x" not in line]


def assert_all_are_bfloat16(lines):
    for line in lines:
        operands = re.search(r": \((.*)\) ->", line)[1]
        # An algorithm names the type that the device multiplies in.
        assert "f32" not in operands or "precision_type = bf16" in line


@pytest.mark.parametrize("position", ["relative_bias", "rope"])
@pytest.mark.parametrize("size", ["25m", "113m", "403m"])
def test_products_at_the_papers_sizes(size, position):
    """One layer, as wide as the size; more layers repeat it."""
    step = lowered(position=position, **{**SIZES[size], "num_layers": 1})
    assert len(products(step)) == 18 + 3
    assert_all_are_bfloat16(products(step))
    table = rf"tensor<({ROWS}x{SIZES[size]['hidden_dim']})xf32>"
    turned = re.findall(rf"stablehlo.transpose .*: \({table}\)", step.as_text())
    assert not turned, "the table is read in bfloat16"


@pytest.mark.parametrize("position", ["relative_bias", "rope"])
def test_products_of_a_layer(position):
    first, second = (
        products(lowered(position, num_layers=layers)) for layers in (1, 2)
    )
    # Query, key and value are one product, gate and value of the MLP another;
    # each has two for its gradient. Attention has two, and four.
    assert len(second) - len(first) == 4 * 3 + 2 * 3
    # The logits are computed once, and have two for their gradient.
    of_logits = [line for line in first if f"{ROWS}" in line]
    assert len(of_logits) == 3
    assert len(first) == 18 + 3
    assert_all_are_bfloat16(first)


@pytest.mark.parametrize("position", ["relative_bias", "rope"])
def test_the_table_is_not_copied(position):
    text = lowered(position=position).compile().as_text()
    table = rf"\w+\[({ROWS},{D}|{D},{ROWS})\]\S*"
    assert re.search(rf"= {table} parameter\(", text)
    assert not re.search(rf"= {table} (copy|transpose)\(", text)


def test_logits_are_recomputed_in_chunks():
    line_of_logits = f"x{ROWS}xbf16"
    step = lowered(logits_bytes=4 * B * ROWS * 4)
    of_logits = [line for line in products(step) if line_of_logits in line]
    assert len(of_logits) == 4
    assert f"<{B}x{T}x{ROWS}x" not in step.as_text()


def test_logits_take_a_share_of_the_memory(monkeypatch):
    # As on CPUs, which do not tell.
    monkeypatch.setattr(scoring, "device_bytes", lambda: None)
    assert scoring.auto_logits_bytes() == 1 << 28
    monkeypatch.setattr(scoring, "device_bytes", lambda: 80 << 30)
    assert scoring.auto_logits_bytes() == 10 << 30
