"""Causal self-attention with relative biases or rotary positions."""

import keras
import keras_hub
from keras import ops

from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_integer
from keras_nc.layers.initializers import initializer
from keras_nc.layers.relative_bias import RelativeBias

POSITIONS = ("relative_bias", "rope")
#: Score of hidden keys, and its value for float16.
HIDDEN = -1e9
HIDDEN_IN_FLOAT16 = -6e4


def project_together(x, projections):
    """Return what several projections without biases make of one input.

    One product reads the input once, and its gradient is one product as well.
    The kernels are stacked along a new axis, which no layout divides, so
    devices that share heads or MLP width send nothing. For one position, that
    copy would cost more than the product.

    Args:
        x: A tensor of shape `(B, T, D)`.
        projections: Layers with kernels of one shape, `(D, ...)`.

    Returns:
        A list of tensors `(B, T, ...)`.
    """
    if x.shape[1] == 1 or any(
        layer.quantization_mode is not None for layer in projections
    ):
        return [layer(x) for layer in projections]
    kernels = [ops.cast(layer.kernel, x.dtype) for layer in projections]
    outputs = ops.tensordot(x, ops.stack(kernels, axis=1), axes=1)
    # The gradient of a split is a concatenation, that of slices a sum.
    parts = ops.split(outputs, len(projections), axis=2)
    return [ops.squeeze(part, axis=2) for part in parts]


def _attend_with_one(query, key, value, bias):
    """Attend with one query per row, `(B, 1, H, K)`, without copying keys.

    In a cache, the axis of heads comes after that of positions. Matrix products
    need it first, so they would copy the cache at every step. Sums of products
    read the cache in place.
    """
    scale = query.shape[-1] ** -0.5
    scores = ops.sum(ops.cast(query * key, "float32"), axis=-1) * scale
    scores = scores + ops.cast(
        ops.transpose(bias[:, :, 0], (0, 2, 1)), "float32"
    )
    weights = ops.cast(ops.softmax(scores, axis=1), value.dtype)  # (B, S, H)
    return ops.sum(weights[..., None] * value, axis=1, keepdims=True)


def _write(cache, index, new):
    """Return a cache `(B, S, H, K)` with new positions from `index` on.

    XLA writes in place if nothing else reads the old cache. In torch,
    `slice_update` would copy all positions for every new one.
    """
    if keras.backend.backend() == "torch" and not new.requires_grad:
        cache[:, index : index + new.shape[1]] = new
        return cache
    return ops.slice_update(cache, [0, index, 0, 0], new)


