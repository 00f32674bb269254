"""Token embeddings, tied to the output logits."""

import keras
from keras import ops

from keras_nc.coding.checks import as_integer

#: Embedding tables have a multiple of this many rows, so that they shard.
ROW_MULTIPLE = 128
#: Logit of a row that is not an id. It is finite, so that no gradient is NaN.
MASKED_LOGIT = -1e30


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenEmbedding(keras.layers.ReversibleEmbedding):
    """Embeddings that also give the logits of the next token.

    The table is padded to a multiple of 128 rows, and the logits of padding
    rows are masked. Rows have variance `1 / D`. Inputs are scaled to unit
    variance, and logits of a normalised vector have unit variance too.

    Args:
        vocabulary_size: int. Number of ids, `V`.
        hidden_dim: int. Model width, `D`.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Ids of shape `(B, T)`, or, with `reverse=True`, hidden states
            of shape `(B, T, D)`.
        reverse: bool. Whether to compute logits.

    Returns:
        Embeddings of shape `(B, T, D)`, NaN for invalid ids; or float32 logits
        of shape `(B, T, rows)`, where `rows` is `V` rounded up to a multiple of
        128.

    Example:
    >>> import numpy as np
    >>> embedding = TokenEmbedding(vocabulary_size=259, hidden_dim=8)
    >>> hidden = embedding(np.array([[1, 70, 2]]))
    >>> tuple(embedding(hidden, reverse=True).shape)
    (1, 3, 384)
    """

    def __init__(self, vocabulary_size, hidden_dim, **kwargs):
        vocabulary_size = as_integer("vocabulary_size", vocabulary_size)
        hidden_dim = as_integer("hidden_dim", hidden_dim)
        rows = -(-vocabulary_size // ROW_MULTIPLE) * ROW_MULTIPLE
        super().__init__(
            rows,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=hidden_dim**-0.5
            ),
            **kwargs,
        )
        self.vocabulary_size = vocabulary_size

    def call(self, inputs, reverse=False):
        """Embed ids, or return the logits of hidden states."""
        if reverse:
            return self._masked(super().call(inputs, reverse=True))
        # Backends differ in what they return for ids outside of the table.
        known = (inputs >= 0) & (inputs < self.vocabulary_size)
        outputs = super().call(ops.where(known, inputs, 0))
        outputs = outputs * self.output_dim**0.5
        return ops.where(known[..., None], outputs, float("nan"))

    def _masked(self, logits):
        # Sums of exponentials need float32, even if the policy computes in
        # less.
        logits = ops.cast(logits, "float32")
        is_id = ops.arange(self.input_dim) < self.vocabulary_size
        return ops.where(is_id, logits, MASKED_LOGIT)

    @property
    def table(self):
        """The table `(rows, D)` in the compute dtype."""
        return ops.cast(self.embeddings, self.compute_dtype)

    def logits_of(self, hidden, table):
        """Return logits as with `reverse=True`, for a given table.

        This is for manual gradients, chunk by chunk.

        Args:
            hidden: A tensor of shape `(B, T, D)`.
            table: The value of the property `table`.

        Returns:
            Float32 logits of shape `(B, T, rows)`.
        """
        hidden = ops.cast(hidden, table.dtype)
        return self._masked(ops.matmul(hidden, ops.transpose(table)))

    def compute_output_spec(self, inputs, reverse=False):
        """Return shape and dtype of the embeddings or logits."""
        spec = super().compute_output_spec(inputs, reverse=reverse)
        return keras.KerasTensor(spec.shape, "float32") if reverse else spec

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        for name in (
            "input_dim",
            "output_dim",
            "embeddings_initializer",
            "embeddings_regularizer",
            "embeddings_constraint",
            "activity_regularizer",
            "mask_zero",
            "tie_weights",
            "reverse_dtype",
            "logit_soft_cap",
        ):
            config.pop(name, None)
        config.update(
            vocabulary_size=self.vocabulary_size, hidden_dim=self.output_dim
        )
        return config
