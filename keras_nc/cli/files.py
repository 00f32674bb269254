"""Open inputs and outputs; find out what a path holds, and load it.

A codebook in a preset is read without Keras, because importing Keras would take
most of a command's time.
"""

import contextlib
import errno
import glob
import json
import os
import pathlib
import re
import stat
import sys

import click

from keras_nc import presets
from keras_nc.cli.container import MAGIC
from keras_nc.cli.container import SchemeCodes
from keras_nc.cli.errors import NamedStream
from keras_nc.coding import Codebook
from keras_nc.coding.archive import atomic_file
from keras_nc.imports import prepare_keras

STANDARD_STREAM = "-"
MODEL_CONFIG = "config.json"
#: The folder of a tokenizer's assets in presets of keras-hub.
TOKENIZER_CONFIG = "tokenizer.json"
ASSETS = pathlib.Path("assets", "tokenizer")
#: What errors call the kinds of `find_kind`.
NAMES = {
    "codebook": "a codebook",
    "encoded": "an encoded file",
    "preset": "a preset",
    "shards": "a folder of token shards",
}
#: The built-in codebook of `encode` and `decode`.
DEFAULT_CODEBOOK = "equal_info_16bit_en"
#: The first bytes of archives of arrays.
_ZIP = b"PK\x03\x04"


@contextlib.contextmanager
def open_input(path):
    """Open a file, or standard input for `-`, to read bytes.

    Yields:
        The binary stream, and its size in bytes or `None`. The stream counts
        the bytes read in `num_bytes`.
    """
    if path == STANDARD_STREAM:
        if sys.stdin is None or sys.stdin.closed:
            raise ValueError(
                "Standard input must be open to be read. Received: '-' with "
                "standard input closed. Redirect it from a file, or pass a "
                "file's name."
            )
        yield NamedStream(sys.stdin.buffer, "standard input"), None
        return
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        regular = stat.S_ISREG(status.st_mode)
        size = status.st_size if regular else None
        yield NamedStream(stream, path), size


def find_input_files(paths):
    """List the files of paths, which may be files, patterns or folders.

    Args:
        paths: list of str. A folder stands for all files below it whose names,
            and those of their folders, do not begin with a dot.

    Returns:
        A list of str: each file once, in the order of the paths.

    Raises:
        ValueError: if a path stands for no file.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import find_files

    return find_files(
        [
            os.path.join(glob.escape(path), "**", "*")
            if os.path.isdir(path)
            else path
            for path in paths
        ]
    )


def no_text(paths):
    """Make the ValueError for input files that hold no text."""
    return ValueError(
        "FILES must hold at least one byte of text. Received: "
        f"{', '.join(map(repr, paths))} without any. Name other files."
    )


def check_output(path, force, keep=None):
    """Check an output path before any work is done.

    Args:
        path: str.
        force: bool, whether a file may be replaced.
        keep: str, the codebook, or `None`. It is never replaced, because
            decoding needs it.

    Raises:
        ValueError: if the path exists, or cannot be a file.
        OSError: if its folder is missing.
    """
    if path == STANDARD_STREAM:
        raise ValueError(
            "Output must go to a file, so that it is complete or does not "
            "exist. Received: '-'. Pass a name with -o."
        )
    folder = os.path.dirname(path) or os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if not os.path.lexists(path):
        return
    # Never replace a device or a folder by a file.
    if not os.path.isfile(path):
        raise ValueError(
            f"Output must go to a file. Received: {path!r}, a folder or a "
            "device. Pass another name with -o."
        )
    if keep and os.path.exists(keep) and os.path.samefile(path, keep):
        raise ValueError(
            "Output must not replace the codebook, which decoding needs. "
            f"Received: {path!r}. Pass another name with -o."
        )
    if not force:
        raise ValueError(
            f"Output must not exist yet. Received: {path!r}. Pass --force to "
            "replace it, or another name with -o."
        )


@contextlib.contextmanager
def open_output(path):
    """Open a file to write bytes. It gets its name only when complete."""
    with naming_output(path), atomic_file(path) as stream:
        yield stream


@contextlib.contextmanager
def naming_output(path):
    """Name an output in errors of the system that writing it raises."""
    try:
        yield
    except OSError as error:
        # The error names the temporary file, or no file. Name this one.
        name = error.filename
        if name is None or str(name).startswith(f"{path}."):
            error.filename = path
        raise


def codebook_option(help, **settings):
    """Make the option `--with`, which names a codebook.

    Args:
        help: str.
        **settings: `required=False` or a `default`.
    """
    # A default of `None` would count as a value, and nothing be required.
    has_default = "default" in settings
    settings = {
        "required": not has_default,
        "show_default": has_default,
        **settings,
    }
    return click.option(
        "--with", "codebook", metavar="CODEBOOK", help=help, **settings
    )


force_option = click.option(
    "--force", is_flag=True, help="Replace an output that exists."
)
text_key_option = click.option(
    "--text-key",
    metavar="KEY",
    default="text",
    show_default=True,
    help="The key of the text in JSON lines.",
)


def find_kind(path):
    """Find out what a path holds.

    Args:
        path: str.

    Returns:
        `"shards"`, `"preset"`, `"encoded"` or `"codebook"`. A codebook may
        still turn out to be another archive of arrays.

    Raises:
        ValueError: if it holds something else.
        OSError: if it cannot be read.
    """
    path = pathlib.Path(locate(path))
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
        "A file must be a codebook that `Codebook.save` wrote, or an output of "
        f"`keras-nc encode`. Received: {str(path)!r}, which {begins}. Name "
        "such a file, or a folder of token shards or of a preset."
    )


def _look_into(path):
    """Return a file's kind or `None`, and a description of its first bytes."""
    with open(path, "rb") as stream:
        begin = stream.read(len(MAGIC))
    if begin == MAGIC:
        return "encoded", "is an encoded file"
    kind = "codebook" if begin.startswith(_ZIP) else None
    return kind, f"begins with {begin!r}" if begin else "is empty"


