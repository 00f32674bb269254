"""Losses and metrics of Keras, of keras-hub and of users."""

import functools

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_nc.losses import TokenNats
from keras_nc.metrics import BitsPerByte
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM

B = T = 6  # shapes that agree by chance
#: Two positions of three rows at a time, for a table of 384 rows.
CHUNK_BYTES = 3 * 2 * 384 * 4


@pytest.fixture(scope="module")
def causal_lm():
    keras.utils.set_random_seed(0)
    backbone = ByteBackbone(
        num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16
    )
    return ByteCausalLM(backbone)


@pytest.fixture(scope="module")
def data(causal_lm):
    """Inputs, targets, weights and logits; some targets are likely ones."""
    random = np.random.default_rng(0)
    y = random.integers(3, 259, (B, T)).astype("int32")
    y[:2, 3:] = y[4] = 0
    x = {"token_ids": np.roll(y, 1, axis=1), "padding_mask": np.ones_like(y)}
    x["token_ids"][:, 0] = 1
    logits = ops.convert_to_numpy(causal_lm(x))
    best = np.argsort(-logits, axis=-1)
    # For some targets: the best id, the second, ...
    for place, rank in [((0, 0), 0), ((2, 1), 0), ((3, 3), 1), ((5, 0), 2)]:
        y[place] = best[place][rank]
    weights = (y > 0) * random.random((B, T)).astype("float32")
    return x, y, weights, logits


def of_keras(metric, y, logits, weights):
    """Return the value of a metric for logits of the scored tokens."""
    kept = weights > 0
    y, logits, weights = y[kept], logits[kept], weights[kept]
    metric.update_state(y[None], logits[None], weights[None])
    return float(metric.result())


METRICS = {
    "accuracy": keras.metrics.SparseCategoricalAccuracy,
    "top": lambda: keras.metrics.SparseTopKCategoricalAccuracy(k=2),
    "cross-entropy": lambda: keras.metrics.SparseCategoricalCrossentropy(
        from_logits=True
    ),
    "perplexity": lambda: keras_hub.metrics.Perplexity(
        from_logits=True, mask_token_id=0
    ),
}


@pytest.mark.parametrize("logits_bytes", [1 << 28, CHUNK_BYTES])
def test_metrics_of_logits(causal_lm, data, logits_bytes):
    x, y, weights, logits = data
    given = [make() for make in METRICS.values()]
    unweighted = keras_hub.metrics.Perplexity(True, name="unweighted")
    bits = BitsPerByte(bytes_per_token=2.0)
    causal_lm.compile(
        weighted_metrics=["acc", *given, bits, lambda y, nats: nats],
        metrics={"any name": ["accuracy", unweighted]},
        logits_bytes=logits_bytes,
    )
    # Two batches of equal shape: metrics add up over them.
    found = causal_lm.evaluate(
        x, y, sample_weight=weights, batch_size=3, verbose=0
    )
    scored = (y > 0).astype("float32")
    accuracy, perplexity = METRICS["accuracy"], METRICS["perplexity"]
    expected = [
        of_keras(m(), y, logits, scored) for m in (accuracy, perplexity)
    ]
    expected.append(of_keras(accuracy(), y, logits, weights))
    expected += [of_keras(m(), y, logits, weights) for m in METRICS.values()]
    assert 0 < expected[0] < expected[-3] < 1
    nats = of_keras(METRICS["cross-entropy"](), y, logits, weights)
    expected += [nats / np.log(2) / 2, nats]
    np.testing.assert_allclose(found[1:], expected, rtol=1e-4)
    # A user may keep a metric and read its result.
    assert float(given[0].result()) == pytest.approx(expected[2])
    names = list(causal_lm.get_metrics_result())
    assert names[:4] == ["loss", "accuracy", "unweighted", "acc"]


def test_ranks_of_equal_logits_are_those_of_an_argmax():
    from keras_nc.losses import ranks

    logits = ops.convert_to_tensor([[[1.0, 3.0, 3.0, 0.0]] * 4])
    greater, before = ranks(ops.convert_to_tensor([[0, 1, 2, 3]]), logits)
    assert ops.convert_to_numpy(greater).tolist() == [[2, 0, 0, 3]]
    assert ops.convert_to_numpy(before).tolist() == [[0, 0, 1, 0]]


def losses_of(causal_lm, data, loss):
    """The loss that `evaluate` reports, and that of a step of training."""
    x, y, weights, _ = data
    causal_lm.compile(
        keras.optimizers.SGD(0.0), loss, weighted_metrics=[], run_eagerly=True
    )
    evaluated = causal_lm.evaluate(
        x, y, sample_weight=weights, batch_size=B, verbose=0
    )
    trained = causal_lm.train_on_batch(x, y, weights)
    assert float(trained) == pytest.approx(float(evaluated), rel=1e-5)
    return float(evaluated)


def squares(targets, nats):
    return nats**2


class Squares(keras.losses.Loss):
    def call(self, targets, nats):
        assert len(targets.shape) == len(nats.shape) == 2
        return nats**2


