"""Where an interrupted run goes on: weights, optimizer, step, history."""

import contextlib
import json
import pathlib
import warnings

from keras_nc.coding.atomic import atomic_file
from keras_nc.coding.atomic import atomic_path

_STATE = "state.json"
_WEIGHTS = "step-{:09d}.weights.h5"
#: Weights, and what a process left behind that was killed while it wrote.
_OURS = ("step-*.weights.h5", f"{_STATE}.*.tmp")
#: What a model costs, and not what it computes: a run may change it.
_COSTS = ("gradient_checkpointing",)


class Checkpoint:
    """The last complete states of one training run.

    Weights (the optimizer's too) are written under the name of their step
    first; then the state, which names them, takes its place; then weights that
    it does not name are deleted. So the state always names weights that are
    there, whenever the process is killed.

    The state is a dict: `run`; `step`, the last one; `kept`, the steps whose
    weights are there, oldest first; `history`, rows with a `step` each; and
    `restarts`, what `go_back` was told.

    Args:
        directory: Folder of the checkpoint, made if need be.
        run: dict of JSON values that define the run; a checkpoint of another
            run is refused. Arguments that change only the memory that a model
            takes, `gradient_checkpointing`, may differ or be missing.
        keep: int. States to keep, at least 1.
    """

    def __init__(self, directory, run, keep=1):
        if keep < 1:
            raise ValueError(
                f"`keep` must be at least 1. Received: keep={keep}"
            )
        self.directory = pathlib.Path(directory)
        self.run = json.loads(json.dumps(run))
        self.keep = keep

    def read(self):
        """The last state, a dict; of a run that has not begun, step 0.

        Raises:
            ValueError: If it is damaged or belongs to another run.
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
                f"{path} is damaged: {error}. Delete {self.directory} and "
                "train again."
            ) from error
        differing = [
            key
            for key, value in self.run.items()
            if _without_costs(run.get(key)) != _without_costs(value)
        ]
        if differing:
            key = differing[0]
            raise ValueError(
                f"{self.directory} holds another run. Received: {key}="
                f"{self.run[key]!r}; there it is {run.get(key)!r}. Go on with "
                "the same settings, or train in another folder."
            )
        return state

    def restore(self, model):
        """Put the last state that can be read into a compiled model.

        Weights that are damaged or missing are passed over with a warning, for
        the steps after an older state can be repeated.

        Args:
            model: A compiled model, which gets weights and optimizer state;
                left alone if the run has not begun.

        Returns:
            The state, as `read` returns it, of the step that was loaded.

        Raises:
            ValueError: If the run is another one, or nothing can be read.
        """
        state = self.read()
        if not state["kept"]:
            return state
        model.optimizer.build(model.trainable_variables)
        for step in reversed(state["kept"]):
            path = self.directory / _WEIGHTS.format(step)
            try:
                model.load_weights(path)
            except (OSError, KeyError) as error:
                problem = f"{path} is damaged or missing: {error}."
            else:
                return _as_of(state, step)
            if step != state["kept"][0]:
                warnings.warn(
                    f"{problem} Training goes on from an older state.",
                    stacklevel=2,
                )
        raise ValueError(f"{problem} Delete {self.directory} and train again.")

    def save(self, model, state):
        """Write weights and state after a step, then delete the oldest.

        Args:
            model: A compiled model.
            state: dict with `step`, `history`, `kept`, the steps before, and
                `restarts`.

        Returns:
            The state as it is on disk.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        step = state["step"]
        weights = self.directory / _WEIGHTS.format(step)
        with atomic_path(weights, suffix=".weights.h5") as temporary:
            model.save_weights(temporary)
        return self._write(self.after(state))

    def after(self, state):
        """The state as `save` returns it, for processes that do not write."""
        kept = [*state["kept"], state["step"]]
        return {**state, "run": self.run, "kept": kept[-self.keep :]}

    def go_back(self, state, restart):
        """Make an older state the last one, because training failed.

        The last state is the good one, unless the restart before this one
        went back to it in vain: then it is the one before, if that is kept.

        Args:
            state: The last state, as `read` returns it.
            restart: dict of JSON values to remember.

        Returns:
            The state to go on with, whose `restarts` are one more.
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


def _without_costs(value):
    """A value of a run without the arguments that may change."""
    if not isinstance(value, dict):
        return value
    return {key: value[key] for key in value if key not in _COSTS}


def _as_of(state, step):
    """The state as it was after an earlier step; restarts are not undone."""
    return {
        **state,
        "step": step,
        "kept": [other for other in state["kept"] if other <= step],
        "history": [row for row in state["history"] if row["step"] <= step],
    }
