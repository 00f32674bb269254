"""Interrupt writing at any point, and read the result."""

import os
import shutil

import keras
import pytest

from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.training.checkpoint import Checkpoint

RUN = {"seed": 0}


class KilledError(BaseException):
    pass


@pytest.fixture(scope="module")
def model():
    model = ByteCausalLM(
        ByteBackbone(
            num_layers=1, num_heads=1, hidden_dim=8, intermediate_dim=8
        )
    )
    model.compile()
    model.optimizer.build(model.trainable_variables)
    return model


def scale(model):
    """The variable that tells which state was loaded."""
    return model.backbone.layer_norm.trainable_variables[0]


def save(checkpoint, model, state, step):
    scale(model).assign(keras.ops.full((8,), float(step)))
    model.optimizer.iterations.assign(step)
    history = [*state["history"], {"step": step}]
    state = {**state, "step": step, "history": history}
    return checkpoint.save(model, state)


def saved(folder, model, steps, keep=2):
    checkpoint = Checkpoint(folder, RUN, keep)
    state = checkpoint.read()
    for step in steps:
        state = save(checkpoint, model, state, step)
    return checkpoint, state


def restored(checkpoint, model):
    scale(model).assign(keras.ops.zeros((8,)))
    state = checkpoint.restore(model)
    step = state["step"]
    assert keras.ops.convert_to_numpy(scale(model))[0] == step
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == step
    assert [row["step"] for row in state["history"]][-1:] == [step]
    assert state["kept"][-1] == step
    return state


class Killer:
    """Simulate the end of the process at the n-th change of a file."""

    def __init__(self, monkeypatch, at):
        self.left = at
        self.dead = False
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, function):
        def wrapped(*args, **kwargs):
            # A killed process does not clean up.
            if self.dead or self.left == 0:
                self.dead = True
                raise KilledError
            self.left -= 1
            return function(*args, **kwargs)

        return wrapped


def test_cut_off_anywhere_a_whole_state_is_left(model, tmp_path, monkeypatch):
    saved(tmp_path / "before", model, [3, 6])
    found = []
    for at in range(4):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "before", folder)
        checkpoint = Checkpoint(folder, RUN, keep=2)
        state = checkpoint.read()
        with monkeypatch.context() as patch:
            killer = Killer(patch, at)
            try:
                save(checkpoint, model, state, 9)
            except KilledError:
                assert killer.dead
        state = restored(checkpoint, model)
        found.append((state["step"], killer.dead))
        # When it continues, it removes leftover files.
        for step in range(state["step"] + 3, 13, 3):
            state = save(checkpoint, model, state, step)
        assert sorted(path.name for path in folder.iterdir()) == [
            "state.json",
            "step-000000009.weights.h5",
            "step-000000012.weights.h5",
        ]
    # Before weights, state, deletion; and not at all.
    assert found == [(6, True), (6, True), (9, True), (9, False)]


@pytest.mark.parametrize("damage", ["cut", "missing", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before(model, tmp_path, damage):
    checkpoint, _ = saved(tmp_path, model, [3, 6, 9], keep=3)
    path = tmp_path / "step-000000009.weights.h5"
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(data[: len(data) // 2 if damage == "cut" else 0])
    with pytest.warns(UserWarning, match="000009.*Training continues from an"):
        state = restored(checkpoint, model)
    assert state["kept"] == [3, 6]
    save(checkpoint, model, state, 9)
    assert restored(checkpoint, model)["kept"] == [3, 6, 9]


def test_going_back_in_vain_goes_back_further(model, tmp_path):
    checkpoint, state = saved(tmp_path, model, [3, 6, 9])
    state = checkpoint.go_back(state, {"why": "first"})
    assert restored(checkpoint, model) == state
    assert state["restarts"] == [{"step": 9, "why": "first"}]
    state = checkpoint.go_back(state, {"why": "second"})
    assert [restart["step"] for restart in state["restarts"]] == [9, 6]
    assert restored(checkpoint, model)["kept"] == [6]
    # There is nothing before.
    state = checkpoint.go_back(state, {"why": "third"})
    assert [restart["step"] for restart in state["restarts"]] == [9, 6, 6]
    # New states count as good until they are tried.
    state = save(checkpoint, model, state, 9)
    state = checkpoint.go_back(state, {"why": "fourth"})
    assert state["restarts"][-1]["step"] == 9


@pytest.mark.parametrize(
    "before", [{}, {"gradient_checkpointing": False}], ids=str
)
def test_memory_may_be_saved_later(model, tmp_path, before):
    """This also holds for runs that began before the argument existed."""
    run = {**RUN, "model": {"num_layers": 1, **before}}
    save(Checkpoint(tmp_path, run), model, Checkpoint(tmp_path, run).read(), 3)
    now = {**RUN, "model": {"num_layers": 1, "gradient_checkpointing": True}}
    assert restored(Checkpoint(tmp_path, now), model)["step"] == 3
    now["model"]["num_layers"] = 2
    with pytest.raises(ValueError, match="another run"):
        Checkpoint(tmp_path, now).read()


def test_fewer_states_are_kept_when_asked(model, tmp_path):
    saved(tmp_path, model, [3, 6, 9], keep=3)
    state = Checkpoint(tmp_path, RUN, keep=1).read()
    assert state["kept"] == [3, 6, 9]
    save(Checkpoint(tmp_path, RUN, keep=1), model, state, 12)
    assert len(list(tmp_path.glob("*.h5"))) == 1
