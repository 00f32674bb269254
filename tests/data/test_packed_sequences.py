import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.data import PackedSequences
from keras_nc.data import tf_dataset
from tests.data.conftest import B
from tests.data.conftest import T
from tests.data.conftest import assert_equal


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    sequence_length=st.integers(1, 20),
    batch_size=st.integers(1, 5),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_token_is_a_target_once(
    sizes,
    sequence_length,
    batch_size,
    shuffle,
    seed,
    epoch,
    tmp_path_factory,
    make_shards,
):
    rng = np.random.default_rng(sum(sizes))
    documents = [rng.bytes(size) for size in sizes]
    folder = tmp_path_factory.mktemp("any")
    shards = make_shards(documents, folder, shard_tokens=25)
    data = PackedSequences(
        shards,
        sequence_length,
        batch_size,
        seed=seed,
        shuffle=shuffle,
        drop_remainder=False,
    )
    targets, total = [], 0
    for index in range(len(data)):
        x, y, weight = data.batch(epoch * data.steps_per_epoch + index)
        for array in (x["token_ids"], x["padding_mask"], y):
            assert array.shape == (batch_size, sequence_length)
            assert array.dtype == "int32"
        assert weight.shape == y.shape
        assert weight.dtype == "float32"
        # x is y, shifted by one.
        assert (x["token_ids"][:, 0] == START_ID).all()
        assert (x["token_ids"][:, 1:] == y[:, :-1]).all()
        # Pads have weight 0, all else 1. The mask is the weight, shifted by
        # one.
        assert ((y != PAD_ID) == (weight == 1)).all()
        assert ((y == PAD_ID) == (weight == 0)).all()
        assert (x["padding_mask"][:, 0] == 1).all()
        assert (x["padding_mask"][:, 1:] == weight[:, :-1]).all()
        targets += [row[row != PAD_ID].tolist() for row in y]
        total += weight.sum()
    assert total == shards.num_tokens
    stream = shards.tokens(0, shards.num_tokens).tolist()
    sequences = [
        stream[start : start + sequence_length]
        for start in range(0, len(stream), sequence_length)
    ]
    targets = [row for row in targets if row]
    if shuffle:
        assert sorted(targets) == sorted(sequences)
    else:
        assert targets == sequences


def test_drop_remainder(shards):
    data = PackedSequences(shards, T, B)
    assert data.drop_remainder
    assert len(data) == data.num_sequences // B
    assert data.num_sequences % B, "the test needs a remainder"
    padded = PackedSequences(shards, T, B, shuffle=False)
    assert not padded.drop_remainder
    assert len(padded) == len(data) + 1
    assert sum(weight.sum() for _, _, weight in padded) == shards.num_tokens


def test_same_seed_and_step_same_batch(shards):
    a = PackedSequences(shards, T, B, seed=5)
    b = PackedSequences(shards, T, B, seed=5)
    steps = [0, 40, 3, 1000, 3, 0]
    for step in steps:
        assert_equal(a.batch(step), b.batch(step))
    batches = {
        PackedSequences(shards, T, B, seed=seed).batch(0)[1].tobytes()
        for seed in range(10)
    }
    assert len(batches) > 5
    epochs = {
        a.batch(epoch * a.steps_per_epoch)[1].tobytes() for epoch in range(10)
    }
    assert len(epochs) > 5


@pytest.mark.parametrize("start", [0, 1, 17, 60, 149])
def test_restart_gives_the_tail(shards, start):
    run = PackedSequences(shards, T, B, seed=1, steps=150)
    rest = PackedSequences(
        shards, T, B, seed=1, steps=150 - start, start_step=start
    )
    assert len(run) == 150
    assert 2 * run.steps_per_epoch < 150
    for index in range(len(rest)):
        assert_equal(rest[index], run[start + index])


def test_iteration_ends(shards):
    data = PackedSequences(shards, T, B, steps=5)
    assert len(list(data)) == 5
    for index in (-1, 5):
        with pytest.raises(IndexError, match="from 0 to 4"):
            data[index]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"shuffle": False},
        {"seed": 3, "steps": 130, "start_step": 20},
    ],
)
def test_tf_dataset_gives_the_same_batches(shards, kwargs):
    data = PackedSequences(shards, T, B, **kwargs)
    dataset = tf_dataset(data)
    x, y, sample_weight = dataset.element_spec
    for spec in (*x.values(), y, sample_weight):
        assert spec.shape == (B, T)
    assert dataset.cardinality() == len(data)
    count = 0
    for index, batch in enumerate(dataset):
        assert_equal(batch, data[index])
        count += 1
    assert count == len(data)


