"""The loss that `compile` takes, computed from nats.

Inside `fit` and `evaluate`, the model returns nats, not logits, so the logits
of all tokens never need to exist at once.
"""

import functools
import inspect
import re

import keras
from keras import ops

from keras_nc.losses import TokenNats
from keras_nc.losses import token_nats
from keras_nc.losses import token_weights

_LOSSES = (
    "Pass `loss='auto'`, `keras.losses.SparseCategoricalCrossentropy("
    "from_logits=True)`, or a function of your own of targets and nats, "
    "`(B, T)` each."
)


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenLoss(keras.losses.Loss):
    """A loss that was passed to `compile`, computed from nats.

    When saved with a model, it also holds the other arguments of `compile`. A
    clone of the model returns logits; this loss takes both logits and nats.

    Args:
        loss: A loss, a function, a name, or one of these in a list or dict.
        settings: A dict of other arguments of `compile`.

    Raises:
        ValueError: If the loss cannot be computed from nats.
    """

    def __init__(self, loss, settings=None):
        self.loss, self.settings = loss, dict(settings or {})
        self.nats_loss = _nats_loss(loss)
        super().__init__(self.nats_loss.name, self.nats_loss.reduction)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the loss of nats `(B, T)` or logits `(B, T, V)`."""
        nats = token_nats(y_true, y_pred)
        if sample_weight is not None:
            sample_weight = token_weights(sample_weight, y_true)
        return self.nats_loss(y_true, nats, sample_weight)

    def get_config(self):
        """Return the constructor arguments."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "settings": keras.saving.serialize_keras_object(self.settings),
        }

    @classmethod
    def from_config(cls, config):
        """Create the loss from its configuration."""
        return cls(**keras.saving.deserialize_keras_object(config))


def _nats_loss(given):
    """Return a loss of nats for the loss that `compile` was given."""
    losses = keras.tree.flatten(given)
    if len(losses) != 1:
        raise ValueError(
            "The model has one output, so it takes one loss. "
            f"Received: loss={given}"
        )
    loss = losses[0]
    # Keras resolves these names by shapes to losses of probabilities.
    is_name = isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")
    resolved = None if is_name else keras.losses.get(loss)
    if type(resolved) is keras.losses.SparseCategoricalCrossentropy:
        resolved = _CrossEntropy(resolved) if resolved.from_logits else None
    if resolved is None or is_from_keras(resolved):
        raise ValueError(
            "A loss must be one of nats or of logits. Received: loss="
            f"{shown(loss)}, which takes something else. {_LOSSES}"
        )
    if not isinstance(resolved, (TokenNats, _OwnLoss)):
        check_takes_nats("loss", resolved, resolved, _LOSSES)
    if not isinstance(resolved, keras.losses.Loss):
        return _OwnLoss(resolved, name_of(resolved), "sum_over_batch_size")
    if resolved.reduction in (None, "none"):
        raise ValueError(
            "Training needs a loss that is one number. Received: loss="
            f"{shown(loss)} with reduction={resolved.reduction!r}. Choose "
            "'sum_over_batch_size' or another reduction."
        )
    if type(resolved).__call__ is keras.losses.Loss.__call__:
        return _OwnLoss(resolved.call, resolved.name, resolved.reduction)
    return resolved


class _OwnLoss(keras.losses.Loss):
    """A custom loss, which may reduce some axes itself."""

    def __init__(self, function, name, reduction):
        super().__init__(name=name, reduction=reduction)
        self.function = function

    def __call__(self, y_true, y_pred, sample_weight=None):
        values = self.function(ops.cast(y_true, self.dtype), y_pred)
        values, sample_weight = with_weights(values, sample_weight)
        return super().__call__(values, values, sample_weight)

    def call(self, y_true, y_pred):
        """Return the values, which have already been computed."""
        return y_pred


class _CrossEntropy(_OwnLoss):
    """`keras.losses.SparseCategoricalCrossentropy`, computed from nats."""

    def __init__(self, loss):
        super().__init__(lambda _, nats: nats, loss.name, loss.reduction)
        self.ignore_class = loss.ignore_class

    def __call__(self, y_true, y_pred, sample_weight=None):
        if self.ignore_class is not None:
            kept = ops.cast(y_true != self.ignore_class, "float32")
            share = kept
            if self.reduction in ("mean", "sum_over_batch_size"):
                # Keras divides by the number of tokens that are not ignored.
                size = ops.sum(ops.ones_like(kept))
                share = kept * ops.divide_no_nan(size, ops.sum(kept))
            y_pred = ops.where(kept > 0, y_pred, 0.0)
            if sample_weight is None:
                sample_weight = share
            else:
                sample_weight = sample_weight * share
        return super().__call__(y_true, y_pred, sample_weight)


# === Functions of the user, for losses and metrics ===


def with_weights(values, weights):
    """Match the weights of tokens to the shape of a function's values.

    Args:
        values: Values of tokens `(B, T)`, of rows `(B,)`, or a scalar.
        weights: `None`, or weights of tokens `(B, T)`.

    Returns:
        A pair of values and weights of one shape, or of values and `None`.
        The weight of a row is the largest weight of its tokens. A scalar has no
        weight.
    """
    values = ops.convert_to_tensor(values)
    rank = len(values.shape)
    if rank == 0:
        return ops.reshape(values, (1,)), None
    if rank > 2:
        raise ValueError(
            "A loss or metric of your own must return one value per token "
            "(B, T), per row (B,), or one in all. Received: values of shape "
            f"{tuple(values.shape)}"
        )
    if weights is None or rank == 2:
        return values, weights
    return values, ops.max(weights, axis=-1)


def check_takes_nats(argument, function, given, remedy):
    """Raise a ValueError for a function that takes logits only.

    Call it with a few targets. If it takes neither nats nor logits, do nothing:
    it raises its own error when it is used.

    Args:
        argument: str. The argument of `compile`, for errors.
        function: A function of targets and predictions.
        given: The object to show in the error.
        remedy: str. What to pass instead.
    """
    B, T, V = 3, 5, 7  # all different, so that no shape fits by chance
    targets = ops.full((B, T), 3, dtype="int32")

    def takes(*shape):
        try:
            function(targets, ops.ones(shape, dtype="float32"))
        except Exception:  # a user's function may raise anything
            return False
        return True

    if not takes(B, T) and takes(B, T, V):
        raise ValueError(
            "A loss or metric of your own gets nats of shape (B, T), not "
            f"logits. Received: {shown(given)} in `{argument}`, which takes "
            f"logits only. Rewrite it for nats, -log p(target). {remedy}"
        )


def is_from_keras(thing):
    """Return whether a metric, loss or function is from Keras."""
    if type(thing) is keras.metrics.MeanMetricWrapper:
        thing = thing._fn  # Keras has no public way to get it
    while isinstance(thing, functools.partial):
        thing = thing.func
    made = thing if inspect.isfunction(thing) else type(thing)
    return made.__module__.partition(".")[0] in ("keras", "keras_hub")


def name_of(function):
    """Return a name that is valid in a TensorFlow graph, even for a lambda."""
    name = getattr(function, "__name__", type(function).__name__)
    return re.sub(r"\W+", "", getattr(function, "name", name))


def shown(given):
    """Return how an error names what was given."""
    if isinstance(given, str):
        return repr(given)
    config = getattr(given, "get_config", dict)()
    name = getattr(given, "__name__", type(given).__name__)
    if "from_logits" in config:
        return f"{name}(from_logits={config['from_logits']})"
    return name
