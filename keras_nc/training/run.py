"""Decide whether two training runs are the same run.

An interrupted run continues only if everything that decides its numbers is the
same. The description of a run is a dict of JSON values. It is saved with the
states of the run.
"""

import json

import keras
import numpy as np

from keras_nc.coding.archive import fingerprint_of

#: Keys that may differ: an argument that changes the cost of a model but not
#: its results, and the module of a class.
_FREE = ("gradient_checkpointing", "module")
#: Keys that older checkpoints lack.
_ADDED = ("tokens", "held_out", "weights", "loss", "bits_per_byte")


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
    weights = {
        weight.path: _describe_weight(weight) for weight in model.weights
    }
    run = {
        **settings,
        "text": [
            shards[0].fingerprint,
            sum(part.num_tokens for part in shards),
            sum(part.num_bytes for part in shards),
        ],
        "tokens": _digest_tokens(shards),
        "held_out": None if held_out is None else _digest_tokens([held_out]),
        "weights": weights,
        "model": _config_of(model.backbone),
        "optimizer": _config_of(model.optimizer),
        "loss": [_serialize(model.loss), getattr(model, "z_loss", 0.0)],
        "bits_per_byte": _describe_metric(find_bits_per_byte(model)),
    }
    return to_json(run)


def to_json(value):
    """Return a value after a round trip through JSON."""
    return json.loads(json.dumps(value, default=_plain))


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
    """Return the constructor arguments of the metric `BitsPerByte`, a dict.

    Args:
        model: A compiled model.

    Returns:
        dict, or `None` if the model has no such metric.
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
