"""Presets that hold a tokenizer alone."""

import json
import os
import pathlib

import keras

# keras-hub has no public way to read a file of a preset by its handle.
from keras_hub.src.utils import preset_utils

from keras_nc.coding.atomic import atomic_file


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenizerPreset:
    """What the preset of a tokenizer names in place of a model's backbone.

    keras-hub finds the class to load by the backbone in `config.json`, so a
    preset without one cannot be loaded.
    """

    def get_config(self):
        """Return nothing: the tokenizer has a file of its own."""
        return {}


def mark(directory):
    """Make keras-hub find the tokenizer of a directory that has no model."""
    path = pathlib.Path(directory, preset_utils.CONFIG_FILE)
    if path.exists():  # a model's, or this one
        return
    config = {
        "module": "keras_nc.tokenizers",
        "class_name": TokenizerPreset.__name__,
        "config": {},
        "registered_name": keras.saving.get_registered_name(TokenizerPreset),
    }
    with atomic_file(path) as file:
        file.write(json.dumps(config, indent=4).encode())


def read_config(preset, config_file):
    """Read the configuration of a preset's tokenizer.

    Args:
        preset: str. A directory, a handle, or a built-in name.
        config_file: str. The file's name.

    Returns:
        A dict: the tokenizer as Keras serializes objects.

    Raises:
        ValueError: If there is no such file, or it describes no tokenizer of
            this package.
    """
    local = "://" not in preset and preset not in preset_utils.BUILTIN_PRESETS
    if local and not os.path.isdir(preset):
        raise ValueError(
            "A preset must be a directory that `save_to_preset` wrote, or a "
            f"handle such as 'hf://user/model'. Received: {preset!r}. Save the "
            "tokenizer or the model there first."
        )
    try:
        config = preset_utils.load_json(preset, config_file)
    except (OSError, ValueError) as error:
        refuse(preset, error)
    inner = config.get("config") if isinstance(config, dict) else None
    scheme = inner.get("scheme") if isinstance(inner, dict) else None
    if not isinstance(scheme, dict):
        refuse(preset, f"{config_file} describes no tokenizer of keras_nc")
    return config


def refuse(preset, reason):
    """Raise the ValueError for a preset without a whole tokenizer."""
    raise ValueError(
        "The preset must hold a whole tokenizer. Received: "
        f"{preset!r}, where something is missing or damaged: {reason}. Save "
        "it again, or download it again."
    )
