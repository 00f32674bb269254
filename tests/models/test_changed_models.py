"""Models that are cloned, changed between calls, or interrupted."""

import keras
import numpy as np
import pytest

from keras_nc.models import ByteBackbone
from keras_nc.models import CompressedBackbone
from keras_nc.tokenizers import ByteTokenizer

TINY = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16)
TEXTS = ["one", "two", "three", "four"]


@pytest.fixture
def causal_lm(make_m1):
    keras.utils.set_random_seed(0)
    model = make_m1(8, **TINY)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def copied(layer):
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize(
    "options",
    [{}, {"clone_function": copied}, {"recursive": True}],
    ids=["plain", "function", "recursive"],
)
@pytest.mark.parametrize("kind", ["m1", "m2", "backbone"])
def test_clones(make_m1, make_m2, kind, options):
    model = (
        make_m2(ByteTokenizer(), 8, **TINY)
        if kind == "m2"
        else make_m1(8, **TINY)
    )
    x, y, weights = model.preprocessor(TEXTS)
    if kind == "backbone":
        model = model.backbone
    else:
        model.compile(
            weighted_metrics=["accuracy"], z_loss=1e-4, run_eagerly=True
        )
    clone = keras.models.clone_model(model, **options)
    assert clone.count_params() == model.count_params()
    assert not {id(v) for v in clone.variables} & {
        id(v) for v in model.variables
    }
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(clone(x)),
        keras.ops.convert_to_numpy(model(x)),
        atol=1e-6,
    )
    if kind == "m1" and not options:
        expected = model.test_on_batch(x, y, weights)
        found = clone.evaluate(x, y, sample_weight=weights, verbose=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def freeze(model):
    model.backbone.transformer_layers[0].trainable = False


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.backbone.enable_lora(2),
        lambda model: model.quantize("int8"),
        freeze,
    ],
    ids=["lora", "quantize", "freeze"],
)
def test_training_after_a_change_asks_to_compile(causal_lm, change):
    causal_lm.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    causal_lm.fit(TEXTS, verbose=0)
    change(causal_lm)
    with pytest.raises(ValueError, match="Call `compile` again"):
        causal_lm.fit(TEXTS, verbose=0)
    x, y, weights = causal_lm.preprocessor(TEXTS)
    with pytest.raises(ValueError, match="Call `compile` again"):
        causal_lm.train_on_batch(x, y, weights)
    scores = causal_lm.evaluate(TEXTS, verbose=0)
    assert np.isfinite(scores).all()
    causal_lm.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    trained = causal_lm.trainable_variables
    fixed = [np.array(v) for v in causal_lm.non_trainable_variables]
    before = [np.array(v) for v in trained]
    causal_lm.fit(TEXTS, verbose=0)
    assert any(
        np.abs(np.array(v) - b).max() > 0
        for v, b in zip(trained, before, strict=True)
    )
    for v, b in zip(causal_lm.non_trainable_variables, fixed, strict=True):
        np.testing.assert_array_equal(np.array(v), b)


@pytest.mark.parametrize(
    "rank, names",
    [
        (0, None),
        ("4", None),
        (2, ["nothing"]),
        (2, "query"),
        (2, []),
        (2, ["query", "layer_norm"]),
    ],
)
def test_lora_that_trains_nothing_is_refused(causal_lm, rank, names):
    backbone = causal_lm.backbone
    before = [weight.path for weight in backbone.trainable_weights]
    with pytest.raises(ValueError, match=r"`rank`|be names of layers"):
        backbone.enable_lora(rank, names)
    assert [weight.path for weight in backbone.trainable_weights] == before
    backbone.enable_lora(2, ["gate", "gate"])
    paths = [weight.path for weight in backbone.trainable_weights]
    assert all("gate" in path for path in paths) and len(paths) >= 2


def test_a_change_before_training_needs_no_compilation(causal_lm):
    causal_lm.compile("sgd", run_eagerly=True)
    causal_lm.backbone.enable_lora(2)
    causal_lm.fit(TEXTS, verbose=0)


def test_what_was_compiled_for_other_weights_is_forgotten(causal_lm):
    x, _, _ = causal_lm.preprocessor(TEXTS)
    before = causal_lm.predict_on_batch(x)
    causal_lm.backbone.enable_lora(2)
    for variable in causal_lm.trainable_variables:
        variable.assign(np.ones(variable.shape))
    after = causal_lm.predict_on_batch(x)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(
        after, keras.ops.convert_to_numpy(causal_lm(x)), atol=1e-5
    )


