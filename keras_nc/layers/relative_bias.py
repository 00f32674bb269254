"""Learned attention biases by bucketed distance (T5)."""

import keras
import numpy as np
from keras import ops

from keras_nc.coding.inputs import as_integer


def distance_buckets(num_buckets, max_distance):
    """Return the buckets of the distances 0 .. `max_distance`.

    The first half of the buckets hold one distance each. The other half grow
    logarithmically up to `max_distance`. Larger distances share the last bucket
    (Raffel et al., 2020, the causal form). The table is computed once in NumPy,
    so that every backend uses the same buckets.

    Returns:
        An int32 array of shape `(max_distance + 1,)`.
    """
    exact = num_buckets // 2
    distances = np.arange(max_distance + 1)
    growth = np.log(np.maximum(distances, exact) / exact)
    growth = growth / np.log(max_distance / exact)
    buckets = exact + (growth * (num_buckets - exact)).astype("int32")
    buckets = np.minimum(buckets, num_buckets - 1)
    return np.where(distances < exact, distances, buckets).astype("int32")


def near_first(buckets, num_buckets, num_heads):
    """Return initial biases: every head looks near, each at its own scale.

    The bias is minus a slope times the smallest distance of the bucket. The
    slopes are `2^(1 - 8 h / H)`, as in ALiBi (Press et al., 2022) up to a
    factor. Without this, heads must first learn to find the last few tokens,
    which takes most of a short training.

    Args:
        buckets: What `distance_buckets` returned.
        num_buckets: int. Number of buckets.
        num_heads: int, `H`.

    Returns:
        A float32 array of shape `(num_buckets, H)`.
    """
    nearest = np.searchsorted(buckets, np.arange(num_buckets))
    slopes = 2.0 ** (1 - 8 * np.arange(num_heads) / num_heads)
    return (-nearest[:, None] * slopes).astype("float32")


@keras.saving.register_keras_serializable(package="keras_nc")
class RelativeBias(keras.layers.Layer):
    """Bias added to attention scores, one scalar per head and distance bucket.

    Biases are learned. `near_first` gives their initial values.

    Args:
        num_heads: int. Number of attention heads, `H`.
        num_buckets: int. Number of distance buckets, even. The paper's
            software uses 32.
        max_distance: int. This distance and larger ones share one bucket.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        queries: An int tensor of shape `(T,)`: positions of the queries.
        keys: An int tensor of shape `(S,)`: positions of the keys. `None` when
            queries and keys are the positions 0 .. T - 1, which is faster.

    Returns:
        A tensor of shape `(H, T, S)`. Entries of keys after their query are
        arbitrary: the causal mask hides them.

    Example:
    >>> bias = RelativeBias(num_heads=2)
    >>> tuple(bias(np.arange(4)).shape)
    (2, 4, 4)
    """

    def __init__(self, num_heads, num_buckets=32, max_distance=128, **kwargs):
        super().__init__(**kwargs)
        num_heads = as_integer("num_heads", num_heads)
        num_buckets = as_integer("num_buckets", num_buckets)
        max_distance = as_integer("max_distance", max_distance)
        if num_buckets < 2 or num_buckets % 2 or max_distance <= num_buckets:
            raise ValueError(
                "`num_buckets` must be even and smaller than `max_distance`. "
                f"Received: num_buckets={num_buckets}, "
                f"max_distance={max_distance}"
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self._buckets = distance_buckets(num_buckets, max_distance)

    @property
    def distance_buckets(self):
        """Bucket of every distance up to `max_distance`, int32."""
        return self._buckets

    def build(self, input_shape=None):
        """Create the table of biases, `(num_buckets, H)`."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_buckets, self.num_heads),
            initializer=self._initial_biases,
        )
        self.built = True

    def _initial_biases(self, shape, dtype=None):
        biases = near_first(self._buckets, *shape)
        return ops.convert_to_tensor(biases, dtype)

    def call(self, queries, keys=None):
        """Return the biases of queries over keys."""
        if keys is None:
            return self._toeplitz(ops.shape(queries)[0])
        distances = queries[:, None] - keys[None, :]
        return ops.transpose(self._lookup(distances), (2, 0, 1))

    def _lookup(self, distances):
        """Return the biases of distances: their shape + `(H,)`."""
        distances = ops.clip(distances, 0, self.max_distance)
        buckets = ops.take(ops.convert_to_tensor(self._buckets), distances)
        table = ops.cast(self.embeddings, self.compute_dtype)
        return ops.take(table, buckets, axis=0)

    def _toeplitz(self, length):
        """Return the biases of `length` positions over themselves.

        A gather of T x T biases needs a scatter in the backward pass. The
        matrix is constant along its diagonals, so look up only T biases. Repeat
        `row`, of length 2T, and reshape the result to rows of 2T - 1. Each row
        then starts one entry earlier, so `[i, j]` is `row[j - i]`.
        """
        bias = ops.transpose(self._lookup(ops.arange(length, dtype="int32")))
        future = ops.zeros((self.num_heads, length), dtype=bias.dtype)
        row = ops.concatenate(
            [bias[:, :1], future, ops.flip(bias[:, 1:], axis=1)], axis=1
        )  # (H, 2T): distance 0, T unused, distances T - 1 .. 1
        tiled = ops.tile(row, (1, length))[:, : length * (2 * length - 1)]
        tiled = ops.reshape(tiled, (self.num_heads, length, 2 * length - 1))
        return tiled[:, :, :length]

    def compute_output_spec(self, queries, keys=None):
        """Return shape and dtype of the biases."""
        keys = queries if keys is None else keys
        shape = (self.num_heads, queries.shape[0], keys.shape[0])
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
        )
        return config
