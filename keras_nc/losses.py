"""Nats per token, and the training loss: their mean."""

import keras
from keras import ops


def token_nats(y_true, y_pred):
    """Return nats per token from nats or logits.

    Models of this package return nats when their inputs hold targets. Other
    language models return logits.

    Args:
        y_true: Target ids of shape `(B, T)`.
        y_pred: Nats of shape `(B, T)`, or logits of shape `(B, T, V)`.

    Returns:
        A float32 tensor of shape `(B, T)`, in nats.
    """
    y_pred = ops.cast(y_pred, "float32")
    if len(y_pred.shape) == len(y_true.shape):
        return y_pred
    return nats_and_log_z(y_true, y_pred)[0]


def nats_and_log_z(y_true, logits):
    """Return nats per token, and the log of the softmax's denominator.

    The nats of ids outside of the vocabulary are NaN.

    Args:
        y_true: Target ids of shape `(B, T)`.
        logits: Float32 logits of shape `(B, T, V)`.

    Returns:
        A pair of float32 tensors of shape `(B, T)`.
    """
    target, known = target_logits(y_true, logits)
    log_z = ops.logsumexp(logits, axis=-1)
    return ops.where(known, log_z - target, float("nan")), log_z


def ranks(y_true, logits):
    """Count the ids that are more probable than the targets.

    Args:
        y_true: Target ids of shape `(B, T)`.
        logits: Float32 logits of shape `(B, T, V)`.

    Returns:
        A pair of float32 tensors of shape `(B, T)`: the ids that are more
        probable, and the smaller ids that are as probable.
    """
    target, _ = target_logits(y_true, logits)
    ids = ops.arange(ops.shape(logits)[-1], dtype="int32")
    smaller = ids < ops.cast(y_true, "int32")[..., None]
    greater = logits > target[..., None]
    before = (logits == target[..., None]) & smaller
    return tuple(
        ops.sum(ops.cast(beats, "float32"), axis=-1)
        for beats in (greater, before)
    )


def target_logits(y_true, logits):
    """Return logits of targets, and whether these are ids; `(B, T)` each."""
    known = (y_true >= 0) & (y_true < ops.shape(logits)[-1])
    ids = ops.cast(ops.where(known, y_true, 0), "int32")
    target = ops.take_along_axis(logits, ids[..., None], axis=-1)
    return target[..., 0], known


def token_weights(sample_weight, y_true):
    """Return the weights of tokens.

    Args:
        sample_weight: Weights of tokens, `(B, T)`, or of rows, `(B, 1)` or
            `(B,)`.
        y_true: Target ids of shape `(B, T)`.

    Returns:
        A float32 tensor of shape `(B, T)`.

    Raises:
        ValueError: If the weights have another shape.
    """
    weight = ops.cast(sample_weight, "float32")
    try:
        shape = tuple(weight.shape)
    except ValueError:
        # In a TensorFlow graph, the rank of weights may be unknown.
        shape = None
    rows, tokens = tuple(y_true.shape)
    known = shape is not None and None not in (*shape, rows, tokens)
    if known and shape not in ((rows,), (rows, 1), (rows, tokens)):
        raise ValueError(
            "`sample_weight` must have the targets' shape (B, T), or (B, 1) or "
            f"(B,). Received: sample_weight.shape={shape}, targets of shape "
            f"{(rows, tokens)}"
        )
    weight = ops.reshape(weight, (ops.shape(y_true)[0], -1))
    return weight * ops.ones_like(y_true, dtype="float32")


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenNats(keras.losses.Loss):
    """Mean nats per scored token: sum of nats / sum of weights.

    Args:
        name: str. Name of the loss.
        **kwargs: See `keras.losses.Loss`.

    Example:
    >>> import numpy as np
    >>> nats = np.array([[1.0, 3.0, 9.0]])
    >>> loss = TokenNats()(np.zeros((1, 3)), nats, np.array([[1.0, 1.0, 0.0]]))
    >>> round(float(loss), 4)
    2.0
    """

    def __init__(self, name="token_nats", **kwargs):
        kwargs.setdefault("reduction", "mean_with_sample_weight")
        super().__init__(name=name, **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the mean nats; weights as in `token_weights`."""
        if sample_weight is not None:
            y_true = ops.convert_to_tensor(y_true)
            sample_weight = token_weights(sample_weight, y_true)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """Return the nats of every token, `(B, T)`."""
        return token_nats(y_true, y_pred)
