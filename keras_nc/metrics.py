"""Bits per byte, which compares models over different tokens."""

import math

import keras
import numpy as np
from keras import ops

from keras_nc.losses import token_nats
from keras_nc.losses import token_weights

#: The low counter carries into the high one at this value. It is far below the
#: limit of int32, so that the remainders of 65,535 rows can be summed.
CARRY = 2**15
#: Float32 holds integers exactly below this value.
EXACT = 2.0**24


class _ExactSum:
    """A sum of non-negative numbers that is too large for exact float32.

    The sum is `high * CARRY + low + fraction`, in two int32 variables and one
    float32. It is exact for integers below 2^46 on every backend. NaN, infinity
    and larger numbers are added to the fraction.
    """

    def __init__(self, metric, name):
        def counter(part, dtype):
            return metric.add_variable(
                shape=(), initializer="zeros", dtype=dtype, name=name + part
            )

        self.high = counter("_high", "int32")
        self.low = counter("_low", "int32")
        self.fraction = counter("_fraction", "float32")

    def add(self, rows):
        """Add float32 partial sums, each below 2^24, of shape `(B,)`."""
        integers = ops.where(ops.abs(rows) < EXACT, ops.floor(rows), 0.0)
        fraction = self.fraction + ops.sum(rows - integers)
        carried = ops.where(fraction < EXACT, ops.floor(fraction), 0.0)
        self.fraction.assign(fraction - carried)
        integers = ops.cast(integers, "int32")
        # Carry before summing, so that int32 holds the sum of a batch.
        low = self.low + ops.cast(carried, "int32") + ops.sum(integers % CARRY)
        high = self.high + ops.sum(integers // CARRY)
        self.high.assign(high + low // CARRY)
        self.low.assign(low % CARRY)

    def value(self):
        """Return the sum, rounded to float32."""
        low = ops.cast(self.low, "float32") + self.fraction
        return ops.cast(self.high, "float32") * float(CARRY) + low


@keras.saving.register_keras_serializable(package="keras_nc")
class BitsPerByte(keras.metrics.Metric):
    """Nats of all scored tokens / (ln 2 * the bytes that they stand for).

    Nats and bytes are summed separately, so the result is not a mean of ratios.
    Pass the metric to `compile(weighted_metrics=...)`, where padding has weight
    0. What depends on the tokenizer is a variable, not a constant of the
    compiled step, so tokenizers of one vocabulary size can share a step.

    Args:
        token_lengths: Bytes of every id, an integer sequence of length `V`
            (`tokenizer.token_lengths`); special ids have 0.
        bytes_per_token: float. For tokens without a length of their own, such
            as split windows: bytes / tokens of the scored data
            (`shards.bytes_per_token`). Pass this or `token_lengths`. It can be
            set anew before other data is scored.
        name: str. Name of the metric.
        dtype: See `keras.metrics.Metric`.

    Raises:
        ValueError: If not exactly one of the two is given, or one is negative.

    Example:
    >>> import numpy as np
    >>> metric = BitsPerByte(token_lengths=[0, 0, 0, 1, 3])
    >>> metric.update_state(np.array([[3, 4]]), np.log([[4.0, 16.0]]))
    >>> round(float(metric.result()), 4)  # (2 + 4) bits / (1 + 3) bytes
    1.5
    """

    def __init__(
        self,
        token_lengths=None,
        bytes_per_token=None,
        name="bits_per_byte",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        if (token_lengths is None) == (bytes_per_token is None):
            raise ValueError(
                "Pass either `token_lengths` or `bytes_per_token`. Received: "
                f"token_lengths={token_lengths}, "
                f"bytes_per_token={bytes_per_token}. The first is "
                "`tokenizer.token_lengths`; where that is `None`, pass "
                "`bytes_per_token=shards.bytes_per_token`."
            )
        if token_lengths is not None:
            token_lengths = np.asarray(token_lengths, dtype="int32")
            if token_lengths.ndim != 1 or token_lengths.min(initial=0) < 0:
                raise ValueError(
                    "`token_lengths` must be a list of non-negative integers, "
                    f"one per id. Received: shape={token_lengths.shape}, "
                    f"minimum={token_lengths.min(initial=0)}"
                )
        else:
            bytes_per_token = _check_bytes_per_token(bytes_per_token)
        self.token_lengths = token_lengths
        self._bytes_per_token = bytes_per_token
        self._nats = _ExactSum(self, "nats")
        # Bytes; with `bytes_per_token`, tokens.
        self._counted = _ExactSum(self, "counted")
        self._counters = list(self.variables)
        if token_lengths is None:
            self._scale = self._constant(bytes_per_token, "bytes_per_token")
        else:
            self._lengths = self._constant(token_lengths, "token_lengths")

    def _constant(self, value, name):
        """Keep a value in a variable, the same on all devices."""
        value = np.asarray(value, "float32")
        return self.add_variable(
            shape=value.shape,
            initializer=keras.initializers.Constant(value),
            dtype="float32",
            aggregation="only_first_replica",
            name=name,
        )

    @property
    def bytes_per_token(self):
        """Bytes per token of the scored data, or `None`."""
        return self._bytes_per_token

    @bytes_per_token.setter
    def bytes_per_token(self, value):
        if self.token_lengths is not None:
            raise ValueError(
                "`bytes_per_token` is for tokens without lengths. Received: "
                f"bytes_per_token={value} for a metric with `token_lengths`. "
                "Create another metric."
            )
        self._bytes_per_token = _check_bytes_per_token(value)
        self._scale.assign(self._bytes_per_token)

    def reset_state(self):
        """Forget all batches."""
        for counter in self._counters:
            counter.assign(ops.zeros(counter.shape, counter.dtype))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: Target ids of shape `(B, T)`.
            y_pred: Nats of shape `(B, T)`, or logits of shape `(B, T, V)`.
            sample_weight: `None`, or weights of shape `(B, T)`, `(B, 1)` or
                `(B,)`.
        """
        y_true = ops.convert_to_tensor(y_true)
        nats = token_nats(y_true, ops.convert_to_tensor(y_pred))
        if self.token_lengths is None:
            counted = ops.ones_like(nats)
        else:
            counted = self._lengths_of(ops.cast(y_true, "int32"))
        if sample_weight is not None:
            weight = token_weights(sample_weight, y_true)
            # Tokens of weight 0 must not affect the result, even if they are
            # NaN.
            nats = ops.where(weight == 0, 0.0, nats * weight)
            counted = ops.where(weight == 0, 0.0, counted * weight)
        self._nats.add(ops.sum(nats, axis=-1))
        self._counted.add(ops.sum(counted, axis=-1))

    def _lengths_of(self, ids):
        """Return bytes of ids as float32; NaN for ids out of range."""
        size = len(self.token_lengths)
        known = (ids >= 0) & (ids < size)
        lengths = ops.take(self._lengths, ops.where(known, ids, 0))
        return ops.where(known, lengths, float("nan"))

    def result(self):
        """Return bits per byte so far; 0 before any token was scored.

        If the tokens so far stand for no bytes, the result is NaN.
        """
        nats = self._nats.value()
        counted = self._counted.value()
        if self.token_lengths is None:
            counted = counted * self._scale
        ratio = ops.divide_no_nan(nats, counted * math.log(2))
        return ops.where((counted == 0) & (nats > 0), float("nan"), ratio)

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        lengths = self.token_lengths
        config.update(
            token_lengths=None if lengths is None else lengths.tolist(),
            bytes_per_token=self.bytes_per_token,
        )
        return config


def _check_bytes_per_token(value):
    """Return a positive, finite float, or raise a ValueError."""
    if not 0 < value < math.inf:
        raise ValueError(
            "`bytes_per_token` must be positive. "
            f"Received: bytes_per_token={value}"
        )
    return float(value)
