import json

import keras
import numpy as np
import pytest

from keras_nc.training import InverseSquareRoot
from keras_nc.training import get_optimizer


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_inverse_square_root_is_the_papers():
    schedule = InverseSquareRoot(1.0, warmup_steps=10_000)
    expected = [0.01, 0.01, 0.01, 1e-3]
    got = rates(schedule, (0, 5_000, 10_000, 1_000_000))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_ramp_rises_to_the_flat_rate():
    schedule = InverseSquareRoot(1.0, warmup_steps=4, ramp=True)
    got = rates(schedule, range(5))
    np.testing.assert_allclose(got, [0.125, 0.25, 0.375, 0.5, 0.5], rtol=1e-6)


def test_a_schedule_survives_its_configuration():
    schedule = InverseSquareRoot(2.0, warmup_steps=7, ramp=True)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(schedule)
    )
    assert rates(copy, range(20)) == rates(schedule, range(20))


def test_warmup_has_a_step():
    with pytest.raises(ValueError, match="warmup_steps=0"):
        InverseSquareRoot(warmup_steps=0)


@pytest.mark.parametrize("name", ["adafactor", "adamw", "muon"])
@pytest.mark.parametrize("schedule", ["rsqrt", "cosine", "constant"])
def test_every_optimizer_peaks_at_its_rate(name, schedule):
    optimizer = get_optimizer(
        name, 0.02, schedule=schedule, warmup_steps=10, steps=100
    )
    rate = optimizer.get_config()["learning_rate"]
    if schedule == "constant":
        assert rate == pytest.approx(0.02)
        return
    schedule = keras.saving.deserialize_keras_object(rate)
    got = rates(schedule, (0, 10, 50, 99))
    assert max(got) == pytest.approx(0.02, rel=1e-5)
    assert got[3] < got[2] < got[1]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(name="sgd"), "name='sgd'"),
        (dict(schedule="linear"), "schedule='linear'"),
        (dict(schedule="cosine"), "steps=None"),
        (dict(schedule="cosine", warmup_steps=9, steps=9), "steps=9"),
        (dict(schedule="cosine", warmup_steps=0, steps=9), "warmup_steps=0"),
        (dict(learning_rate=float("nan")), "learning_rate=nan"),
        (dict(learning_rate=-1), "learning_rate=-1"),
    ],
)
def test_odd_optimizers_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        get_optimizer(**arguments)


@pytest.mark.parametrize("schedule", ["rsqrt", "cosine", "constant"])
def test_numpy_numbers_are_settings(schedule):
    plain, others = (
        get_optimizer(
            "adamw",
            number(0.5),
            schedule=schedule,
            warmup_steps=integer(10),
            steps=integer(100),
        )
        for number, integer in ((float, int), (np.float32, np.int64))
    )
    config = json.dumps(keras.saving.serialize_keras_object(others))
    again = keras.saving.deserialize_keras_object(json.loads(config))
    name = plain.name
    assert {**again.get_config(), "name": name} == plain.get_config()
    with pytest.raises(TypeError, match="`warmup_steps` must be an integer"):
        get_optimizer(warmup_steps=1.5)
