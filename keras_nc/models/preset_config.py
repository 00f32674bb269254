"""The configuration file of a preset: its class, and its precision."""

import json
import pathlib

import keras

#: This file names the class by which keras-hub finds all other classes.
CONFIG_FILE = "config.json"


def read_config(path):
    """Read a configuration file: a dict with the name of its class."""
    config = json.loads(pathlib.Path(path).read_bytes())
    if not isinstance(config, dict) or "registered_name" not in config:
        raise KeyError("configuration of an object in " + str(path))
    return config


def dtype_to_load(preset):
    """Return the dtype policy by which keras-hub should load a preset.

    That of a float model is the default policy, that of a quantized model the
    saved one. keras-hub refuses the names of mixed policies, and forgets what
    is quantized if it loads a backbone alone.

    Returns:
        A policy or its configuration; `None` where keras-hub does this itself.
    """
    config = read_config(pathlib.Path(preset, CONFIG_FILE))
    if mixed_policy(config):
        return keras.config.dtype_policy()
    dtype = config["config"].get("dtype")
    is_map = isinstance(dtype, dict) and "Map" in dtype.get("class_name", "")
    return dtype if is_map else None


def mixed_policy(config):
    """Return the name of a mixed dtype policy in a configuration, or `None`."""
    dtype = config["config"].get("dtype")
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    is_mixed = isinstance(dtype, str) and dtype.startswith("mixed_")
    return dtype if is_mixed else None


def name_precision_of_weights(preset):
    """Write into a preset the precision that its weights have.

    keras-hub loads models of any float type with the default policy. But it
    cannot load tasks whose policy is mixed, and their weights are float32.
    """
    path = pathlib.Path(preset, CONFIG_FILE)
    config = read_config(path)
    if mixed_policy(config):
        config["config"]["dtype"] = keras.saving.serialize_keras_object(
            keras.DTypePolicy("float32")
        )
        path.write_text(json.dumps(config, indent=4), encoding="utf-8")
