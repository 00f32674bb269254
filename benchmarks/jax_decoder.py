"""The decoder and its training step in plain JAX and optax: the peer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from keras_nc.layers.relative_bias import distance_buckets

EPSILON = 1e-6


class Trainer:
    """Train a decoder of the same shape as a backbone.

    Args:
        backbone: The `DecoderBackbone` whose sizes and precision are taken.
        learning_rate: float.
        attention: `"bias"`, with the dense relative bias as a mask; or
            `"causal"`, without positions and, on a GPU, by cuDNN.
    """

    def __init__(self, backbone, learning_rate, attention="bias"):
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(learning_rate, weight_decay=0.004, eps=1e-7),
        )
        self._parameters = initial_parameters(backbone)
        self._state = self._optimizer.init(self._parameters)
        heads = backbone.num_heads
        dtype = jnp.dtype(backbone.token_embedding.compute_dtype)
        buckets = None
        if attention == "bias":
            buckets = distance_buckets(
                backbone.num_buckets, backbone.max_distance
            )

        def step(parameters, state, ids):
            def loss(parameters):
                return mean_nats(parameters, ids, heads, buckets, dtype)

            value, gradients = jax.value_and_grad(loss)(parameters)
            updates, state = self._optimizer.update(
                gradients, state, parameters
            )
            return optax.apply_updates(parameters, updates), state, value

        self._step = jax.jit(step, donate_argnums=(0, 1))

    def fit(self, batches):
        """Take a step for each batch of ids, `(steps, B, T)`."""
        for ids in batches:
            self._parameters, self._state, loss = self._step(
                self._parameters, self._state, ids
            )
        return float(loss)


def initial_parameters(backbone):
    """Make random weights in the shapes of a backbone."""
    generator = np.random.default_rng(0)
    D, H, K = backbone.hidden_dim, backbone.num_heads, backbone.head_dim
    F, V = backbone.intermediate_dim, backbone.token_embedding.input_dim

    def random(*shape, fan_in):
        return jnp.asarray(
            generator.normal(0, fan_in**-0.5, shape), jnp.float32
        )

    blocks = [
        {
            "attention_norm": jnp.ones(D),
            "qkv": random(3, D, H, K, fan_in=D),
            "bias": jnp.zeros((backbone.num_buckets, H)),
            "output": random(H, K, D, fan_in=D),
            "mlp_norm": jnp.ones(D),
            "gate": random(D, F, fan_in=D),
            "value": random(D, F, fan_in=D),
            "down": random(F, D, fan_in=F),
        }
        for _ in range(backbone.num_layers)
    ]
    return {
        "embedding": random(V, D, fan_in=D),
        "blocks": blocks,
        "norm": jnp.ones(D),
    }


def rms_norm(x, scale):
    """Scale to a root mean square of one."""
    x32 = x.astype(jnp.float32)
    x32 *= jax.lax.rsqrt(jnp.mean(x32**2, -1, keepdims=True) + EPSILON)
    return (x32 * scale).astype(x.dtype)


def mean_nats(parameters, ids, heads, buckets, dtype):
    """Return the mean loss of predicting each id from those up to itself."""
    T = ids.shape[1]
    if buckets is not None:
        distances = np.arange(T)[:, None] - np.arange(T)
        bucket = buckets[np.clip(distances, 0, len(buckets) - 1)]
    table = parameters["embedding"].astype(dtype)
    x = table[ids] * table.shape[1] ** 0.5
    for block in parameters["blocks"]:
        h = rms_norm(x, block["attention_norm"])
        q, k, v = jnp.einsum("btd,cdhk->cbthk", h, block["qkv"].astype(dtype))
        if buckets is None:
            h = jax.nn.dot_product_attention(
                q, k, v, is_causal=True, implementation=fused_attention(dtype)
            )
        else:
            bias = jnp.moveaxis(block["bias"][bucket], -1, 0)
            bias = jnp.where(distances >= 0, bias, -1e9).astype(dtype)
            h = jax.nn.dot_product_attention(q, k, v, bias=bias[None])
        x += jnp.einsum("bthk,hkd->btd", h, block["output"].astype(dtype))
        h = rms_norm(x, block["mlp_norm"])
        gate = jax.nn.relu(h @ block["gate"].astype(dtype))
        h = gate * (h @ block["value"].astype(dtype))
        x += h @ block["down"].astype(dtype)
    logits = (rms_norm(x, parameters["norm"]) @ table.T).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, ids).mean()


def fused_attention(dtype):
    """Return the implementation of attention that is fused, if there is."""
    on_gpu = jax.default_backend() == "gpu"
    return "cudnn" if on_gpu and dtype != jnp.float32 else "xla"


def step_megabytes(model, batch_size, length):
    """Return the memory that a gradient needs by its plan; run nothing.

    Args:
        model: A compiled `DecoderCausalLM`.
        batch_size: int, `B`.
        length: int, `T`.

    Returns:
        A pair of floats, megabytes: what the forward pass keeps for the
        backward one, and the peak that XLA plans for this device, weights and
        gradients included.
    """
    ids = jax.ShapeDtypeStruct((batch_size, length), jnp.int32)
    weights = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]

    def loss(weights, ids):
        inputs = {"token_ids": ids, "padding_mask": ids, "target_ids": ids}
        nats, _ = model.stateless_call(weights, others, inputs, training=True)
        return jnp.mean(nats)

    kept = jax.eval_shape(
        lambda weights, ids: jax.vjp(lambda w: loss(w, ids), weights)[1],
        weights,
        ids,
    )
    kept_bytes = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))
    compiled = jax.jit(jax.grad(loss)).lower(weights, ids).compile()
    plan = compiled.memory_analysis()
    planned_bytes = plan.temp_size_in_bytes + plan.argument_size_in_bytes
    planned_bytes += plan.output_size_in_bytes
    return kept_bytes / 1e6, planned_bytes / 1e6


def device():
    """Return the name of the device that JAX computes on."""
    return jax.devices()[0].device_kind
