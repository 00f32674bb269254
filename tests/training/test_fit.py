import csv
import json
import shutil

import keras
import numpy as np
import pytest

from keras_nc.data import default_corpus
from keras_nc.data import write_shards
from keras_nc.metrics import BitsPerByte
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.training import get_optimizer
from keras_nc.training import resumable_fit

SETTINGS = dict(sequence_length=32, batch_size=4, steps=12, steps_per_epoch=3)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    documents = list(default_corpus("validation", max_bytes=30_000))
    folder = tmp_path_factory.mktemp("shards")
    return write_shards(documents, ByteTokenizer(), folder, progress=False)


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    text = [b"The probe is scored after every epoch. " * 8]
    return write_shards(text, ByteTokenizer(), folder, progress=False)


@pytest.fixture(scope="module")
def uninterrupted(shards, probe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    model = make_model()
    history = resumable_fit(model, shards, folder, held_out=probe, **SETTINGS)
    return folder, model, history


def make_model(
    learning_rate=0.01, z_loss=1e-4, steps_per_execution=1, **kwargs
):
    keras.utils.set_random_seed(1)
    model = ByteCausalLM(
        ByteBackbone(
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            **kwargs,
        )
    )
    model.compile(
        optimizer=get_optimizer(
            "adamw", learning_rate, schedule="rsqrt", warmup_steps=4
        ),
        weighted_metrics=[BitsPerByte(bytes_per_token=1.0)],
        z_loss=z_loss,
        steps_per_execution=steps_per_execution,
    )
    return model


class StoppedError(Exception):
    pass


def fit_until(epoch, shards, probe, folder, monkeypatch):
    """Train in a model that raises when an epoch begins."""

    def stop(self, index, logs=None):
        if index == epoch:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(keras.callbacks.Callback, "on_epoch_begin", stop)
        with pytest.raises(StoppedError):
            resumable_fit(
                make_model(), shards, folder, held_out=probe, **SETTINGS
            )


def losses(history):
    return [
        [
            row[key]
            for key in ("loss", "bits_per_byte", "held_out_bits_per_byte")
        ]
        for row in history
    ]


def test_training_learns_and_says_so(uninterrupted):
    folder, _, history = uninterrupted
    assert [row["step"] for row in history] == [3, 6, 9, 12]
    assert [row["tokens"] for row in history] == [384, 768, 1152, 1536]
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)
    assert history[-1]["bits_per_byte"] < history[0]["bits_per_byte"]
    with open(folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [r["loss"] for r in history]
    assert any((folder / "tensorboard").iterdir())


def test_an_interrupted_run_ends_with_the_same_losses(
    uninterrupted, shards, probe, tmp_path, monkeypatch
):
    _, model, history = uninterrupted
    fit_until(1, shards, probe, tmp_path, monkeypatch)
    fit_until(3, shards, probe, tmp_path, monkeypatch)
    resumed = make_model()
    got = resumable_fit(resumed, shards, tmp_path, held_out=probe, **SETTINGS)
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)
    for ours, theirs in zip(resumed.weights, model.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(ours),
            keras.ops.convert_to_numpy(theirs),
            atol=1e-5,
        )


def test_a_run_stops_when_told_and_saves_when_it_stops(
    uninterrupted, shards, probe, tmp_path
):
    _, _, history = uninterrupted
    answers = iter([False, True])
    settings = dict(held_out=probe, save_seconds=3600.0, **SETTINGS)
    got = resumable_fit(
        make_model(), shards, tmp_path, stop=lambda: next(answers), **settings
    )
    assert [row["step"] for row in got] == [3, 6]
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    assert state["kept"] == [6], "not the first epoch"
    got = resumable_fit(make_model(), shards, tmp_path, **settings)
    np.testing.assert_allclose(losses(got), losses(history), atol=1e-5)
    state = json.loads((tmp_path / "checkpoint" / "state.json").read_text())
    assert state["kept"] == [6, 12], "the last epoch, not the third"


def test_a_complete_run_is_loaded(uninterrupted, shards, probe, monkeypatch):
    folder, model, history = uninterrupted
    monkeypatch.setattr(keras.Model, "fit", None)  # would fail if called
    again = make_model()
    got = resumable_fit(again, shards, folder, held_out=probe, **SETTINGS)
    assert got == history
    ids = np.arange(3, 35)[None]
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(again(inputs)),
        keras.ops.convert_to_numpy(model(inputs)),
        atol=1e-6,
    )


def test_the_last_two_states_are_kept(uninterrupted):
    folder, _, _ = uninterrupted
    names = sorted(path.name for path in (folder / "checkpoint").iterdir())
    assert names == [
        "state.json",
        "step-000000009.weights.h5",
        "step-000000012.weights.h5",
    ]


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (dict(batch_size=5), "batch_size=5; there it is 4"),
        (dict(seed=3), "seed=3"),
        (dict(steps=13), "multiple of `steps_per_epoch`"),
        (dict(keep=0), "`keep` must be positive"),
        (dict(on_collapse="pray"), "one of .'stop', 'restart', 'ignore'"),
        (dict(peak_flops=0), "`peak_flops` must be positive"),
    ],
)
def test_other_settings_are_refused(uninterrupted, shards, changed, match):
    folder, _, _ = uninterrupted
    with pytest.raises(ValueError, match=match):
        resumable_fit(make_model(), shards, folder, **{**SETTINGS, **changed})


