"""Where the time of a training step goes, on JAX.

Each part is compiled and timed alone, with its gradient, on arrays that are on
the device. So the parts do not add up to the step, in which the compiler fuses
some and overlaps others.
"""

import statistics
import time

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_nc.evaluation import table_size
from keras_nc.models.scoring import score_targets
from keras_nc.training import training_flops_per_token

ROUNDS = 5
#: Calls are repeated until a round takes this long.
ROUND_SECONDS = 0.2


def part_seconds(model, ids):
    """Time the parts of a step of a model that has been fitted.

    Args:
        model: A compiled `DecoderCausalLM`, after `fit` on such a batch.
        ids: An int32 array of shape `(B, T)`.

    Returns:
        A dict from names to seconds; `"step"` is the whole compiled step.
    """
    backbone = model.backbone
    block, layers = backbone.transformer_layers[0], backbone.num_layers
    dtype = backbone.token_embedding.compute_dtype
    generator = np.random.default_rng(0)

    def random(*shape):
        return jnp.asarray(generator.normal(size=shape), dtype)

    hidden = random(*ids.shape, backbone.hidden_dim)
    heads = [
        random(*ids.shape, backbone.num_heads, backbone.head_dim)
        for _ in range(3)
    ]

    def of(layer, call):
        """Return a function of the layer's weights and of inputs."""

        def run(weights, *inputs):
            mapping = zip(layer.trainable_variables, weights, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)):
                return call(*inputs)

        return run

    targets = jnp.asarray(ids)
    embedding = backbone.token_embedding
    attention = block.attention
    seconds = {}
    for name, layer, call, inputs in (
        ("block", block, block, [hidden]),
        ("attention", attention, attention.attend, heads),
        (
            "logits and loss",
            embedding,
            lambda x: score_targets(embedding, x, targets, model.logits_bytes),
            [hidden],
        ),
    ):
        weights = [v.value for v in layer.trainable_variables]
        seconds[name] = gradient_seconds(of(layer, call), weights, *inputs)
    blocks = layers * seconds.pop("block")
    seconds["attention"] *= layers
    seconds["projections and MLP"] = max(blocks - seconds["attention"], 0.0)
    seconds["optimizer"] = optimizer_seconds(model)
    seconds["step"] = step_seconds(model, ids)
    return seconds


def part_flops(backbone, length):
    """Return the FLOPs per token of each part, a dict.

    They add up to `training_flops_per_token`.
    """
    logits = 6 * table_size(backbone)
    width = backbone.num_heads * backbone.head_dim
    attention = 12 * backbone.num_layers * width * length
    total = training_flops_per_token(backbone, length)
    return {
        "attention": attention,
        "projections and MLP": total - logits - attention,
        "logits and loss": logits,
        "optimizer": 0,
    }


def gradient_seconds(function, weights, *inputs):
    """Time a function and its gradient for a random one of its outputs."""
    shape = jax.eval_shape(function, weights, *inputs)
    slopes = np.random.default_rng(1).normal(size=shape.shape)
    slopes = jnp.asarray(slopes, shape.dtype)

    @jax.jit
    def run(weights, inputs, slopes):
        outputs, gradient = jax.vjp(function, weights, *inputs)
        return outputs, gradient(slopes)

    return call_seconds(lambda: run(weights, inputs, slopes))


def optimizer_seconds(model):
    """Time the update of all weights."""
    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in model.optimizer.variables]
    update = jax.jit(model.optimizer.stateless_apply)
    return call_seconds(lambda: update(state, weights, weights))


def step_seconds(model, ids):
    """Time the step that `fit` compiled, on a batch that is on the device."""
    batch = {"token_ids": ids, "padding_mask": np.ones_like(ids)}, ids
    batch = jax.device_put(batch)
    # Copies: the step gives the memory of its inputs away.
    state = [
        [jnp.copy(v.value) for v in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]

    def step():
        nonlocal state
        logs, state = model.train_function(state, iter([batch]))
        return logs

    return call_seconds(step)


def call_seconds(call):
    """Return the median seconds of a call, many queued in each round."""
    jax.block_until_ready(call())  # compiles
    start = time.perf_counter()
    jax.block_until_ready(call())
    once = time.perf_counter() - start
    repeats = max(1, min(100, round(ROUND_SECONDS / max(once, 1e-6))))
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(repeats):
            outputs = call()
        jax.block_until_ready(outputs)
        rounds.append((time.perf_counter() - start) / repeats)
    return statistics.median(rounds)
