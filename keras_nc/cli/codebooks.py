"""The codebook that `--with` names: a file, or a preset that holds one."""

import json
import pathlib

from keras_nc.cli.container import MAGIC
from keras_nc.cli.kinds import ZIP
from keras_nc.coding import Codebook

#: Where keras-hub's presets have what belongs to the tokenizer.
TOKENIZER_CONFIG = "tokenizer.json"
ASSETS = pathlib.Path("assets", "tokenizer")


def load_codebook(path):
    """Load a codebook from its file or from a preset.

    A codebook in a preset is read without Keras, which would take most of
    the time that the command runs.

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
        check_archive(path)
        return Codebook.load(path)
    scheme = read_scheme(path)
    if scheme["name"] != "equal_info":
        from keras_nc.cli.scheme_codes import SchemeCodes
        from keras_nc.cli.scheme_codes import load_scheme

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


def check_archive(path):
    """Raise a ValueError if a file cannot be a codebook, and say what it is."""
    with open(path, "rb") as stream:
        begin = stream.read(len(MAGIC))
    if begin.startswith(ZIP):
        return
    what = f"begins with {begin!r}" if begin else "is empty"
    what = "is an encoded file" if begin == MAGIC else what
    raise ValueError(
        "A codebook file must be an archive of arrays. Received: "
        f"{str(path)!r}, which {what}. Pass a file of `Codebook.save`, or a "
        "preset."
    )


def read_scheme(folder):
    """Read the configuration of a preset's tokenization scheme, a dict."""
    try:
        scheme = read_json(folder / TOKENIZER_CONFIG)["config"]["scheme"]
        scheme["name"]  # a KeyError or TypeError tells others apart
        return scheme
    except (FileNotFoundError, LookupError, TypeError) as error:
        raise ValueError(
            "A preset must have a tokenizer of keras_nc. Received: "
            f"{str(folder)!r}, whose {TOKENIZER_CONFIG} is missing or of "
            "another tokenizer. Pass a codebook, or a folder that "
            "`save_to_preset` wrote."
        ) from error


def read_json(path):
    """Read a JSON file; the ValueError for a damaged one names it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"A preset's files must be JSON. Received: {str(path)!r} with "
            f"{error}. Save the preset again."
        ) from error
