"""`keras-nc inspect`: show the content of a file or folder."""

import pathlib

import click

from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.inspect_codebook import inspect_codebook
from keras_nc.cli.inspect_tokens import inspect_encoded
from keras_nc.cli.inspect_tokens import inspect_shards
from keras_nc.cli.loading import MODEL_CONFIG
from keras_nc.cli.loading import TOKENIZER_CONFIG
from keras_nc.cli.loading import codebook_option
from keras_nc.cli.loading import find_kind
from keras_nc.cli.loading import holds_model
from keras_nc.cli.loading import read_json
from keras_nc.cli.loading import read_scheme

#: Arguments of a backbone that do not affect its size.
_UNINTERESTING = {"name", "trainable", "dtype"}


@click.command()
@click.argument("path")
@click.option(
    "--text",
    metavar="FILE",
    help="For a codebook or its preset: count its windows in this text.",
)
@codebook_option(
    "For shards and encoded files: show tokens as text.", required=False
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows of a table.",
)
def inspect(path, text, codebook, top):
    """Describe PATH.

    It is a codebook, an encoded file, a folder of token shards or a preset.
    The tables show what the files say; `keras-nc verify` checks them.
    """
    kind = find_kind(path)
    if text is not None and kind not in ("codebook", "preset"):
        raise ValueError(
            "--text counts the windows of a codebook or preset. Received: "
            f"{path!r}. Leave it out."
        )
    if codebook is not None and kind not in ("shards", "encoded"):
        raise ValueError(
            "--with names the codebook of token shards or of an encoded file. "
            f"Received: {path!r}. Leave it out."
        )
    if kind == "codebook":
        inspect_codebook(path, text, top)
    elif kind == "preset":
        inspect_preset(path, text, top)
    elif kind == "shards":
        inspect_shards(path, codebook, top)
    else:
        inspect_encoded(path, codebook, top)


def inspect_preset(path, text, top):
    """Print tables on a preset, and on its codebook if it has one.

    Args:
        path: str, a folder.
        text: str, a file to count windows in, or `None`.
        top: int, rows of a table.
    """
    folder = pathlib.Path(path)
    rows = _model_rows(folder)
    scheme = {}
    if (folder / TOKENIZER_CONFIG).exists():
        scheme = read_scheme(folder)
        class_name, _ = _read_class(folder / TOKENIZER_CONFIG)
        rows.append(("tokenizer", class_name))
        rows += [(f"tokenizer.{k}", _show(v)) for k, v in scheme.items()]
    has_codebook = scheme.get("name") == "equal_info"
    if text is not None and not has_codebook:
        raise ValueError(
            "--text counts the windows of a codebook. Received: "
            f"{path!r}, whose tokens are of the scheme "
            f"{scheme.get('name')!r}. Leave it out."
        )
    rows.append(("not checked", f"its files; `keras-nc verify {path}` does"))
    if has_codebook:
        inspect_codebook(path, text, top, first=(f"Preset {path}", rows))
    else:
        print_table(make_console(), f"Preset {path}", rows)


def _model_rows(folder):
    rows = []
    if (folder / "task.json").exists():
        rows.append(("model", _read_class(folder / "task.json")[0]))
    if holds_model(folder):
        class_name, arguments = _read_class(folder / MODEL_CONFIG)
        rows.append(("backbone", class_name))
        rows += [
            (name, _show(value))
            for name, value in arguments.items()
            if name not in _UNINTERESTING
        ]
    if (folder / "metadata.json").exists():
        metadata = read_json(folder / "metadata.json")
        for name in ("parameter_count", "keras_version", "date_saved"):
            if isinstance(metadata, dict) and name in metadata:
                rows.append((name, _show(metadata[name])))
    return rows


def _read_class(path):
    """Read the name and the arguments of the class in a configuration."""
    config = read_json(path)
    if isinstance(config, dict) and isinstance(config.get("config"), dict):
        return str(config.get("class_name")), config["config"]
    raise ValueError(
        "A preset's configuration must be of a Keras object. Received: "
        f"{str(path)!r}, which is not. Save the preset again."
    )


def _show(value):
    return value if type(value) in (int, float, str) else str(value)
