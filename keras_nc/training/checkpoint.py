"""Where an interrupted run goes on: weights, optimizer, step, history."""

import contextlib
import json
import pathlib

from keras_nc.coding.atomic import atomic_file
from keras_nc.coding.atomic import atomic_path

_STATE = "state.json"
_WEIGHTS = "step-{:09d}.weights.h5"


class Checkpoint:
    """The last complete state of one training run.

    Weights (the optimizer's too) are written under the name of their step
    first; then the state, which names them, takes its place. So the state is
    always that of weights which are there, whenever the process is killed.

    Args:
        directory: Folder of the checkpoint, made if need be.
        run: dict of JSON values that define the run; a checkpoint of another
            run is refused.
    """

    def __init__(self, directory, run):
        self.directory = pathlib.Path(directory)
        self.run = json.loads(json.dumps(run))

    def read(self):
        """What `save` wrote last: a dict with `step` and `history`.

        Returns:
            The dict; of a run that has not begun, step 0 and no history.

        Raises:
            ValueError: If it is damaged or belongs to another run.
        """
        path = self.directory / _STATE
        if not path.exists():
            return {"run": self.run, "step": 0, "history": []}
        try:
            state = json.loads(path.read_bytes())
            run = state["run"]
            state["step"], state["history"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged: {error}. Delete {self.directory} and "
                "train again."
            ) from error
        differing = [k for k in self.run if run.get(k) != self.run[k]]
        if differing:
            key = differing[0]
            raise ValueError(
                f"{self.directory} holds another run. Received: {key}="
                f"{self.run[key]!r}; there it is {run.get(key)!r}. Go on with "
                "the same settings, or train in another folder."
            )
        return state

    def load_weights(self, model, step):
        """Put weights and optimizer state of `step` into a compiled model."""
        path = self.directory / _WEIGHTS.format(step)
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(path)
        except (OSError, KeyError) as error:
            raise ValueError(
                f"{path} is damaged or missing: {error}. Delete "
                f"{self.directory} and train again."
            ) from error

    def save(self, model, step, history):
        """Write the state after `step` steps, then delete older ones."""
        self.directory.mkdir(parents=True, exist_ok=True)
        weights = self.directory / _WEIGHTS.format(step)
        with atomic_path(weights, suffix=".weights.h5") as temporary:
            model.save_weights(temporary)
        state = {"run": self.run, "step": step, "history": history}
        with atomic_file(self.directory / _STATE) as file:
            file.write(json.dumps(state, indent=1).encode())
        for old in self.directory.glob("*.weights.h5"):
            if old != weights:
                with contextlib.suppress(FileNotFoundError):
                    old.unlink()
