"""Find out what a path holds, and load codebooks, tokenizers and models.

A codebook in a preset is read without Keras, because importing Keras would take
most of a command's time.
"""

import json
import os
import pathlib
import sys

import click

from keras_nc.backends import choose_backend
from keras_nc.cli.container import MAGIC
from keras_nc.cli.scheme_codes import SchemeCodes
from keras_nc.coding import Codebook

MODEL_CONFIG = "config.json"
#: The folder of a tokenizer's assets in presets of keras-hub.
TOKENIZER_CONFIG = "tokenizer.json"
ASSETS = pathlib.Path("assets", "tokenizer")
#: The first bytes of archives of arrays.
_ZIP = b"PK\x03\x04"


def codebook_option(help, required=True):
    """Make the option `--with`, which names a codebook."""
    return click.option(
        "--with", "codebook", metavar="CODEBOOK", required=required, help=help
    )


def find_kind(path):
    """Return the kind of content of a path.

    Args:
        path: str.

    Returns:
        `"shards"`, `"preset"`, `"encoded"` or `"codebook"`. A codebook may
        still turn out to be another archive of arrays.

    Raises:
        ValueError: if it holds something else.
        OSError: if it cannot be read.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        if names & {"manifest.json", "progress.json"}:
            return "shards"
        if names & {"config.json", "task.json", "tokenizer.json"}:
            return "preset"
        raise ValueError(
            "A folder must hold token shards or a preset. Received: "
            f"{str(path)!r}, which holds neither. Name a folder that "
            "`write_shards` or `save_to_preset` wrote."
        )
    kind, begins = _look_into(path)
    if kind is not None:
        return kind
    raise ValueError(
        "An encoded or codebook file must begin as `keras-nc encode` or "
        f"`Codebook.save` writes it. Received: {str(path)!r}, which {begins}. "
        "Name such a file, or a folder of token shards or of a preset."
    )


def _look_into(path):
    """Return the kind of a file or `None`, and words for its first bytes."""
    with open(path, "rb") as stream:
        begin = stream.read(len(MAGIC))
    if begin == MAGIC:
        return "encoded", "is an encoded file"
    kind = "codebook" if begin.startswith(_ZIP) else None
    return kind, f"begins with {begin!r}" if begin else "is empty"


def load_codebook(path):
    """Load a codebook from its file or from a preset.

    Args:
        path: str, a file of `Codebook.save` or a folder of `save_to_preset`.

    Returns:
        A `Codebook`; for a preset of other tokens a `SchemeCodes`.

    Raises:
        ValueError: if there is no codebook, or one that is damaged.
        OSError: if it cannot be read.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        kind, begins = _look_into(path)
        if kind == "codebook":
            return Codebook.load(path)
        raise ValueError(
            "A codebook file must be an archive of arrays. Received: "
            f"{str(path)!r}, which {begins}. Pass a file of `Codebook.save`, "
            "or a preset."
        )
    scheme = read_scheme(path)
    if scheme["name"] != "equal_info":
        return SchemeCodes(load_scheme(scheme, path / ASSETS))
    codebook = Codebook.load(path / ASSETS / "codebook.npz")
    expected = scheme.get("codebook_fingerprint")
    if expected not in (None, codebook.fingerprint):
        raise ValueError(
            "A preset must have the codebook that its configuration names. "
            f"Received: {str(path)!r} with fingerprint "
            f"{codebook.fingerprint} instead of {expected}. Save the preset "
            "again."
        )
    return codebook


def read_scheme(folder):
    """Read the configuration of a preset's tokenization scheme, a dict."""
    try:
        scheme = read_json(folder / TOKENIZER_CONFIG)["config"]["scheme"]
        scheme["name"]  # a KeyError or TypeError means another tokenizer
        return scheme
    except (FileNotFoundError, LookupError, TypeError) as error:
        raise ValueError(
            "A preset must have a tokenizer of keras_nc. Received: "
            f"{str(folder)!r}, whose {TOKENIZER_CONFIG} is missing or of "
            "another tokenizer. Pass a codebook, or a folder that "
            "`save_to_preset` wrote."
        ) from error


def read_json(path):
    """Read a JSON file, or raise a ValueError that names it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"A preset's files must be JSON. Received: {str(path)!r} with "
            f"{error}. Save the preset again."
        ) from error


def load_scheme(config, assets):
    """Load a scheme of a preset; this imports Keras.

    Args:
        config: dict, the scheme's configuration.
        assets: `pathlib.Path`, the folder of its files.

    Returns:
        A `keras_nc.tokenizers.Scheme`.
    """
    prepare_keras()
    from keras_nc.tokenizers.scheme import scheme_from_config

    try:
        scheme = scheme_from_config(config)
    except TypeError as error:
        raise ValueError(
            "A preset must have a tokenizer of this version of keras_nc. "
            f"Received: {error}. Load it with the version that saved it."
        ) from error
    scheme.load_assets(assets)
    return scheme


def load_model(preset):
    """Load M1 or M2 with its tokenizer.

    Args:
        preset: str, a folder, a built-in name, or a handle of keras-hub.

    Returns:
        A `ByteCausalLM` or a `CompressedCausalLM`.

    Raises:
        ValueError: if the preset does not hold such a model.
    """
    _check_preset(preset)
    prepare_keras()
    from keras_nc.models.causal_lm import DecoderCausalLM

    model = DecoderCausalLM.from_preset(preset)
    if model.preprocessor is None:
        raise ValueError(
            "The preset must hold a tokenizer, too. Received: "
            f"{preset!r}, which has none. Save the model with its preprocessor."
        )
    return model


def _check_preset(preset):
    """Refuse a path on the disk without a model, before importing Keras."""
    if os.path.isfile(preset):
        raise ValueError(
            "A preset must be a folder. Received: "
            f"{preset!r}, which is a file. Name a folder that "
            "`save_to_preset` wrote."
        )
    if not os.path.isdir(preset):
        return  # a built-in name or a handle, perhaps
    kind = find_kind(preset)
    if kind == "preset" and holds_model(pathlib.Path(preset)):
        return
    holds = "a tokenizer, but no model" if kind == "preset" else "token shards"
    raise ValueError(
        "A preset must hold a model. Received: "
        f"{preset!r}, which holds {holds}. Name a folder that a model's "
        "`save_to_preset` wrote."
    )


def holds_model(folder):
    """Return whether a preset holds a model, not a tokenizer alone."""
    path = folder / MODEL_CONFIG
    if not path.exists():
        return False
    # In the preset of a tokenizer alone, this names a placeholder.
    config = read_json(path)
    names = config.get("class_name") if isinstance(config, dict) else None
    return names != "TokenizerPreset"


def prepare_keras():
    """Choose a backend, and keep keras-hub from importing TensorFlow.

    TensorFlow takes seconds to import. Call this before the first import of
    Keras; later, it has no effect.

    Raises:
        ValueError: if `KERAS_BACKEND` is not supported or not installed.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    if choose_backend() != "tensorflow":
        # In `sys.modules`, None marks a module that cannot be imported.
        sys.modules["tensorflow"] = None