def test_another_optimizer_is_refused(uninterrupted, shards):
    folder, _, _ = uninterrupted
    with pytest.raises(ValueError, match="another run"):
        resumable_fit(make_model(0.5), shards, folder, **SETTINGS)


def test_a_damaged_checkpoint_is_refused(shards, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    state = tmp_path / "checkpoint" / "state.json"
    state.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        resumable_fit(make_model(), shards, tmp_path, **SETTINGS)


def test_missing_weights_are_told(uninterrupted, shards, tmp_path):
    folder, _, _ = uninterrupted
    (tmp_path / "checkpoint").mkdir()
    state = json.loads((folder / "checkpoint" / "state.json").read_text())
    (tmp_path / "checkpoint" / "state.json").write_text(json.dumps(state))
    with (
        pytest.warns(UserWarning, match="from an older state"),
        pytest.raises(ValueError, match=r"000009.*damaged or missing"),
    ):
        resumable_fit(make_model(), shards, tmp_path, **SETTINGS)


def test_batches_of_short_sequences_are_mixed_in(shards, tmp_path):
    """A run goes on with the same mixture; another one is refused."""
    settings = dict(short_length=4, short_every=3, **SETTINGS)
    unbroken = resumable_fit(
        make_model(), shards, tmp_path / "whole", **settings
    )
    assert len(unbroken) == 4 and unbroken[-1]["loss"] < unbroken[0]["loss"]
    tokens = SETTINGS["sequence_length"] * SETTINGS["batch_size"]
    assert unbroken[-1]["tokens"] == 12 * tokens
    plain = resumable_fit(make_model(), shards, tmp_path / "plain", **SETTINGS)
    # Its third step has other contexts.
    assert plain[0]["loss"] != unbroken[0]["loss"]
    with pytest.raises(ValueError, match="short"):
        resumable_fit(make_model(), shards, tmp_path / "whole", **SETTINGS)
    with pytest.raises(ValueError, match="must divide"):
        resumable_fit(
            make_model(), shards, tmp_path, short_length=5, **SETTINGS
        )


@pytest.mark.parametrize("document_masks", [False, True])
def test_a_mixture_goes_on_where_it_was_killed(
    shards, probe, tmp_path, document_masks
):
    def run(folder, parts=(shards, probe), stop=None, **changed):
        model = make_model(document_masks=document_masks)
        settings = {"packing": "whole", "weights": [3, 1], "seed": 5}
        settings = {**SETTINGS, **settings, **changed}
        rows = resumable_fit(
            *(model, list(parts), tmp_path / folder),
            held_out=probe,
            tensorboard=False,
            progress=False,
            stop=stop,
            **settings,
        )
        return model.get_weights(), rows

    expected, rows = run("whole")
    calls = iter([False, True])
    run("killed", stop=lambda: next(calls))
    found, again = run("killed")
    for weight, value in zip(found, expected, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
    # Rows have pads, which are no tokens.
    assert 0 < rows[0]["tokens"] < 3 * 4 * 32
    for changed in (
        {"weights": [1, 3]},
        {"weights": None},
        {"packing": "joined"},
        {"parts": (probe, shards)},
    ):
        with pytest.raises(ValueError, match="holds another run"):
            run("killed", **changed)


def test_a_lost_loss_is_not_kept(shards, tmp_path):
    model = make_model(learning_rate=1e30, z_loss=0.0)
    with pytest.raises(ValueError, match="must stay finite"):
        resumable_fit(model, shards, tmp_path, tensorboard=False, **SETTINGS)
    assert not (tmp_path / "metrics.csv").exists() or "nan" not in (
        (tmp_path / "metrics.csv").read_text()
    )


def test_a_run_goes_on_with_gradient_checkpointing(
    uninterrupted, shards, tmp_path
):
    """An error after step 9, as when memory runs out."""
    folder, _, history = uninterrupted
    shutil.copytree(folder / "checkpoint", tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    state.update(step=9, kept=[9], history=state["history"][:3])
    path.write_text(json.dumps(state))
    model = make_model(gradient_checkpointing=True)
    got = resumable_fit(model, shards, tmp_path, **SETTINGS)
    assert [row["step"] for row in got] == [3, 6, 9, 12]
    for key in ("loss", "bits_per_byte"):
        assert got[-1][key] == pytest.approx(history[-1][key], abs=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras takes one step at a time."
)
def test_several_steps_at_once_are_the_same_run(
    uninterrupted, shards, probe, tmp_path
):
    model = make_model(steps_per_execution=3)
    history = resumable_fit(
        model, shards, tmp_path / "run", held_out=probe, **SETTINGS
    )
    for row, other in zip(history, uninterrupted[2], strict=True):
        assert row["step"] == other["step"]
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)
    model = make_model(steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        resumable_fit(model, shards, tmp_path / "other", **SETTINGS)
