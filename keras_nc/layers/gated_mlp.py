"""The feed-forward half of a block: a gated ReLU MLP."""

import keras

from keras_nc.coding.checks import as_integer


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
                kernel_initializer=keras.initializers.VarianceScaling(1.0),
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
        hidden = keras.ops.relu(self.gate(x)) * self.value(x)
        return self.output_projection(hidden)

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        config.update(intermediate_dim=self.intermediate_dim)
        return config
