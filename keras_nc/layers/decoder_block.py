"""One block of the decoder: attention and a gated MLP."""

import keras

from keras_nc.coding.inputs import as_integer
from keras_nc.layers.causal_self_attention import CausalSelfAttention
from keras_nc.layers.causal_self_attention import project_together
from keras_nc.layers.initializers import initializer


def rms_norm(dtype, name):
    """Return an RMSNorm without bias, as in T5."""
    return keras.layers.RMSNormalization(epsilon=1e-6, dtype=dtype, name=name)


@keras.saving.register_keras_serializable(package="keras_nc")
class DecoderBlock(keras.layers.Layer):
    """Pre-norm attention and pre-norm gated MLP, each with a residual.

    Args:
        num_heads: int. Attention heads, `H`.
        head_dim: int. Width of a head, `K`.
        intermediate_dim: int. Width of the MLP.
        position: `"relative_bias"` or `"rope"`; see `CausalSelfAttention`.
        num_buckets: int. See `RelativeBias`.
        max_distance: int. See `RelativeBias`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        x: A tensor of shape `(B, T, D)`.
        cache: See `CausalSelfAttention`.
        cache_update_index: See `CausalSelfAttention`.
        segments: See `CausalSelfAttention`.

    Returns:
        A tensor of shape `(B, T, D)`, with a cache as in
        `CausalSelfAttention`.

    Example:
    >>> import numpy as np
    >>> block = DecoderBlock(num_heads=2, head_dim=4, intermediate_dim=16)
    >>> tuple(block(np.ones((1, 3, 8))).shape)
    (1, 3, 8)
    """

    def __init__(
        self,
        num_heads,
        head_dim,
        intermediate_dim,
        position="relative_bias",
        num_buckets=32,
        max_distance=128,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.attention_norm = rms_norm(self.dtype_policy, "attention_norm")
        self.attention = CausalSelfAttention(
            num_heads,
            head_dim,
            position,
            num_buckets,
            max_distance,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.mlp_norm = rms_norm(self.dtype_policy, "mlp_norm")
        self.mlp = GatedMLP(
            intermediate_dim, dtype=self.dtype_policy, name="mlp"
        )
        self.intermediate_dim = self.mlp.intermediate_dim

    def build(self, input_shape):
        """Build the four parts."""
        for part in self.attention_norm, self.attention, self.mlp_norm:
            part.build(input_shape)
        self.mlp.build(input_shape)
        self.built = True

    def call(self, x, cache=None, cache_update_index=0, segments=None):
        """Apply the block."""
        attended = self.attention(
            self.attention_norm(x),
            cache=cache,
            cache_update_index=cache_update_index,
            segments=segments,
        )
        if cache is not None:
            attended, cache = attended
        x = x + attended
        x = x + self.mlp(self.mlp_norm(x))
        return x if cache is None else (x, cache)

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
            num_heads=self.attention.num_heads,
            head_dim=self.attention.head_dim,
            intermediate_dim=self.intermediate_dim,
            position=self.attention.position,
            num_buckets=self.attention.num_buckets,
            max_distance=self.attention.max_distance,
        )
        return config


@keras.saving.register_keras_serializable(package="keras_nc")
class GatedMLP(keras.layers.Layer):
    """`(relu(x W_gate) * x W_value) W_output`, without biases.

    Only the gated form, with two input projections, matches the parameter
    counts of the paper.

    Args:
        intermediate_dim: int. Width between the projections.
        **kwargs: See `keras.layers.Layer`.

    Input shape:
        `(B, T, D)`.

    Output shape:
        `(B, T, D)`.

    Example:
    >>> import numpy as np
    >>> tuple(GatedMLP(16)(np.ones((1, 3, 8))).shape)
    (1, 3, 8)
    """

    def __init__(self, intermediate_dim, **kwargs):
        super().__init__(**kwargs)
        self.intermediate_dim = as_integer("intermediate_dim", intermediate_dim)

    def build(self, input_shape):
        """Create the three projections."""

        def dense(units, name):
            return keras.layers.Dense(
                units,
                use_bias=False,
                kernel_initializer=initializer(
                    keras.initializers.VarianceScaling(1.0)
                ),
                dtype=self.dtype_policy,
                name=name,
            )

        self.gate = dense(self.intermediate_dim, "gate")
        self.value = dense(self.intermediate_dim, "value_projection")
        self.output_projection = dense(input_shape[-1], "output_projection")
        self.gate.build(input_shape)
        self.value.build(input_shape)
        hidden_shape = (*input_shape[:-1], self.intermediate_dim)
        self.output_projection.build(hidden_shape)
        self.built = True

    def call(self, x):
        """Apply the MLP at every position."""
        gate, value = project_together(x, (self.gate, self.value))
        return self.output_projection(keras.ops.relu(gate) * value)

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        config.update(intermediate_dim=self.intermediate_dim)
        return config
