"""The configuration file of a preset: class and precision of its model."""

import json
import pathlib

import keras

#: This file names a class. From it, keras-hub finds all others of the preset.
CONFIG_FILE = "config.json"


def read_config(path):
    """Return the configuration of a file, a dict that names its class."""
    config = json.loads(pathlib.Path(path).read_bytes())
    if not isinstance(config, dict) or "registered_name" not in config:
        raise KeyError("configuration of an object in " + str(path))
    return config


def dtype_to_load(preset):
    """Return the dtype policy with which keras-hub should load a preset.

    A float model gets the default policy, a quantized model the saved one.
    keras-hub has two faults here: it refuses the names of mixed policies, and
    it forgets the quantization if it loads a backbone alone.

    Returns:
        A policy or its configuration; `None` if keras-hub chooses the right one
        itself.
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
    """Replace a mixed policy in a preset by float32, the type of its weights.

    keras-hub cannot load a task whose policy is mixed. With float32, nothing is
    lost: keras-hub loads models of any float type with the default policy.
    """
    path = pathlib.Path(preset, CONFIG_FILE)
    config = read_config(path)
    if mixed_policy(config):
        config["config"]["dtype"] = keras.saving.serialize_keras_object(
            keras.DTypePolicy("float32")
        )
        path.write_text(json.dumps(config, indent=4), encoding="utf-8")
