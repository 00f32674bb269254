"""Losses and metrics that `compile` takes, computed from nats and ranks.

Inside `fit` and `evaluate`, the model returns nats, not logits, so the logits
of all tokens never need to exist at once. This module computes losses and
metrics of logits from the scores of the targets: their nats, and how many ids
are more probable.
"""

import functools
import inspect
import re

import keras
import keras_hub
from keras import ops

from keras_nc.coding import PAD_ID
from keras_nc.losses import TokenNats
from keras_nc.losses import nats_and_log_z
from keras_nc.losses import ranks
from keras_nc.losses import token_nats
from keras_nc.losses import token_weights
from keras_nc.metrics import BitsPerByte

#: Scores of a target, in this order along the last axis. `before` counts the
#: smaller ids that are as probable as the target: an argmax would prefer them.
SCORES = ("nats", "greater", "before")

_LOSSES = (
    "Pass `loss='auto'`, `keras.losses.SparseCategoricalCrossentropy("
    "from_logits=True)`, or a function of your own of targets and nats, "
    "`(B, T)` each."
)
_METRICS = (
    "Pass 'accuracy', `keras.metrics.SparseCategoricalAccuracy`, "
    "`SparseTopKCategoricalAccuracy`, `SparseCategoricalCrossentropy("
    "from_logits=True)`, `keras_hub.metrics.Perplexity(from_logits=True)`, "
    "`keras_nc.metrics.BitsPerByte`, or a function of your own of targets and "
    "nats, `(B, T)` each."
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


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenMetric(keras.metrics.Metric):
    """A metric that was passed to `compile`, computed from scores.

    Pads have weight 0, with and without sample weights.

    Args:
        metric: A metric, a function or a name.
        argument: str. The argument of `compile` that held it, for errors.

    Raises:
        ValueError: If the metric cannot be computed from nats and ranks.
    """

    def __init__(self, metric, argument="metrics"):
        self.given = metric
        metric, self.update = _metric_and_update(metric, argument)
        super().__init__(name=metric.name)
        self.metric = metric

    @property
    def wants_ranks(self):
        """Whether the metric needs more than nats."""
        return self.update in (_update_accuracy, _update_top_k)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch.

        Args:
            y_true: Target ids `(B, T)`.
            y_pred: Nats `(B, T)`, scores `(B, T, 3)` as in `SCORES`, or logits
                `(B, T, V)`.
            sample_weight: `None`, or weights as in `token_weights`.
        """
        weights = ops.cast(y_true != PAD_ID, "float32")
        if sample_weight is not None:
            weights = weights * token_weights(sample_weight, y_true)
        if len(y_pred.shape) == 2:
            scores = (y_pred, None, None)
        elif y_pred.shape[-1] == len(SCORES):
            scores = [y_pred[..., i] for i in range(len(SCORES))]
        else:
            nats, _ = nats_and_log_z(y_true, y_pred)
            scores = (nats, *ranks(y_true, y_pred))
        scores = dict(zip(SCORES, scores, strict=True))
        self.update(self.metric, y_true, scores, weights)

    def result(self):
        """Return the result of the metric."""
        return self.metric.result()

    def reset_state(self):
        """Reset the metric."""
        self.metric.reset_state()

    def get_config(self):
        """Return the constructor arguments."""
        return {"metric": keras.saving.serialize_keras_object(self.given)}

    @classmethod
    def from_config(cls, config):
        """Create the metric from its configuration."""
        return cls(**keras.saving.deserialize_keras_object(config))


def token_metrics(metrics, argument):
    """Return a `TokenMetric` for each metric that `compile` was given.

    Args:
        metrics: `None`, or metrics, functions or names in a list or dict.
        argument: str. The argument of `compile`, for errors.

    Returns:
        A list, or `None`.
    """
    if metrics is None:
        return None
    if not isinstance(metrics, (list, tuple, dict)):
        raise ValueError(
            f"`{argument}` must be a list, tuple or dict. Received: "
            f"{argument}={metrics!r}"
        )
    return [
        metric
        if isinstance(metric, TokenMetric)
        else TokenMetric(metric, argument)
        for metric in keras.tree.flatten(metrics)
        if metric is not None
    ]


# === What is accepted ===


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
    if resolved is None or _is_from_keras(resolved):
        raise ValueError(
            "A loss must be one of nats or of logits. Received: loss="
            f"{_shown(loss)}, which takes something else. {_LOSSES}"
        )
    if not isinstance(resolved, (TokenNats, _OwnLoss)):
        check_takes_nats("loss", resolved, resolved)
    if not isinstance(resolved, keras.losses.Loss):
        return _OwnLoss(resolved, _name_of(resolved), "sum_over_batch_size")
    if resolved.reduction in (None, "none"):
        raise ValueError(
            "Training needs a loss that is one number. Received: loss="
            f"{_shown(loss)} with reduction={resolved.reduction!r}. Choose "
            "'sum_over_batch_size' or another reduction."
        )
    if type(resolved).__call__ is keras.losses.Loss.__call__:
        return _OwnLoss(resolved.call, resolved.name, resolved.reduction)
    return resolved


def _metric_and_update(given, argument):
    """Return a metric and how it is updated with scores."""
    metric = given
    if isinstance(given, str) and given.lower() in ("accuracy", "acc"):
        metric = keras.metrics.SparseCategoricalAccuracy(name=given)
    elif isinstance(given, str) and given.lower() in ("crossentropy", "ce"):
        _refuse(given, argument)
    metric = keras.metrics.get(metric)
    if metric is keras.metrics.sparse_categorical_accuracy:
        metric = keras.metrics.SparseCategoricalAccuracy()
    if metric is keras.metrics.sparse_top_k_categorical_accuracy:
        metric = keras.metrics.SparseTopKCategoricalAccuracy()
    for cls, update in _KNOWN.items():
        is_known = isinstance(metric, cls)
        if is_known and type(metric).update_state is cls.update_state:
            of_logits = getattr(metric, "from_logits", True)
            if not of_logits or getattr(metric, "from_sorted_ids", False):
                _refuse(given, argument)
            return metric, update
    if _is_from_keras(metric) or isinstance(metric, keras.losses.Loss):
        _refuse(given, argument)
    if not isinstance(metric, keras.metrics.Metric):
        check_takes_nats(argument, metric, given)
        mean = keras.metrics.Mean(name=_name_of(metric))
        return mean, _OwnFunction(metric)

    def probe(y_true, y_pred):
        # Assignments in a stateless scope are discarded.
        with keras.StatelessScope():
            metric.update_state(y_true, y_pred)

    check_takes_nats(argument, probe, given)
    return metric, _update_own


def _refuse(given, argument):
    raise ValueError(
        "A metric must be one of nats or of logits, not of probabilities, "
        f"texts or numbers. Received: {_shown(given)} in `{argument}`. "
        f"{_METRICS}"
    )


def check_takes_nats(argument, function, given):
    """Raise a ValueError for a function that takes logits only.

    Call it with a few targets. If it takes neither nats nor logits, do nothing:
    it raises its own error when it is used.

    Args:
        argument: str. The argument of `compile`, for errors.
        function: A function of targets and predictions.
        given: The object to show in the error.
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
            f"logits. Received: {_shown(given)} in `{argument}`, which takes "
            "logits only. Rewrite it for nats, -log p(target). "
            + (_LOSSES if argument == "loss" else _METRICS)
        )