def test_losses_of_logits(causal_lm, data):
    _, y, weights, logits = data
    make = keras.losses.SparseCategoricalCrossentropy
    for options in (
        {},
        {"reduction": "sum"},
        {"reduction": "mean_with_sample_weight"},
    ):
        expected = make(from_logits=True, **options)(y, logits, weights)
        found = losses_of(causal_lm, data, make(from_logits=True, **options))
        assert found == pytest.approx(float(expected), rel=1e-5)
    ignoring = make(from_logits=True, ignore_class=int(y[3, 3]))
    expected = float(ignoring(y, logits, weights))
    assert losses_of(causal_lm, data, [ignoring]) == pytest.approx(
        expected, rel=1e-5
    )


def test_losses_of_ones_own(causal_lm, data):
    _, y, weights, logits = data
    shifted = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(shifted, y[..., None], -1)[..., 0] * (y > 0)
    total = (nats**2 * weights).sum()
    rows = np.max(weights, axis=-1)
    for loss, expected in (
        (squares, total / y.size),
        (Squares(reduction="mean"), total / y.size),
        (Squares(reduction="sum"), total),
        (
            {"any name": Squares(reduction="mean_with_sample_weight")},
            total / weights.sum(),
        ),
        (
            lambda targets, nats: ops.mean(nats, axis=-1),
            (nats.mean(-1) * rows).mean(),
        ),
        (lambda targets, nats: ops.mean(nats), nats.mean()),
    ):
        found = losses_of(causal_lm, data, loss)
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_loss_of_ones_own_trains(causal_lm, data):
    x, y, weights, _ = data
    before = causal_lm.get_weights()
    causal_lm.compile(keras.optimizers.SGD(0.1), squares, weighted_metrics=[])
    losses = [causal_lm.train_on_batch(x, y, weights) for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]
    causal_lm.set_weights(before)


class LogitAccuracy(keras.metrics.SparseCategoricalAccuracy):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, y_pred, sample_weight)


def accuracy_of_logits(y_true, y_pred):
    return keras.metrics.sparse_categorical_accuracy(y_true, y_pred)


@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
@pytest.mark.parametrize(
    "metric",
    [
        "mse",
        "ce",
        "sparse_categorical_crossentropy",
        keras.metrics.SparseCategoricalCrossentropy(),
        keras.metrics.CategoricalAccuracy(),
        keras.metrics.mean_squared_error,
        keras.metrics.MeanMetricWrapper(keras.metrics.mean_squared_error),
        keras.metrics.Mean(),
        keras_hub.metrics.Perplexity(),
        keras_hub.metrics.RougeL,
        functools.partial(keras.losses.mean_squared_error),
        TokenNats(),
        accuracy_of_logits,
        LogitAccuracy(),
    ],
    # Not `str`: a name with an address differs from process to process.
    ids=lambda metric: metric if isinstance(metric, str) else None,
)
def test_metrics_of_anything_else_are_refused(causal_lm, metric, argument):
    if metric is keras_hub.metrics.RougeL:
        pytest.importorskip("rouge_score")
    with pytest.raises(ValueError, match=r"(?s)Received: .*BitsPerByte"):
        causal_lm.compile(**{argument: [metric]})


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "crossentropy",
        "mse",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.MeanSquaredError(),
        keras.losses.sparse_categorical_crossentropy,
        functools.partial(
            keras.losses.sparse_categorical_crossentropy, from_logits=True
        ),
        lambda y, logits: keras.losses.sparse_categorical_crossentropy(
            y, logits, from_logits=True
        ),
        [TokenNats(), TokenNats()],
        Squares(reduction=None),
    ],
)
def test_losses_of_anything_else_are_refused(causal_lm, loss):
    with pytest.raises(ValueError, match="Received"):
        causal_lm.compile(loss=loss)


def test_training_needs_a_loss(causal_lm, data):
    x, y, _, _ = data
    causal_lm.compile(loss=None)
    with pytest.raises(ValueError, match="needs a loss"):
        causal_lm.fit(x, y, verbose=0)


def test_a_compiled_model_is_saved_with_its_metrics(causal_lm, data, tmp_path):
    x, y, weights, _ = data
    causal_lm.compile(
        keras.optimizers.SGD(0.1),
        loss=squares,
        metrics=[squares],
        weighted_metrics=["accuracy", keras_hub.metrics.Perplexity(True)],
        z_loss=1e-3,
        logits_bytes=CHUNK_BYTES,
        sampler="greedy",
    )
    expected = causal_lm.test_on_batch(x, y, weights)
    causal_lm.save(tmp_path / "m.keras")
    again = keras.models.load_model(
        tmp_path / "m.keras", custom_objects={"squares": squares}
    )
    assert again.z_loss == 1e-3 and again.logits_bytes == CHUNK_BYTES
    assert isinstance(again.sampler, keras_hub.samplers.GreedySampler)
    found = again.test_on_batch(x, y, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # Earlier versions have saved models with this name.
    loss = keras.saving.serialize_keras_object(TokenNats())
    sampler = keras_hub.samplers.serialize(causal_lm.sampler)
    config = {"loss": loss, "z_loss": 0.5, "sampler": sampler}
    again.compile_from_config(config)
    assert again.z_loss == 0.5
