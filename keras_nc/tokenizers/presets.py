"""Names of presets, and presets that hold a tokenizer alone."""

import inspect
import json
import os
import pathlib

import keras

# keras-hub has no public way to register the names of presets, or to read a
# file of a preset by its handle.
from keras_hub.src.utils import preset_utils

from keras_nc import presets
from keras_nc.coding.archive import atomic_file
from keras_nc.tokenizers.scheme import scheme_from_config


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenizerPreset:
    """A placeholder for the backbone in the preset of a tokenizer.

    keras-hub finds the class to load by the backbone in `config.json`, so it
    cannot load a preset without one.
    """

    def get_config(self):
        """Return an empty dict: the tokenizer has a file of its own."""
        return {}


def register_presets(built_in, cls):
    """Make names known to `from_preset` and `presets` of some classes.

    Args:
        built_in: A dict such as `keras_nc.presets.BYTE_LMS`.
        cls: A backbone class, for it and its tasks, or a tokenizer class.
    """
    preset_utils.register_presets(built_in, cls)


def mark(directory):
    """Let keras-hub find the tokenizer of a directory without a model."""
    path = pathlib.Path(directory, preset_utils.CONFIG_FILE)
    if path.exists():  # that of a model, or this one
        return
    config = {
        "module": "keras_nc.tokenizers",
        "class_name": TokenizerPreset.__name__,
        "config": {},
        "registered_name": keras.saving.get_registered_name(TokenizerPreset),
    }
    with atomic_file(path) as file:
        file.write(json.dumps(config, indent=4).encode())


def load(cls, preset, config_file, kwargs):
    """Load the tokenizer of a preset; see `SchemeTokenizer.from_preset`.

    keras-hub first looks up the class of the backbone, which is known only if
    `keras_nc.models` is imported. A tokenizer does not need it.
    """
    preset = presets.resolve(preset)
    config = _read_config(preset, config_file)
    settings = {**config["config"], **kwargs}
    try:
        scheme = scheme_from_config(settings.pop("scheme"))
    except TypeError as error:  # arguments of another version
        _refuse(preset, error)
    name = str(config.get("registered_name"))
    found = keras.saving.get_registered_object(name)
    if (
        inspect.isclass(found)
        and issubclass(found, cls)
        and found.backbone_cls is cls.backbone_cls
    ):
        tokenizer = found.from_config({**settings, "scheme": scheme})
    else:  # for example a model's tokenizer with a scheme of this class
        length = settings.get("sequence_length")
        tokenizer = cls(scheme=scheme, sequence_length=length)
    try:
        tokenizer.load_preset_assets(preset)
    except FileNotFoundError as error:
        _refuse(preset, error)
    return tokenizer


def check_directory(preset, names):
    """Raise a ValueError, with the built-in names, if there is no directory."""
    if not os.path.isdir(preset):
        known = ", ".join(map(repr, names)) or "none"
        raise ValueError(
            "A preset must be a directory that `save_to_preset` wrote, a "
            "handle such as 'hf://user/model', or a built-in name. Received: "
            f"{preset!r}. Built-in names: {known}."
        )


def _read_config(preset, config_file):
    """Return the configuration of a tokenizer, or raise a ValueError."""
    local = "://" not in preset and preset not in preset_utils.BUILTIN_PRESETS
    if local:
        check_directory(preset, presets.PRESETS)
    try:
        config = preset_utils.load_json(preset, config_file)
    except (OSError, ValueError) as error:
        _refuse(preset, error)
    inner = config.get("config") if isinstance(config, dict) else None
    scheme = inner.get("scheme") if isinstance(inner, dict) else None
    if not isinstance(scheme, dict):
        _refuse(preset, f"{config_file} describes no tokenizer of keras_nc")
    return config


def _refuse(preset, reason):
    """Raise the ValueError for a preset without a whole tokenizer."""
    raise ValueError(
        "The preset must hold a whole tokenizer. Received: "
        f"{preset!r}, where something is missing or damaged: {reason}. Save "
        "it again, or download it again."
    )
