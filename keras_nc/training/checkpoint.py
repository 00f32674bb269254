"""The states from which an interrupted run continues.

A run continues only if everything that decides its numbers is the same. The
description of a run is a dict of JSON values, saved with its states.
"""

import contextlib
import json
import pathlib
import warnings

import h5py
import keras
import numpy as np

from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import atomic_path
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import make_folder

_STATE = "state.json"
_WEIGHTS = "step-{:09d}.weights.h5"
#: Weights, and temporary files of a process that was killed while writing.
_OURS = ("step-*.weights.h5", f"{_STATE}.*.tmp")
#: Group of a weights file that Keras does not write.
_ADAPTED = "adapted"
#: Keys of a run that may differ: an argument that changes the cost of a model
#: but not its results, and the module of a class.
_FREE = ("gradient_checkpointing", "module")
#: Keys that older checkpoints lack.
_ADDED = ("tokens", "held_out", "weights", "loss", "bits_per_byte")


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
            another run is refused (`check_same_run`).
        keep: int. Number of states to keep, at least 1.
    """

    def __init__(self, directory, run, keep=1):
        self.keep = as_integer("keep", keep, 1)
        self.directory = pathlib.Path(directory)
        self.run = run

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


# === Runs ===


def describe_run(model, shards, held_out, **settings):
    """Describe a run by everything that decides its numbers.

    Args:
        model: A compiled `DecoderCausalLM`.
        shards: A list of `TokenShards` to train on.
        held_out: `TokenShards` or `None`.
        **settings: Further settings that change the numbers; JSON values.

    Returns:
        A dict of JSON values.
    """
    run = {
        **settings,
        "text": [
            shards[0].fingerprint,
            sum(part.num_tokens for part in shards),
            sum(part.num_bytes for part in shards),
        ],
        "tokens": _digest_tokens(shards),
        "held_out": None if held_out is None else _digest_tokens([held_out]),
        "weights": {w.path: _describe_weight(w) for w in model.weights},
        "model": _config_of(model.backbone),
        "optimizer": _config_of(model.optimizer),
        "loss": [_serialize(model.loss), getattr(model, "z_loss", 0.0)],
        "bits_per_byte": _describe_metric(find_bits_per_byte(model)),
    }
    # What is read later has been through JSON, too.
    return json.loads(json.dumps(run, default=_plain))


def check_same_run(run, before, place):
    """Raise a ValueError unless two descriptions are of the same run.

    Args:
        run: dict, the run to continue.
        before: dict, the run in the folder.
        place: The folder.
    """
    for key, value in run.items():
        if key in _ADDED and key not in before:
            continue
        # Held-out text does not change training, so it may be added or left
        # out.
        if key == "held_out" and None in (value, before[key]):
            continue
        difference = _first_difference(key, value, before.get(key))
        if difference is not None:
            name, ours, theirs = difference
            raise ValueError(
                f"{place} holds another run. Received: {name}={ours!r}; there "
                f"it is {theirs!r}. Use the same settings, or train in another "
                "folder."
            )


def _first_difference(name, ours, theirs):
    """Return where two JSON values differ: name, ours, theirs; or `None`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # Report a key that only one side has first, because it explains most.
        keys = sorted(ours.keys() ^ theirs.keys())
        for key in [*keys, *(key for key in ours if key in theirs)]:
            if key not in _FREE:
                found = _first_difference(
                    f"{name}[{key}]", ours.get(key), theirs.get(key)
                )
                if found is not None:
                    return found
        return None
    return None if ours == theirs else (name, ours, theirs)


def _describe_weight(weight):
    """Return dtype, shape and role of a weight, a str."""
    role = "trained" if weight.trainable else "frozen"
    return f"{weight.dtype} {tuple(weight.shape)}, {role}"


def _digest_tokens(shards):
    """Return a digest of all tokens, from the digests in the manifests."""
    digests = [
        "".join(
            entry["files"]["tokens"]["sha256"]
            for entry in part.manifest["shards"]
        )
        for part in shards
    ]
    # The comma separates the parts of a mixture.
    return fingerprint_of(",".join(digests))


def find_bits_per_byte(model):
    """Return the constructor arguments of the metric `BitsPerByte`, or `None`.

    Args:
        model: A compiled model, with or without the metric.
    """
    waiting = [(model.get_compile_config() or {}).get("weighted_metrics")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            if item.get("class_name") == "BitsPerByte":
                return item["config"]
            waiting.extend(item.values())
    return None


def _describe_metric(config):
    """Return a short digest of the settings of the metric `bits_per_byte`."""
    if config is None:
        return None
    text = json.dumps(config, sort_keys=True, default=_plain)
    return {
        "bytes_per_token": config["bytes_per_token"],
        "digest": fingerprint_of(text),
    }


def _config_of(thing):
    """Return the constructor arguments of an object, without its name."""
    config = thing.get_config()
    config.pop("name", None)
    return _serialize(config)


def _serialize(thing):
    return keras.saving.serialize_keras_object(thing)


def _plain(value):
    """Return a NumPy value as Python numbers, for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(
        "A run must be described by JSON values. Received: "
        f"{type(value).__name__}"
    )