class Fails(keras.callbacks.Callback):
    """Raises an error at one point of one kind of loop."""

    def __init__(self, point):
        super().__init__()

        def fail(*args, **kwargs):
            raise RuntimeError("a full disk")

        setattr(self, point, fail)


def failing_data(batch, batches):
    for _ in range(batches):
        yield batch
    raise RuntimeError("a full disk")


def test_a_model_is_usable_after_an_error(causal_lm):
    x, y, weights = causal_lm.preprocessor(TEXTS)
    batch = (x, y, weights)

    def fit(point):
        causal_lm.fit(TEXTS, batch_size=2, callbacks=[Fails(point)], verbose=0)

    def fit_data(batches):
        data = failing_data(batch, batches)
        causal_lm.fit(data, steps_per_epoch=9, verbose=0)

    for use, steps in (
        (lambda: fit("on_train_batch_begin"), 0),
        (lambda: fit("on_train_batch_end"), 1),
        (lambda: fit("on_epoch_end"), 2),
        (lambda: fit_data(0), 0),
        # Keras takes the first batch of a generator twice on TensorFlow.
        (lambda: fit_data(2), 2 + (keras.backend.backend() == "tensorflow")),
        (
            lambda: causal_lm.evaluate(
                TEXTS, callbacks=[Fails("on_test_batch_end")], verbose=0
            ),
            0,
        ),
        (
            lambda: causal_lm.predict(
                TEXTS, callbacks=[Fails("on_predict_batch_end")], verbose=0
            ),
            0,
        ),
    ):
        causal_lm.optimizer.build(causal_lm.trainable_variables)
        before = int(causal_lm.optimizer.iterations)
        # TensorFlow wraps the error.
        with pytest.raises(Exception, match="a full disk"):
            use()
        # The learned weights are kept, and the next call works.
        assert int(causal_lm.optimizer.iterations) == before + steps
        assert np.isfinite(causal_lm.test_on_batch(*batch)).all()
    assert causal_lm.generate("on", max_length=8).startswith("on")
    causal_lm.fit(TEXTS, verbose=0)


def test_callbacks_may_generate_and_evaluate(causal_lm):
    seen = []

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.generate("on", max_length=8))
            self.model.evaluate(TEXTS, verbose=0)

    causal_lm.fit(TEXTS, batch_size=2, callbacks=[Looks()], verbose=0)
    assert len(seen) == 2 and int(causal_lm.optimizer.iterations) == 2


def test_pure_float16_is_not_trained(make_m1):
    model = make_m1(8, dtype="float16", **TINY)
    with pytest.raises(ValueError, match="mixed_float16"):
        model.fit(TEXTS, verbose=0)
    if keras.backend.backend() == "jax":
        return  # which has no float16 products on CPUs
    model = make_m1(8, dtype="mixed_float16", **TINY)
    losses = model.fit(TEXTS, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


def test_numpy_integers_are_settings(make_m1, tmp_path):
    from keras_nc.models import ByteCausalLMPreprocessor

    sizes = {name: np.int64(size) for name, size in TINY.items()}
    backbone = CompressedBackbone(
        np.int64(300),
        head_dim=np.int32(4),
        num_buckets=np.int64(8),
        max_distance=np.uint16(20),
        gradient_checkpointing=np.bool_(False),
        **sizes,
    )
    plain = CompressedBackbone(
        300,
        head_dim=4,
        num_buckets=8,
        max_distance=20,
        name=backbone.name,
        **TINY,
    )
    assert backbone.get_config() == plain.get_config()
    backbone.save_to_preset(tmp_path)
    again = CompressedBackbone.from_preset(tmp_path)
    assert again.get_config() == plain.get_config()
    ByteBackbone.from_size("3m", np.int64(259), num_layers=np.int64(1))
    preprocessor = ByteCausalLMPreprocessor(sequence_length=np.int64(4))
    assert type(preprocessor.get_config()["sequence_length"]) is int
    with pytest.raises(ValueError, match="num_layers"):
        CompressedBackbone(300, **{**TINY, "num_layers": True})
    with pytest.raises(ValueError, match="sequence_length=0"):
        ByteCausalLMPreprocessor(sequence_length=0)


def test_export_gives_the_same_logits_or_is_refused(make_m1, tmp_path):
    causal_lm = make_m1(num_layers=1)
    ids = np.array([[1, 40, 50]], "int32")
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="KERAS_BACKEND is 'tensorflow'"):
            causal_lm.export(tmp_path / "exported")
        return
    import tensorflow as tf

    causal_lm.export(tmp_path / "exported", verbose=False)
    module = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(
        module.serve(inputs), causal_lm(inputs), atol=1e-5
    )
