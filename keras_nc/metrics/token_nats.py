"""The training loss: mean nats per token."""

import keras
from keras import ops


def token_nats(y_true, y_pred):
    """Per-token nats of what a model returned.

    Models of this package return nats themselves when they are given targets;
    any other language model returns logits.

    Args:
        y_true: Target ids of shape `(B, T)`.
        y_pred: Nats of shape `(B, T)`, or logits of shape `(B, T, V)`.

    Returns:
        A float32 tensor of shape `(B, T)`, in nats.
    """
    y_pred = ops.cast(y_pred, "float32")
    if len(y_pred.shape) == len(y_true.shape):
        return y_pred
    y_true = ops.cast(y_true, "int32")
    target = ops.take_along_axis(y_pred, y_true[..., None], axis=-1)
    return ops.logsumexp(y_pred, axis=-1) - target[..., 0]


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

    def call(self, y_true, y_pred):
        """Nats of every token, `(B, T)`."""
        return token_nats(y_true, y_pred)