def _is_from_keras(thing):
    """Return whether a metric, loss or function is from Keras."""
    if type(thing) is keras.metrics.MeanMetricWrapper:
        thing = thing._fn  # Keras has no public way to get it
    while isinstance(thing, functools.partial):
        thing = thing.func
    made = thing if inspect.isfunction(thing) else type(thing)
    return made.__module__.partition(".")[0] in ("keras", "keras_hub")


def _name_of(function):
    """Return a name that is valid in a TensorFlow graph, even for a lambda."""
    name = getattr(function, "__name__", type(function).__name__)
    return re.sub(r"\W+", "", getattr(function, "name", name))


def _shown(given):
    """Return how an error names what was given."""
    if isinstance(given, str):
        return repr(given)
    config = getattr(given, "get_config", dict)()
    name = getattr(given, "__name__", type(given).__name__)
    if "from_logits" in config:
        return f"{name}(from_logits={config['from_logits']})"
    return name


# === Losses ===


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


# === Metrics ===


def _update_mean(metric, values, nats, weights):
    """Add values to a mean, as NaN where nats are NaN."""
    values = ops.where(ops.isnan(nats), float("nan"), values)
    # Tokens of weight 0 must not affect the result, even if they are NaN.
    values = ops.where(weights == 0, 0.0, values)
    keras.metrics.Mean.update_state(metric, values, weights)


def _update_accuracy(metric, y_true, scores, weights):
    hits = ops.cast(scores["greater"] + scores["before"] == 0, "float32")
    _update_mean(metric, hits, scores["nats"], weights)


def _update_top_k(metric, y_true, scores, weights):
    hits = ops.cast(scores["greater"] < metric.k, "float32")
    _update_mean(metric, hits, scores["nats"], weights)


def _update_cross_entropy(metric, y_true, scores, weights):
    if metric.ignore_class is not None:
        weights = weights * ops.cast(y_true != metric.ignore_class, "float32")
    _update_mean(metric, scores["nats"], scores["nats"], weights)


def _update_perplexity(metric, y_true, scores, weights):
    if metric.mask_token_id is not None:
        weights = weights * ops.cast(y_true != metric.mask_token_id, "float32")
    # Logits of two classes, target and rest, that give the same nats.
    nats = ops.where(weights == 0, 0.0, scores["nats"])
    rest = ops.log(ops.maximum(1.0 - ops.exp(-nats), 1e-30))
    target = 0 if metric.mask_token_id == 1 else 1
    logits = [rest, -nats] if target else [-nats, rest]
    metric.update_state(
        ops.full_like(y_true, target), ops.stack(logits, axis=-1), weights
    )


def _update_own(metric, y_true, scores, weights):
    """Update a metric that takes nats."""
    parameters = inspect.signature(metric.update_state).parameters
    kinds = [p.kind for p in parameters.values()]
    if "sample_weight" in parameters or inspect.Parameter.VAR_KEYWORD in kinds:
        metric.update_state(y_true, scores["nats"], sample_weight=weights)
    else:
        metric.update_state(y_true, scores["nats"])


class _OwnFunction:
    """Update a mean with the values of a function of targets and nats."""

    def __init__(self, function):
        self.function = function

    def __call__(self, metric, y_true, scores, weights):
        values = self.function(y_true, scores["nats"])
        metric.update_state(*with_weights(values, weights))


_KNOWN = {
    BitsPerByte: _update_own,
    keras.metrics.SparseCategoricalAccuracy: _update_accuracy,
    keras.metrics.SparseTopKCategoricalAccuracy: _update_top_k,
    keras.metrics.SparseCategoricalCrossentropy: _update_cross_entropy,
    keras_hub.metrics.Perplexity: _update_perplexity,
}
