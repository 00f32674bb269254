"""Metrics that `compile` takes, computed from scores of the targets.

The model returns no logits in `fit` and `evaluate`; see `token_loss.py`. Nats,
and how many ids are more probable than the target, are enough for the metrics
of logits.
"""

import inspect

import keras
import keras_hub
from keras import ops

from keras_nc.coding import PAD_ID
from keras_nc.losses import nats_and_log_z
from keras_nc.losses import ranks
from keras_nc.losses import token_weights
from keras_nc.metrics import BitsPerByte
from keras_nc.models.token_loss import check_takes_nats
from keras_nc.models.token_loss import is_from_keras
from keras_nc.models.token_loss import name_of
from keras_nc.models.token_loss import shown
from keras_nc.models.token_loss import with_weights

#: Scores of a target, in this order along the last axis. `before` counts the
#: smaller ids that are as probable as the target: an argmax would prefer them.
SCORES = ("nats", "greater", "before")

_METRICS = (
    "Pass 'accuracy', `keras.metrics.SparseCategoricalAccuracy`, "
    "`SparseTopKCategoricalAccuracy`, `SparseCategoricalCrossentropy("
    "from_logits=True)`, `keras_hub.metrics.Perplexity(from_logits=True)`, "
    "`keras_nc.metrics.BitsPerByte`, or a function of your own of targets and "
    "nats, `(B, T)` each."
)


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
    if is_from_keras(metric) or isinstance(metric, keras.losses.Loss):
        _refuse(given, argument)
    if not isinstance(metric, keras.metrics.Metric):
        check_takes_nats(argument, metric, given, _METRICS)
        mean = keras.metrics.Mean(name=name_of(metric))
        return mean, _OwnFunction(metric)

    def probe(y_true, y_pred):
        # Assignments in a stateless scope are discarded.
        with keras.StatelessScope():
            metric.update_state(y_true, y_pred)

    check_takes_nats(argument, probe, given, _METRICS)
    return metric, _update_own


def _refuse(given, argument):
    raise ValueError(
        "A metric must be one of nats or of logits, not of probabilities, "
        f"texts or numbers. Received: {shown(given)} in `{argument}`. "
        f"{_METRICS}"
    )


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