class Recorder(keras.Model):
    """Returns sums that identify the batches it saw."""

    def call(self, x):
        return keras.ops.cast(x["token_ids"], "float32")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_keras_predict(shards, workers):
    data = PackedSequences(shards, T, B, shuffle=False, workers=workers)
    model = Recorder()
    model.predict_on_batch(data[0][0])  # built: see `workers`
    predicted = model.predict(data, verbose=0)
    expected = np.concatenate([x["token_ids"] for x, _, _ in data])
    np.testing.assert_array_equal(predicted, expected)


def small_model():
    token_ids = keras.Input((T,), dtype="int32", name="token_ids")
    mask = keras.Input((T,), dtype="int32", name="padding_mask")
    hidden = keras.layers.Embedding(259, 4)(token_ids)
    logits = keras.layers.Dense(259)(hidden)
    model = keras.Model({"token_ids": token_ids, "padding_mask": mask}, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    return model


def test_keras_fit_in_short_epochs(shards):
    """Epochs of a few steps see one step after the other."""

    class Recording(PackedSequences):
        def batch(self, step):
            seen.append(step)
            return super().batch(step)

    seen = []
    data = Recording(shards, T, B, steps=12)
    keras.utils.set_random_seed(0)
    model = small_model()
    fit = {"steps_per_epoch": 4, "shuffle": False, "verbose": 0}
    history = model.fit(data, epochs=3, **fit)
    assert np.isfinite(history.history["loss"]).all()
    assert len(history.history["loss"]) == 3
    # Keras looks at the first batches once more, to build the model.
    assert [s for i, s in enumerate(seen) if s not in seen[:i]] == [*range(12)]
    # The same by the other pipeline.
    keras.utils.set_random_seed(0)
    other = small_model()
    other_history = other.fit(tf_dataset(data), epochs=3, **fit)
    np.testing.assert_allclose(
        other_history.history["loss"], history.history["loss"], rtol=1e-5
    )


def test_keras_evaluate_counts_every_token(shards):
    data = PackedSequences(shards, T, B, shuffle=False)
    model = small_model()
    loss = model.evaluate(data, verbose=0)
    total = 0.0
    for x, y, weight in data:
        logits = np.asarray(model.predict_on_batch(x), "float64")
        nats = np.log(np.exp(logits).sum(-1))
        nats -= np.take_along_axis(logits, y[..., None], -1)[..., 0]
        total += (nats * weight).sum()
    assert np.isfinite(loss)
    assert abs(total / shards.num_tokens - np.log(259)) < 0.1


def test_short_sequences_are_long_ones_cut(shards):
    """The same tokens, and every piece begins as its text does."""
    settings = dict(drop_remainder=False, seed=5)
    long = PackedSequences(shards, 12, 2, **settings)
    mixed = PackedSequences(
        shards, 12, 2, **settings, short_length=3, short_every=2
    )
    for step in (0, long.steps_per_epoch - 2, long.steps_per_epoch - 1, 101):
        batch, expected = mixed.batch(step), long.batch(step)
        if step % 2 == 0:
            assert_equal(batch, expected)
            continue
        x, y, sample_weight = batch
        assert y.shape == (8, 3)
        np.testing.assert_array_equal(y.ravel(), expected[1].ravel())
        np.testing.assert_array_equal(
            sample_weight.ravel(), expected[2].ravel()
        )
        np.testing.assert_array_equal(x["token_ids"][:, 0], START_ID)
        np.testing.assert_array_equal(x["token_ids"][:, 1:], y[:, :-1])
        # The start id counts as no padding, even before nothing but pads.
        np.testing.assert_array_equal(x["padding_mask"][:, 0], 1)
        np.testing.assert_array_equal(
            x["padding_mask"][:, 1:], y[:, :-1] != PAD_ID
        )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sequence_length": 0}, "sequence_length=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"steps": 0}, "steps=0"),
        ({"start_step": -1}, "start_step=-1"),
        ({"batch_size": 10_000}, "drop_remainder=False"),
        ({"sequence_length": 10_000}, "drop_remainder=False"),
    ],
)
def test_what_does_not_fit(shards, kwargs, message):
    kwargs = {"sequence_length": T, "batch_size": B, **kwargs}
    with pytest.raises(ValueError, match=message):
        PackedSequences(shards, **kwargs)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers_of_numpy(shards, kind):
    settings = dict(
        sequence_length=20, batch_size=20, seed=3, steps=20, start_step=100
    )
    expected = PackedSequences(shards, **settings)
    data = PackedSequences(
        shards, **{name: kind(value) for name, value in settings.items()}
    )
    assert len(data) == len(expected)
    for index in (0, 19):
        assert_equal(data[kind(index)], expected[index])
    assert_equal(data.batch(kind(100)), expected.batch(100))
    for name in settings:
        with pytest.raises(ValueError, match=name):
            PackedSequences(shards, **{**settings, name: 2.0})


def test_one_short_sequence(shards):
    data = PackedSequences(shards, 10_000, 2, shuffle=False)
    assert len(data) == 1
    _, _, weight = data[0]
    assert weight.sum() == shards.num_tokens
