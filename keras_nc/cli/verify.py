"""`keras-nc verify`: check that files are as they were written."""

import os
import pathlib

import click
import numpy as np

from keras_nc.cli.block_coders import find_blocks
from keras_nc.cli.container import BY_MODEL
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.corpus import OPTIONS
from keras_nc.cli.corpus import describe_shards
from keras_nc.cli.corpus import load_tokenizer
from keras_nc.cli.display import progress_bar
from keras_nc.cli.encode import decode_stream
from keras_nc.cli.errors import option_names
from keras_nc.cli.files import ASSETS
from keras_nc.cli.files import NAMES
from keras_nc.cli.files import TOKENIZER_CONFIG
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import find_input_files
from keras_nc.cli.files import find_kind
from keras_nc.cli.files import holds_model
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import load_model
from keras_nc.cli.files import load_scheme
from keras_nc.cli.files import locate
from keras_nc.cli.files import open_input
from keras_nc.cli.files import read_scheme
from keras_nc.cli.files import text_key_option
from keras_nc.imports import prepare_keras


@click.command()
@click.argument("path")
@codebook_option(
    "For an encoded file or token shards: also decode them with this codebook "
    "or preset, and check the text.",
    required=False,
)
@click.option(
    "--against",
    metavar="FILES",
    multiple=True,
    help="For token shards: also compare their text with these files, the "
    "input of `keras-nc tokenize`; repeatable. Needs --with.",
)
@text_key_option
def verify(path, codebook, against, text_key):
    """Check all files of PATH, and name those that are damaged.

    PATH is a codebook, an encoded file, a folder of token shards or a preset.
    The exit code is 0 only if no damage was found.
    """
    kind = find_kind(path)
    if codebook is not None and kind not in ("encoded", "shards"):
        raise ValueError(
            "--with is for encoded files and token shards. Received: --with "
            f"for {path!r}, {NAMES[kind]}. Leave it out."
        )
    if against and kind != "shards":
        raise ValueError(
            "--against is for token shards. Received: --against for "
            f"{path!r}, {NAMES[kind]}. Leave it out."
        )
    if kind == "encoded":
        result = _verify_encoded(path, codebook)
    elif kind == "shards":
        result = _verify_shards(path, codebook, against, text_key)
    elif kind == "codebook":
        result = _verify_codebook(path)
    else:
        result = _verify_preset(path)
    click.echo(f"{path}: {result}")


def _verify_codebook(path):
    codebook = load_codebook(path)
    return f"no damage; the codebook's fingerprint is {codebook.fingerprint}."


def _verify_encoded(path, codebook):
    with (
        open_input(path) as (source, size),
        progress_bar("Checking", size) as progress,
    ):
        reader = ContainerReader(source, path)
        if codebook is not None:
            blocks = find_blocks(reader, codebook)
            with open(os.devnull, "wb") as nowhere:
                num_bytes, num_codes = decode_stream(
                    blocks, reader, nowhere, progress
                )
        else:
            num_codes = 0
            for block in reader.blocks():
                num_codes += block.num_codes
                progress(len(block.content))
    by_model = reader.method == BY_MODEL
    what = f"{num_codes:,} {'streams' if by_model else 'codes'}"
    if codebook is not None:
        return f"{what} decode to the {num_bytes:,} bytes that were encoded."
    return (
        f"{what} are as they were written. The text was not checked; pass "
        f"--with the {'model' if by_model else 'codebook'} "
        f"{reader.fingerprint}."
    )


def _verify_shards(path, codebook, against, text_key):
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import ReadingReport
    from keras_nc.data import read_documents
    from keras_nc.data import verify_shards
    from keras_nc.data.corpus_groups import read_inputs

    if against and codebook is None:
        raise ValueError(
            "--against compares the text of the shards, which are decoded with "
            "--with. Received: --against without --with. Pass both."
        )
    tokenizer = None if codebook is None else load_tokenizer(codebook)
    inputs = read_inputs(path)
    with option_names(OPTIONS):
        documents = None
        if against:
            # Skip what was skipped when the shards were written.
            skips = inputs is not None and inputs["settings"]["skip_damaged"]
            documents = read_documents(
                find_input_files(against),
                text_key,
                report=ReadingReport(skip_damaged=skips),
            )
        shards = verify_shards(path, tokenizer, documents)
    if against:
        result = "They are as they were written, and decode to the input."
    elif codebook is not None:
        result = (
            "They are as they were written, and decode to the text that was "
            "tokenized."
        )
    else:
        result = (
            "They are as they were written. The text was not checked; pass "
            "--with the codebook."
        )
    return f"{describe_shards(shards)}. {result}"


def _verify_preset(path):
    prepare_keras()
    try:
        results = _load_preset(pathlib.Path(locate(path)))
    except (ImportError, MemoryError):  # not the preset's fault
        raise
    except Exception as error:  # a damaged preset may raise anything
        raise ValueError(
            "A preset must load, with all its weights. Received: "
            f"{path!r}: {str(error) or type(error).__name__} Save or fetch it "
            "again."
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

        # A task also has settings of its own; it has the same weights.
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
