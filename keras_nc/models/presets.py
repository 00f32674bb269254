"""Presets: built-in names, saving, loading and checks."""

import contextlib
import json
import os
import pathlib

import keras

# keras-hub has no public way to register the names of presets.
from keras_hub.src.utils import preset_utils

from keras_nc.models.model_card import model_card
from keras_nc.models.preset_files import BACKBONE_FILES
from keras_nc.models.preset_files import CONFIG_FILE
from keras_nc.models.preset_files import PREPROCESSOR_FILES
from keras_nc.models.preset_files import new_preset


def register_presets(presets, backbone_cls):
    """Make names known to `from_preset` and `presets` of a model's classes.

    Args:
        presets: A dict such as `BYTE_PRESETS`.
        backbone_cls: The backbone class of those presets.
    """
    preset_utils.register_presets(presets, backbone_cls)


class LoadsPresets:
    """Mixin of models and backbones that checks presets before loading."""

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Load a preset.

        Args:
            preset: str. A directory that `save_to_preset` wrote, a handle
                (`hf://user/model`, `kaggle://user/model/keras/variant`), or
                one of the names in `presets`.
            load_weights: bool. Whether to load the weights.
            **kwargs: Further arguments, such as `dtype`.

        Returns:
            An instance of this class.

        Raises:
            ValueError: If the name is unknown, or the directory is incomplete,
                damaged or holds a model of another class.
        """
        preset = os.fspath(preset)
        if preset in cls.presets or "://" in preset:
            return super().from_preset(preset, load_weights, **kwargs)
        if not os.path.isdir(preset):
            names = ", ".join(map(repr, sorted(cls.presets)))
            raise ValueError(
                "A preset must be a directory that `save_to_preset` wrote, a "
                "handle such as 'hf://user/model', or a built-in name. "
                f"Received: {preset!r}. Built-in names of {cls.__name__}: "
                f"{names or 'none'}."
            )
        with damage_told(preset):
            check_class(cls, preset)
            if hasattr(cls, "preprocessor_cls") and is_backbone_alone(preset):
                kwargs.setdefault("preprocessor", None)
            return super().from_preset(preset, load_weights, **kwargs)


class SavesPresets(LoadsPresets):
    """Mixin of whole models: saves a model card with the preset."""

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Save the model, its tokenizer and a model card as a preset.

        An older preset in the directory is replaced once all files are written.

        Args:
            preset_dir: str. The directory.
            max_shard_size: See `keras_hub.models.Task.save_to_preset`.
        """
        files = ("README.md", *BACKBONE_FILES, *PREPROCESSOR_FILES)
        with new_preset(preset_dir, files) as new:
            super().save_to_preset(new, max_shard_size=max_shard_size)
            path = pathlib.Path(new, "README.md")
            path.write_text(model_card(self), encoding="utf-8")


class SavesBackbone(LoadsPresets):
    """Mixin of backbones: saves a backbone without a task."""

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Save the backbone as a preset, or into one.

        Args:
            preset_dir: str. The directory.
            max_shard_size: See `keras_hub.models.Backbone.save_to_preset`.
        """
        with new_preset(preset_dir, BACKBONE_FILES) as new:
            super().save_to_preset(new, max_shard_size=max_shard_size)

    @classmethod
    def from_config(cls, config):
        """Create a backbone from its configuration."""
        if "num_layers" not in config:  # see `config_without_backbone`
            raise ValueError(
                "A model must be loaded from a preset that has one. Received: "
                "the preset of a tokenizer or preprocessor alone. Load it with "
                "their class."
            )
        return super().from_config(config)


class SavesPreprocessor:
    """Mixin of preprocessors: saves and loads one without a model."""

    @classmethod
    def from_preset(cls, preset, config_file="preprocessor.json", **kwargs):
        """Load the preprocessor of a preset, and its tokenizer.

        Args:
            preset: str. A directory, a handle or a built-in name.
            config_file: str. The file that describes the preprocessor.
            **kwargs: Constructor arguments to override, such as
                `sequence_length`.

        Returns:
            An instance of this class.

        Raises:
            ValueError: If the preset has no preprocessor of this class.
        """
        preset = os.fspath(preset)
        with damage_told(preset):
            return super().from_preset(preset, config_file, **kwargs)

    def save_to_preset(self, preset_dir):
        """Save the preprocessor and its tokenizer as a preset, or into one.

        Args:
            preset_dir: str. The directory.
        """
        with new_preset(preset_dir, PREPROCESSOR_FILES) as new:
            path = pathlib.Path(new, CONFIG_FILE)
            beside_a_model = path.exists()
            super().save_to_preset(new)
            if beside_a_model:
                return
            # If the tokenizer names no model, keras-hub does not find the
            # preprocessor.
            path.unlink(missing_ok=True)
            older = pathlib.Path(preset_dir, CONFIG_FILE)
            if not older.exists() or not names_a_model(older):
                config = config_without_backbone(self.backbone_cls)
                path.write_text(json.dumps(config, indent=4))


def config_without_backbone(backbone_cls):
    """Return a configuration by which keras-hub finds a preprocessor."""
    return {
        "module": backbone_cls.__module__,
        "class_name": backbone_cls.__name__,
        "config": {},
        "registered_name": keras.saving.get_registered_name(backbone_cls),
    }


def read_config(path):
    """Read a configuration file: a dict with the name of its class."""
    config = json.loads(pathlib.Path(path).read_bytes())
    if not isinstance(config, dict) or "registered_name" not in config:
        raise KeyError("configuration of an object in " + str(path))
    return config


def names_a_model(path):
    """Tell whether a configuration file names a model's class."""
    name = read_config(path)["registered_name"]
    cls = keras.saving.get_registered_object(name)
    return cls is None or issubclass(cls, keras.Model)


def check_class(cls, preset):
    """Raise a ValueError if a directory has no backbone of the class."""
    config = read_config(pathlib.Path(preset, CONFIG_FILE))
    # A task without a backbone class loads those of all its subclasses.
    wanted = getattr(cls, "backbone_cls", cls) or keras.Model
    name = config["registered_name"]
    found = keras.saving.get_registered_object(name)
    rule = f"{cls.__name__} loads presets of a {wanted.__name__}. "
    if found is None:
        raise ValueError(
            f"{rule}Received: {preset!r}, which has a {name}, and no such "
            "class is known. Import the module that defines it."
        )
    if not issubclass(found, keras.Model) or not config.get("config"):
        raise ValueError(
            f"{rule}Received: {preset!r}, which has no model. Load it with "
            "the class of its tokenizer or preprocessor."
        )
    if not issubclass(found, wanted):
        raise ValueError(
            f"{rule}Received: {preset!r}, which has a {found.__name__}. Load "
            "it with `keras_hub.models.CausalLM.from_preset`, which finds the "
            "class."
        )


def is_backbone_alone(preset):
    """Tell whether a preset has a backbone and nothing else."""
    files = ("task.json", "preprocessor.json", "tokenizer.json")
    return not any(os.path.exists(os.path.join(preset, f)) for f in files)


@contextlib.contextmanager
def damage_told(preset):
    """Turn errors of libraries about a preset into one ValueError."""
    try:
        yield
    except (OSError, KeyError, json.JSONDecodeError, UnicodeDecodeError) as e:
        reason = f"no {e}" if isinstance(e, KeyError) else e
        raise ValueError(
            "A preset must be complete. Received: "
            f"{preset!r}, where something is missing or damaged: {reason}. "
            "Save it again, or download it again."
        ) from e
