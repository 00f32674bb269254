"""Presets: built-in names, loading with checks, files, and the model card."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import tempfile

import keras

from keras_nc.coding.archive import atomic_path
from keras_nc.layers.initializers import weights_follow
from keras_nc.tokenizers.presets import check_directory

#: This file names a class. From it, keras-hub finds all others of the preset.
CONFIG_FILE = "config.json"
TASK_FILES = ("task.json", "task.weights.h5")
#: Files of a backbone. Its weights are in one file or in several. The files of
#: a task are included, because an older task describes an older backbone.
BACKBONE_FILES = (
    CONFIG_FILE,
    "metadata.json",
    "model*.weights.h5",
    "model.weights.json",
    *TASK_FILES,
)
#: Files of a preprocessor and its tokenizer.
PREPROCESSOR_FILES = (
    "preprocessor.json",
    "tokenizer.json",
    "assets/tokenizer/*",
    *TASK_FILES,
)

#: Directories of incomplete presets.
_unfinished = set()


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
        with weights_follow() if load_weights else contextlib.nullcontext():
            return cls._from_preset(os.fspath(preset), load_weights, **kwargs)

    @classmethod
    def _from_preset(cls, preset, load_weights, **kwargs):
        if preset in cls.presets or "://" in preset:
            return super().from_preset(preset, load_weights, **kwargs)
        check_directory(preset, sorted(cls.presets))
        with damage_told(preset):
            check_class(cls, preset)
            kwargs.setdefault("dtype", dtype_to_load(preset))
            if hasattr(cls, "preprocessor_cls") and is_backbone_alone(preset):
                kwargs.setdefault("preprocessor", None)
            return super().from_preset(preset, load_weights, **kwargs)


# === The configuration file ===


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


def config_without_backbone(backbone_cls):
    """Return a configuration by which keras-hub finds a preprocessor."""
    return {
        "module": backbone_cls.__module__,
        "class_name": backbone_cls.__name__,
        "config": {},
        "registered_name": keras.saving.get_registered_name(backbone_cls),
    }


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


# === Files ===


@contextlib.contextmanager
def new_preset(preset_dir, files):
    """Yield a directory whose files become a preset once all are written.

    If the block raises, the older preset stays as it was. If the process is
    killed, a directory `.<letters>.saving` remains beside the older preset.
    If it is killed while files take their places, the preset has no
    `config.json`, and cannot be loaded.

    Args:
        preset_dir: str. Where the preset goes. If an outer call yielded this
            directory, it is yielded again: the files are part of that preset.
        files: Patterns of the files that the older preset may have.

    Yields:
        A path, str.
    """
    preset_dir = os.fspath(preset_dir)
    if "://" in preset_dir:
        raise ValueError(
            "A preset is saved to a directory. Received: preset_dir="
            f"{preset_dir!r}. Save it to one, then call "
            "`keras_hub.upload_preset(handle, directory)`."
        )
    target = os.path.realpath(preset_dir)
    if target in _unfinished:
        yield target
        return
    if os.path.exists(target) and not os.path.isdir(target):
        raise ValueError(
            "A preset is saved to a directory. Received: preset_dir="
            f"{preset_dir!r}, which is a file. Choose another name."
        )
    is_new = not os.path.exists(target)
    os.makedirs(target, exist_ok=True)
    try:
        # Inside `preset_dir`, because its parent may be on another disk.
        with tempfile.TemporaryDirectory(".saving", ".", target) as aside:
            new, old = os.path.join(aside, "new"), os.path.join(aside, "old")
            os.mkdir(new)
            _unfinished.add(new)
            try:
                yield new
            finally:
                _unfinished.remove(new)
            exchange(new, old, target, files)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(target)
        raise


def exchange(new, old, target, files):
    """Replace the files of an older preset by those of a new one.

    Args:
        new: str. A directory of complete files.
        old: str. A directory for the older files.
        target: str. The preset's directory.
        files: Patterns of the files that the older preset may have.
    """
    ours = [path for path in pathlib.Path(new).rglob("*") if path.is_file()]
    for path in ours:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    ours = [os.path.relpath(path, new) for path in ours]
    theirs = {path for path in ours if os.path.lexists(f"{target}/{path}")}
    for pattern in files:
        for path in pathlib.Path(target).glob(pattern):
            if not path.is_dir():
                theirs.add(os.path.relpath(path, target))
    # Without a configuration, nothing can be loaded. So remove it first, and
    # put the new one in place last.
    theirs = sorted(theirs, key=lambda path: path != CONFIG_FILE)
    ours = sorted(ours, key=lambda path: path == CONFIG_FILE)
    moves = [(target, old, path) for path in theirs]
    moves += [(new, target, path) for path in ours]
    done = []
    try:
        for source, into, path in moves:
            done.append((source, into, path))
            move(os.path.join(source, path), os.path.join(into, path))
    except BaseException:
        for source, into, path in reversed(done):
            if os.path.lexists(os.path.join(into, path)):
                move(os.path.join(into, path), os.path.join(source, path))
        raise


def move(source, target):
    """Move a file; `target` is complete or does not exist.

    A folder of a preset may be a link to another disk.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        os.unlink(source)


