"""The loss collapses, and training continues from an older state."""

import csv
import json
import math

import keras
import numpy as np
import pytest

from keras_nc.data import write_shards
from keras_nc.metrics import BitsPerByte
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.training import get_optimizer
from keras_nc.training import has_collapsed
from keras_nc.training import resumable_fit
from keras_nc.training import training_flops_per_token
from keras_nc.training.fit import seed_of_restart
from keras_nc.training.fit import unigram_nats

SETTINGS = dict(
    sequence_length=32,
    batch_size=4,
    steps=50,
    steps_per_epoch=10,
    tensorboard=False,
)


class UnluckyCausalLM(ByteCausalLM):
    """Loses its embeddings when its third epoch begins, a few times."""

    def fit(self, *args, callbacks, **kwargs):
        unlucky = self

        class Accident(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2 and unlucky.accidents:
                    unlucky.accidents -= 1
                    table = unlucky.backbone.token_embedding.embeddings
                    table.assign(np.full(table.shape, unlucky.value))

        return super().fit(*args, callbacks=[*callbacks, Accident()], **kwargs)


@pytest.fixture(scope="module")
def compiled():
    """One model for all runs, because compilation is slow."""
    keras.utils.set_random_seed(1)
    model = UnluckyCausalLM(
        ByteBackbone(
            num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32
        )
    )
    model.compile(
        optimizer=get_optimizer("adamw", 0.02),
        weighted_metrics=[BitsPerByte(bytes_per_token=1.0)],
    )
    model.optimizer.build(model.trainable_variables)
    variables = model.variables + model.optimizer.variables
    return model, [
        (v, np.array(keras.ops.convert_to_numpy(v))) for v in variables
    ]


@pytest.fixture
def make_model(compiled):
    """A function that gives the untrained model."""

    def make(accidents=0, value=0.0):
        model, variables = compiled
        for variable, value_at_first in variables:
            variable.assign(value_at_first)
        model.accidents = accidents
        model.value = value
        return model

    return make


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Text whose next byte follows from the last one."""
    folder = tmp_path_factory.mktemp("shards")
    documents = [b"abcdefgh" * 2_000]
    return write_shards(documents, ByteTokenizer(), folder, progress=False)


@pytest.mark.parametrize(
    ("loss", "best", "expected"),
    [
        (math.nan, 5.0, True),
        (math.inf, math.inf, True),
        (9.0, math.inf, False),  # the first epoch
        (3.1, 2.8, False),  # little learned yet
        (2.4, 2.0, False),  # noise, or a bad patch
        (2.6, 2.0, True),
        (5.5, 2.0, True),
    ],
)
def test_the_rule(loss, best, expected):
    assert has_collapsed(loss, best, unigram=3.0) == expected


def test_unigram_loss_is_the_entropy_of_the_ids(shards):
    # And one end id in 16,001.
    assert unigram_nats([shards]) == pytest.approx(math.log(8), abs=1e-3)


def test_a_collapse_is_reported_then_restarted_then_given_up(
    make_model, shards, tmp_path
):
    model = make_model(accidents=4)
    with pytest.raises(ValueError, match="must not collapse") as caught:
        resumable_fit(model, shards, tmp_path, **SETTINGS)
    for part in ("steps 21 to 30", "of step 20", 'on_collapse="restart"'):
        assert part in str(caught.value)
    restart = dict(on_collapse="restart", max_restarts=2)
    with pytest.raises(ValueError, match="after 2 of max_restarts=2"):
        resumable_fit(model, shards, tmp_path, **restart, **SETTINGS)
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    assert [row["step"] for row in state["restarts"]] == [20, 10]
    assert model.accidents == 0
    history = resumable_fit(
        model, shards, tmp_path, on_collapse="ignore", **SETTINGS
    )
    assert [row["step"] for row in history] == [10, 20, 30, 40, 50]


def test_a_lost_loss_restarts_and_an_interrupted_run_does_the_same(
    make_model, shards, tmp_path, monkeypatch, capsys
):
    settings = dict(on_collapse="restart", peak_flops=1e12, **SETTINGS)
    model = make_model(1, math.nan)
    history = resumable_fit(model, shards, tmp_path / "whole", **settings)
    said = capsys.readouterr().err
    assert "loss=nan since step 21. Restart 1 of 3, from step 20." in said
    assert "% MFU" in said
    assert [row["step"] for row in history] == [10, 20, 30, 40, 50]
    assert all(math.isfinite(row["loss"]) for row in history)
    with open(tmp_path / "whole" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    flops = training_flops_per_token(model.backbone, 32)
    for row in rows:
        mfu = float(row["tokens_per_second"]) * flops / 1e12
        assert float(row["mfu"]) == pytest.approx(mfu, abs=1e-4)

    def stop(self, index, logs=None):
        if index == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.Callback, "on_epoch_begin", stop)
        model = make_model(1, math.nan)
        with pytest.raises(KeyboardInterrupt):
            resumable_fit(model, shards, tmp_path / "parts", **settings)
    # The number of restarts is part of the state.
    resumed = resumable_fit(
        make_model(), shards, tmp_path / "parts", **SETTINGS
    )
    np.testing.assert_allclose(
        [row["loss"] for row in resumed],
        [row["loss"] for row in history],
        atol=1e-5,
    )


def test_a_restart_reads_the_text_in_another_order():
    seeds = [seed_of_restart(7, restarts) for restarts in range(4)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 4
