"""Save and load the states from which an interrupted run continues."""

import contextlib
import json
import pathlib
import warnings

import h5py
import keras

from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import atomic_path
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import make_folder
from keras_nc.training.run import check_same_run
from keras_nc.training.run import to_json

_STATE = "state.json"
_WEIGHTS = "step-{:09d}.weights.h5"
#: Weights, and temporary files of a process that was killed while writing.
_OURS = ("step-*.weights.h5", f"{_STATE}.*.tmp")
#: Group of a weights file that Keras does not write.
_ADAPTED = "adapted"


class Checkpoint:
    """The last complete states of one training run.

    `save` first writes the weights of model and optimizer to a file that is
    named by its step. Then it replaces the state, which lists such steps. Last,
    it deletes the weights that the state does not list. So the state only lists
    weights that exist, no matter when the process is killed.

    The state is a dict: `run`; `step`, the last one; `kept`, the steps whose
    weights exist, oldest first; `history`, rows with a `step` each; and
    `restarts`, one dict for each call of `go_back`.

    Args:
        directory: Folder of the checkpoint, created if it does not exist.
        run: dict of JSON values that describes the run. A checkpoint of
            another run is refused (`run.check_same_run`).
        keep: int. Number of states to keep, at least 1.
    """

    def __init__(self, directory, run, keep=1):
        self.keep = as_integer("keep", keep, 0)
        if self.keep < 1:
            raise ValueError(
                f"`keep` must be at least 1. Received: keep={keep}"
            )
        self.directory = pathlib.Path(directory)
        self.run = to_json(run)

    def read(self):
        """Return the last state, a dict; step 0 if the run has not begun.

        Raises:
            ValueError: If the state is damaged or belongs to another run.
        """
        path = self.directory / _STATE
        if not path.exists():
            return {
                "run": self.run,
                "step": 0,
                "kept": [],
                "history": [],
                "restarts": [],
            }
        try:
            state = json.loads(path.read_bytes())
            run = state["run"]
            state.setdefault("kept", [state["step"]])
            state.setdefault("restarts", [])
            state["history"], run.get
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                "The state of a run must be as it was saved. Received: "
                f"{path}, which is damaged: {error}. Delete {self.directory} "
                "and train again."
            ) from error
        check_same_run(self.run, run, self.directory)
        # A run keeps its held-out text, even if some calls leave it out.
        said = {k: v for k, v in self.run.items() if v is not None}
        self.run = {**run, **said}
        return state

    def restore(self, model):
        """Load the last state that can be read into a compiled model.

        If weights are damaged or missing, warn and load an older state, because
        the lost steps can be repeated.

        Args:
            model: A compiled model. Its weights and optimizer state are
                replaced, unless the run has not begun.

        Returns:
            The state of the step that was loaded, as `read` returns it.

        Raises:
            ValueError: If the folder holds another run, or no state can be
                read.
        """
        state = self.read()
        if not state["kept"]:
            return state
        model.optimizer.build(model.trainable_variables)
        for step in reversed(state["kept"]):
            path = self.directory / _WEIGHTS.format(step)
            try:
                model.load_weights(path)
                _load_adapted(path, model)
            except (OSError, KeyError) as error:
                problem = (
                    "The weights of a run must be as they were saved. "
                    f"Received: {path}, damaged or missing: {error}."
                )
            else:
                return _as_of(state, step)
            if step != state["kept"][0]:
                warnings.warn(
                    f"{problem} Training continues from an older state.",
                    stacklevel=2,
                )
        raise ValueError(f"{problem} Delete {self.directory} and train again.")

    def save(self, model, state):
        """Write weights and state after a step, then delete the oldest.

        Args:
            model: A compiled model.
            state: dict with `step`, `history`, `restarts`, and `kept`, the
                earlier steps.

        Returns:
            The state as it is on disk.
        """
        make_folder(self.directory)
        step = state["step"]
        weights = self.directory / _WEIGHTS.format(step)
        with atomic_path(weights, suffix=".weights.h5") as temporary:
            model.save_weights(temporary)
            _save_adapted(temporary, model)
        return self._write(self.after(state))

    def after(self, state):
        """Return the state that `save` would return, without writing it."""
        kept = [*state["kept"], state["step"]]
        return {**state, "run": self.run, "kept": kept[-self.keep :]}

    def go_back(self, state, restart):
        """Go back to an older state, because training failed.

        The first restart goes back to the last state. If training fails again
        before a newer state is saved, the next restart goes back one state
        further, if there is one.

        Args:
            state: The last state, as `read` returns it.
            restart: dict of JSON values to remember with the restart.

        Returns:
            The state to continue from, with one more entry in `restarts`.
        """
        kept = state["kept"]
        before = state["restarts"][-1:]
        if len(kept) > 1 and before and before[0]["step"] == kept[-1]:
            kept = kept[:-1]
        state = _as_of(state, kept[-1])
        restart = {"step": kept[-1], **restart}
        state["restarts"] = [*state["restarts"], restart]
        return self._write(state)

    def _write(self, state):
        state = {**state, "run": self.run, "kept": state["kept"][-self.keep :]}
        with atomic_file(self.directory / _STATE) as file:
            file.write(json.dumps(state, indent=1).encode())
        named = {_WEIGHTS.format(step) for step in state["kept"]}
        for pattern in _OURS:
            for path in self.directory.glob(pattern):
                if path.name not in named:
                    with contextlib.suppress(FileNotFoundError):
                        path.unlink()
        return state


def _adapted(model):
    """Return the weights of layers with LoRA, a dict from path to weight.

    Keras does not save them unchanged. When it saves, it adds the product of
    the factors to the kernel. When it loads, it sets the factors to zero.
    """
    layers = {
        _layer_of(weight)
        for weight in model.weights
        if weight.name.startswith("lora_")
    }
    return {
        weight.path: weight
        for weight in model.weights
        if _layer_of(weight) in layers
    }


def _layer_of(weight):
    return weight.path.rpartition("/")[0]


def _save_adapted(path, model):
    """Add the weights of layers with LoRA to a weights file."""
    adapted = _adapted(model)
    if not adapted:
        return
    with h5py.File(path, "a") as file:
        group = file.create_group(_ADAPTED)
        for name, weight in adapted.items():
            value = keras.ops.convert_to_numpy(weight)
            if weight.dtype == "bfloat16":  # HDF5 has no bfloat16
                value = value.astype("float32")
            group[name] = value


def _load_adapted(path, model):
    """Load the weights that `_save_adapted` added."""
    adapted = _adapted(model)
    if not adapted:
        return
    with h5py.File(path, "r") as file:
        if _ADAPTED not in file:
            raise ValueError(
                "A checkpoint of a model with LoRA must hold its factors. "
                f"Received: {path}, which holds none. Train again in "
                "another folder."
            )
        for name, weight in adapted.items():
            weight.assign(file[_ADAPTED][name][()])


def _as_of(state, step):
    """Return the state as it was after an earlier step, with all restarts."""
    return {
        **state,
        "step": step,
        "kept": [other for other in state["kept"] if other <= step],
        "history": [row for row in state["history"] if row["step"] <= step],
    }