# === The model card ===

_HEADER = """---
library_name: keras-hub
pipeline_tag: text-generation
tags:
- keras
- keras_nc
---
"""

_USE = """
## How to load it

```python
import keras_hub
import keras_nc.models  # makes the classes known

causal_lm = keras_hub.models.CausalLM.from_preset(path)
print(causal_lm.generate("Once upon a time", max_length=64))
```

`path` is this directory, or its handle (`hf://...`, `kaggle://...`). It works
on JAX, TensorFlow and PyTorch. A text begins with its prompt, byte for byte.

## To be filled in

This card was written when the model was saved. It describes the model, not how
it was trained. Please add the training text, bits per byte on held-out text,
intended use, and a licence (`license:` in the header).
"""


def model_card(causal_lm):
    """Describe a model from its own figures.

    Args:
        causal_lm: A `DecoderCausalLM`.

    Returns:
        str, Markdown with a header in YAML.
    """
    backbone = causal_lm.backbone
    table = backbone.token_embedding
    embeddings = {}
    if table.is_made_from_bytes:
        embeddings["embeddings"] = (
            "made from bytes: a vector for each id, and for "
            f"{table.ngrams.shape[0]:,} hashed n-grams"
        )
    rows = {
        "class": type(causal_lm).__name__,
        "parameters": f"{backbone.count_params():,}, of which "
        f"{table.count_params():,} in the embedding table, "
        "which also gives the logits",
        "layers": backbone.num_layers,
        "attention heads": f"{backbone.num_heads} of width {backbone.head_dim}",
        "width": f"{backbone.hidden_dim}, in the MLPs "
        f"{backbone.intermediate_dim}",
        "positions": backbone.position,
        "ids": f"{backbone.vocabulary_size:,}",
        **embeddings,
        "quantized to": quantization(backbone) or "not quantized",
        **tokenizer_rows(causal_lm.preprocessor),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return (
        f"{_HEADER}\n# {type(causal_lm).__name__}\n\n"
        "A decoder-only language model over tokens that stand for bytes of "
        "text,\nmade with keras_nc (see arXiv 2404.03626).\n\n"
        "| | |\n|---|---|\n" + "\n".join(lines) + f"\n{_USE}"
    )


def quantization(backbone):
    """Name the modes that layers are quantized to, such as `"int8"`."""
    policy = keras.dtype_policies.get(backbone.get_config()["dtype"])
    if not isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        policy = {"": policy}
    modes = {policy[path].quantization_mode for path in policy} - {None}
    return ", ".join(sorted(modes))


def tokenizer_rows(preprocessor):
    """Describe a tokenizer: rows of the card, a dict."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is None:
        return {"tokenizer": "none saved with it"}
    rows = {"tokenizer": tokenizer.scheme_name}
    config = tokenizer.scheme.get_config()
    if config.get("window_bits") is not None:
        rows["bits per window, W"] = config["window_bits"]
    if config.get("token_bits") is not None:
        rows["bits per token, N"] = config["token_bits"]
    rows["tokenizer's fingerprint"] = f"`{tokenizer.fingerprint}`"
    rows["tokens per example"] = preprocessor.sequence_length
    return rows
