"""What makes two training runs the same run.

A run that was interrupted goes on only with all that decides its numbers. The
description of a run is a dict of JSON values, kept with its states.
"""

import hashlib
import json

import keras
import numpy as np

#: What a model costs, and not what it computes: a run may change it.
_COSTS = ("gradient_checkpointing",)
#: Added later: runs that began before do not have it.
_ADDED = ("tokens", "held_out", "weights", "loss", "bits_per_byte")


def describe_run(model, shards, held_out, **settings):
    """Describe a run by what decides its numbers.

    Args:
        model: A compiled `DecoderCausalLM`.
        shards: `TokenShards` to train on.
        held_out: `TokenShards` or `None`.
        **settings: JSON values, more that decides.

    Returns:
        A dict of JSON values.
    """
    weights = {
        weight.path: _describe_weight(weight) for weight in model.weights
    }
    run = {
        **settings,
        "text": [shards.fingerprint, shards.num_tokens, shards.num_bytes],
        "tokens": _digest_tokens(shards),
        "held_out": None if held_out is None else _digest_tokens(held_out),
        "weights": weights,
        "model": _config_of(model.backbone),
        "optimizer": _config_of(model.optimizer),
        "loss": [_serialize(model.loss), getattr(model, "z_loss", 0.0)],
        "bits_per_byte": _bits_per_byte(model),
    }
    return to_json(run)


def to_json(value):
    """Return a value as it is after it was written as JSON and read again."""
    return json.loads(json.dumps(value, default=_plain))


def check_same_run(run, before, place):
    """Raise a ValueError if a run is not the one that was begun.

    Args:
        run: dict, the run as it would go on.
        before: dict, the run that was begun.
        place: Where it was begun.
    """
    for key, value in run.items():
        if key in _ADDED and key not in before:
            continue
        # Held-out text decides nothing: it may be left out, or come later.
        if key == "held_out" and None in (value, before[key]):
            continue
        difference = _first_difference(key, value, before.get(key))
        if difference is not None:
            name, ours, theirs = difference
            raise ValueError(
                f"{place} holds another run. Received: {name}={ours!r}; there "
                f"it is {theirs!r}. Go on with the same settings, or train in "
                "another folder."
            )


def _first_difference(name, ours, theirs):
    """Return where two JSON values differ: name, ours, theirs; or `None`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # What only one of them has says most, so it comes first.
        keys = sorted(ours.keys() ^ theirs.keys())
        for key in [*keys, *(key for key in ours if key in theirs)]:
            if key not in _COSTS:
                found = _first_difference(
                    f"{name}[{key}]", ours.get(key), theirs.get(key)
                )
                if found is not None:
                    return found
        return None
    return None if ours == theirs else (name, ours, theirs)


def _describe_weight(weight):
    """What a weight must be for states to fit, and what becomes of it."""
    role = "trained" if weight.trainable else "frozen"
    return f"{weight.dtype} {tuple(weight.shape)}, {role}"


def _digest_tokens(shards):
    """Return a digest of all tokens, from the digests in the manifest."""
    digests = [
        entry["files"]["tokens"]["sha256"]
        for entry in shards.manifest["shards"]
    ]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _bits_per_byte(model):
    """Return what decides the column `bits_per_byte` of the metrics."""
    metrics = model.get_compile_config()["weighted_metrics"] or []
    for metric in metrics:
        config = metric.get("config") if isinstance(metric, dict) else None
        if isinstance(config, dict) and config.get("name") == "bits_per_byte":
            text = json.dumps(config, sort_keys=True, default=_plain)
            digest = hashlib.sha256(text.encode()).hexdigest()
            return {
                "bytes_per_token": config.get("bytes_per_token"),
                "digest": digest,
            }
    return None


def _config_of(thing):
    """Constructor arguments that define a run: all but the name."""
    config = thing.get_config()
    config.pop("name", None)
    return _serialize(config)


def _serialize(thing):
    return keras.saving.serialize_keras_object(thing)


def _plain(value):
    """A NumPy value as JSON has it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(
        "A run must be described by JSON values. Received: "
        f"{type(value).__name__}"
    )