def locate(path):
    """Return the folder of a built-in name; an existing path stays as it is.

    Raises:
        FileNotFoundError: if there is neither.
    """
    folder = path if os.path.exists(path) else presets.resolve(path)
    if not os.path.exists(folder):
        reason = os.strerror(errno.ENOENT)
        if re.fullmatch(r"\w+", path):  # perhaps a name
            reason += f" or built-in name ({', '.join(presets.PRESETS)})"
        raise FileNotFoundError(errno.ENOENT, reason, path)
    return folder


def load_codebook(path):
    """Load a codebook from its file or from a preset.

    Args:
        path: str, a file of `Codebook.save`, a folder of `save_to_preset`, or
            the name of a built-in preset.

    Returns:
        A `Codebook`; for a preset of other tokens a `SchemeCodes`.

    Raises:
        ValueError: if there is no codebook, or if it is damaged.
        OSError: if it cannot be read.
    """
    path = locate(path)
    path = pathlib.Path(path)
    if not path.is_dir():
        kind, begins = _look_into(path)
        if kind == "codebook":
            return Codebook.load(path)
        raise ValueError(
            "A codebook must be a file that `Codebook.save` wrote, or a "
            f"preset. Received: {str(path)!r}, which {begins}. Pass a codebook "
            "or a preset."
        )
    scheme = read_scheme(path)
    if scheme["name"] != "equal_info":
        return SchemeCodes(load_scheme(scheme, path / ASSETS))
    codebook = Codebook.load(path / ASSETS / "codebook.npz")
    expected = scheme.get("codebook_fingerprint")
    if expected not in (None, codebook.fingerprint):
        raise ValueError(
            "A preset must have the codebook that its configuration names, "
            f"with fingerprint {expected}. Received: {str(path)!r} with "
            f"fingerprint {codebook.fingerprint}. Save the preset again."
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
            f"{str(folder)!r}, whose {TOKENIZER_CONFIG} is missing or "
            "describes another tokenizer. Pass a codebook, or a folder that "
            "`save_to_preset` wrote."
        ) from error


def read_json(path):
    """Read a JSON file, or raise a ValueError that names it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"The configurations of a preset must be JSON. Received: "
            f"{str(path)!r} ({error}). Save the preset again."
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
            "A model's preset must also hold a tokenizer. Received: "
            f"{preset!r}, which has none. Save the model with its preprocessor."
        )
    return model


def _check_preset(preset):
    """Refuse an existing path that holds no model, before importing Keras."""
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
    # The preset of a tokenizer alone has a placeholder here.
    config = read_json(path)
    names = config.get("class_name") if isinstance(config, dict) else None
    return names != "TokenizerPreset"