@keras.saving.register_keras_serializable(package="keras_nc")
class CausalSelfAttention(keras.layers.Layer):
    """Multi-head self-attention in which no query sees a later key.

    Letters: `B` batch, `T` queries, `S` keys, `D` model width, `H` heads, `K`
    head width. Padding is on the right, where the causal mask hides it from
    every real token, so no padding mask is needed.

    Args:
        num_heads: int. `H`.
        head_dim: int. `K`.
        position: `"relative_bias"`, a learned bias per head and distance
            bucket, as in the paper; or `"rope"`, rotary embeddings, which are
            faster if the backend has fused kernels that allow no bias.
        num_buckets: int. See `RelativeBias`.
        max_distance: int. See `RelativeBias`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        x: A tensor of shape `(B, T, D)`.
        cache: `None`, or a pair `(keys, values)` of shape `(B, S, H, K)` each,
            that holds the positions seen so far.
        cache_update_index: Position of the first query (int or scalar tensor).
        segments: `None`, or an int tensor of shape `(B, T)`: positions attend
            only to those with the same number. Not with a cache.

    Returns:
        A tensor of shape `(B, T, D)`. With a cache, a pair
        `(output, (keys, values))` with the new positions written in; on torch,
        the given tensors are changed in place.

    Example:
    >>> import numpy as np
    >>> attention = CausalSelfAttention(num_heads=2, head_dim=4)
    >>> tuple(attention(np.ones((1, 3, 8))).shape)
    (1, 3, 8)
    """

    def __init__(
        self,
        num_heads,
        head_dim,
        position="relative_bias",
        num_buckets=32,
        max_distance=128,
        **kwargs,
    ):
        super().__init__(**kwargs)
        position = as_choice("position", position, POSITIONS)
        self.num_heads = as_integer("num_heads", num_heads)
        self.head_dim = as_integer("head_dim", head_dim)
        self.position = position
        self.num_buckets = as_integer("num_buckets", num_buckets)
        self.max_distance = as_integer("max_distance", max_distance)
        if position == "rope" and self.head_dim % 2:
            raise ValueError(
                "Rotary positions rotate pairs: `head_dim` must be even. "
                f"Received: head_dim={head_dim}"
            )

    def build(self, input_shape):
        """Create the four projections and the positions."""
        hidden_dim = input_shape[-1]
        projected_shape = (None, None, self.num_heads, self.head_dim)

        def project(equation, output_shape, name, build_shape):
            layer = keras.layers.EinsumDense(
                equation,
                output_shape=output_shape,
                kernel_initializer=initializer(
                    keras.initializers.VarianceScaling(1.0, mode="fan_in")
                ),
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(build_shape)
            return layer

        heads = (None, self.num_heads, self.head_dim)
        into = "btd,dhk->bthk"
        self.query = project(into, heads, "query", input_shape)
        self.key = project(into, heads, "key", input_shape)
        self.value = project(into, heads, "value", input_shape)
        self.output_projection = project(
            "bthk,hkd->btd",
            (None, hidden_dim),
            "output_projection",
            projected_shape,
        )
        if self.position == "relative_bias":
            self.relative_bias = RelativeBias(
                self.num_heads,
                self.num_buckets,
                self.max_distance,
                dtype=self.dtype_policy,
                name="relative_bias",
            )
            self.relative_bias.build()
        else:
            self.rotary = keras_hub.layers.RotaryEmbedding(
                dtype=self.dtype_policy, name="rotary"
            )
            self.rotary.build(projected_shape)
        self.built = True

    def call(self, x, cache=None, cache_update_index=0, segments=None):
        """Attend from every position of `x` to the positions before it."""
        query, key, value = project_together(
            x, (self.query, self.key, self.value)
        )
        if self.position == "rope":
            query = self.rotary(query, start_index=cache_update_index)
            key = self.rotary(key, start_index=cache_update_index)
        if cache is None:
            return self.output_projection(
                self.attend(query, key, value, segments)
            )
        key = _write(cache[0], cache_update_index, key)
        value = _write(cache[1], cache_update_index, value)
        bias = self._score_bias(
            ops.shape(query)[1], ops.shape(key)[1], cache_update_index
        )
        attend = ops.dot_product_attention
        if query.shape[1] == 1:
            attend = _attend_with_one
        attended = attend(query, key, value, bias=bias)
        return self.output_projection(attended), (key, value)

    def attend(self, query, key, value, segments=None):
        """Attend from every position to those before it, without a cache.

        Args:
            query: A tensor of shape `(B, T, H, K)`, rotated if positions are.
            key: As `query`.
            value: As `query`.
            segments: See `call`.

        Returns:
            A tensor of shape `(B, T, H, K)`.
        """
        if segments is None and self._takes_causal_kernels():
            return self._attend_causally(query, key, value)
        length = ops.shape(query)[1]
        bias = self._score_bias(length, length, None)
        if segments is not None:
            bias = self._hide(bias, segments)
        return ops.dot_product_attention(query, key, value, bias=bias)

    def _takes_causal_kernels(self):
        """Return whether to tell the backend that the mask is causal.

        Fused kernels then skip what is hidden. With a bias, only cuDNN gains:
        torch refuses it, and XLA would apply a second mask.
        """
        if self.position == "rope":
            return True
        if keras.backend.backend() != "jax":
            return False
        import jax

        return jax.default_backend() == "gpu"

    def _attend_causally(self, query, key, value):
        """Attend without a cache; Keras takes fused kernels if there are."""
        bias, fused = None, None
        if self.position == "relative_bias":
            length = ops.shape(query)[1]
            positions = ops.arange(length, dtype="int32")
            bias = self.relative_bias(positions)[None]
            # cuDNN has no gradient of a bias for odd lengths.
            if isinstance(length, int) and length % 2:
                fused = False
        return ops.dot_product_attention(
            query,
            key,
            value,
            bias=bias,
            is_causal=True,
            flash_attention=fused,
        )

    def _score_bias(self, query_length, key_length, start_index):
        """Return what to add to scores for position and causality."""
        queries = ops.arange(query_length, dtype="int32")
        if start_index is not None:
            queries = queries + ops.cast(start_index, "int32")
        keys = ops.arange(key_length, dtype="int32")
        visible = queries[:, None] >= keys[None, :]  # (T, S)
        if self.position == "relative_bias":
            same = start_index is None
            bias = self.relative_bias(queries, None if same else keys)
        else:
            bias = ops.zeros((1, 1, 1), dtype=self.compute_dtype)
        return ops.where(visible[None], bias, self._hidden())[None]

    def _hidden(self):
        """Return what is added to the scores of hidden keys."""
        half = self.compute_dtype == "float16"
        hidden = HIDDEN_IN_FLOAT16 if half else HIDDEN
        return ops.cast(hidden, self.compute_dtype)

    def _hide(self, bias, segments):
        """Return the bias with the keys of other segments hidden."""
        same = segments[:, None, :, None] == segments[:, None, None, :]
        return ops.where(same, bias, self._hidden())  # (B, H, T, T)

    def compute_output_spec(
        self, x, cache=None, cache_update_index=0, segments=None
    ):
        """Return the spec of the output, and the cache if there is one."""
        output = keras.KerasTensor(x.shape, self.compute_dtype)
        return output if cache is None else (output, cache)

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            position=self.position,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
        )
        return config
