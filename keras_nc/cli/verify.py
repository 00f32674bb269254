"""`keras-nc verify`: check that files are as they were written."""

import os
import pathlib

import click
import numpy as np

from keras_nc.cli.container import ContainerReader
from keras_nc.cli.display import progress_bar
from keras_nc.cli.encode import decode_stream
from keras_nc.cli.files import open_input
from keras_nc.cli.loading import ASSETS
from keras_nc.cli.loading import TOKENIZER_CONFIG
from keras_nc.cli.loading import codebook_option
from keras_nc.cli.loading import find_kind
from keras_nc.cli.loading import holds_model
from keras_nc.cli.loading import load_codebook
from keras_nc.cli.loading import load_model
from keras_nc.cli.loading import load_scheme
from keras_nc.cli.loading import prepare_keras
from keras_nc.cli.loading import read_scheme


@click.command()
@click.argument("path")
@codebook_option(
    "For encoded files: check the text, too, with this codebook.",
    required=False,
)
def verify(path, codebook):
    """Check everything in PATH, and name what is damaged.

    It is a codebook, an encoded file, a folder of token shards or a preset.
    The exit code is 0 only if all that was checked is as it was written.
    """
    kind = find_kind(path)
    if codebook is not None and kind != "encoded":
        raise ValueError(
            "--with names the codebook of an encoded file. Received: "
            f"{path!r}. Leave it out."
        )
    if kind == "encoded":
        result = _verify_encoded(path, codebook)
    else:
        checks = {
            "codebook": _verify_codebook,
            "shards": _verify_shards,
            "preset": _verify_preset,
        }
        result = checks[kind](path)
    click.echo(f"{path}: {result}")


def _verify_codebook(path):
    codebook = load_codebook(path)
    return f"a whole codebook; its fingerprint is {codebook.fingerprint}."


def _verify_encoded(path, codebook):
    loaded = None if codebook is None else load_codebook(codebook)
    with (
        open_input(path) as (source, size),
        progress_bar("Checking", size) as progress,
    ):
        if loaded is not None:
            with open(os.devnull, "wb") as nowhere:
                num_bytes, num_codes = decode_stream(
                    loaded, source, nowhere, progress, name=path
                )
            return (
                f"{num_codes:,} codes decode to the {num_bytes:,} bytes that "
                "were encoded."
            )
        reader = ContainerReader(source, path)
        num_codes = 0
        for codes in reader.blocks():
            num_codes += len(codes)
            progress(codes.nbytes)
    return (
        f"{num_codes:,} codes are as they were written. The text was not "
        f"checked; pass --with the codebook {reader.fingerprint}."
    )


def _verify_shards(path):
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import TokenShards

    shards = TokenShards(path)
    shards.verify()
    return (
        f"all {shards.num_tokens:,} tokens of {shards.num_documents:,} "
        "documents are as they were written."
    )


def _verify_preset(path):
    prepare_keras()
    try:
        results = _load_preset(pathlib.Path(path))
    except (ImportError, MemoryError):  # not the preset's fault
        raise
    except Exception as error:  # a damaged preset may raise anything
        raise ValueError(
            "A preset must load, with all its weights. Received: "
            f"{path!r}: {str(error) or type(error).__name__} Save it again, or "
            "fetch it again."
        ) from error
    return " ".join(results)


def _load_preset(folder):
    """Load all parts of a preset; return sentences on valid parts."""
    results = []
    if (folder / TOKENIZER_CONFIG).exists():
        scheme = load_scheme(read_scheme(folder), folder / ASSETS)
        results.append(
            f"The tokenizer {scheme.name!r} has all its files; its "
            f"fingerprint is {scheme.fingerprint}."
        )
    if holds_model(folder):
        from keras_nc.models.backbone import DecoderBackbone

        # A task has its own settings, and the weights fit both.
        results.append(_check_weights(DecoderBackbone.from_preset(str(folder))))
    if (folder / "task.json").exists():
        results[-1] = _check_weights(load_model(str(folder)))
    return results


def _check_weights(model):
    from keras import ops

    for weight in model.weights:
        values = ops.convert_to_numpy(weight)
        if values.dtype.kind not in "biu":
            values = values.astype("float32")
        if not np.isfinite(values).all():
            raise ValueError(
                "Weights must be finite numbers. Received: "
                f"{weight.path!r} with infinities or NaN."
            )
    return (
        f"The model has all its {model.count_params():,} weights, finite "
        "numbers; presets have no checksum that could tell more."
    )
