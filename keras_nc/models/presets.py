"""Presets: built-in names, a model card with each, and what is refused."""

import contextlib
import json
import os
import pathlib

from keras_hub.src.utils import preset_utils

from keras_nc.models.model_card import model_card

#: Built-in presets of M1 and of M2, by name. None has been published yet. An
#: entry is `{"metadata": {"description": ...}, "kaggle_handle": handle}`, as
#: keras-hub wants it; the handle may be `kaggle://`, `hf://`, or the path of a
#: folder inside this package.
BYTE_PRESETS = {}
COMPRESSED_PRESETS = {}


def register_presets(presets, backbone_cls):
    """Make names known to `from_preset` and `presets` of a model's classes.

    Args:
        presets: A dict such as `BYTE_PRESETS`.
        backbone_cls: The backbone class of those presets.
    """
    preset_utils.register_presets(presets, backbone_cls)


class LoadsPresets:
    """Mixin of models and backbones: what is no preset is refused clearly."""

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Load a preset.

        Args:
            preset: str. A directory that `save_to_preset` wrote, a handle
                (`hf://user/model`, `kaggle://user/model/keras/variant`), or
                one of the names in `presets`.
            load_weights: bool. Whether to load the weights.
            **kwargs: Such as `dtype`, the precision to compute in.

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
                f"{names or 'none, no weights have been published yet'}."
            )
        with damage_told(preset):
            check_class(cls, preset)
            return super().from_preset(preset, load_weights, **kwargs)


class SavesPresets(LoadsPresets):
    """Mixin of whole models: presets have a model card."""

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Save the model, and its card as `README.md`."""
        super().save_to_preset(preset_dir, max_shard_size=max_shard_size)
        path = pathlib.Path(preset_dir, "README.md")
        path.write_text(model_card(self), encoding="utf-8")


def check_class(cls, preset):
    """Raise a ValueError if a directory holds a backbone of another class."""
    path = pathlib.Path(preset, preset_utils.CONFIG_FILE)
    config = json.loads(path.read_bytes())
    if not isinstance(config, dict):
        raise KeyError("configuration of an object in " + str(path))
    found = preset_utils.check_config_class(config)
    # Tasks of no backbone of their own load those of all their subclasses.
    wanted = getattr(cls, "backbone_cls", cls)
    if wanted is not None and not issubclass(found, wanted):
        raise ValueError(
            f"{cls.__name__} loads presets of a {wanted.__name__}. Received: "
            f"{preset!r}, which has a {found.__name__}. Load it with "
            "`keras_hub.models.CausalLM.from_preset`, which finds the class."
        )


@contextlib.contextmanager
def damage_told(preset):
    """Turn what libraries say of a bad directory into one ValueError."""
    try:
        yield
    except (OSError, KeyError, json.JSONDecodeError, UnicodeDecodeError) as e:
        reason = f"no {e}" if isinstance(e, KeyError) else e
        raise ValueError(
            "A preset must be complete. Received: "
            f"{preset!r}, where something is missing or damaged: {reason}. "
            "Save it again, or download it again."
        ) from e
