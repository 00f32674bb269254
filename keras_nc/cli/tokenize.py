"""`keras-nc tokenize`: files to token shards."""

import itertools
import pathlib

import click

from keras_nc.cli.errors import option_names
from keras_nc.cli.files import ASSETS
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import find_input_files
from keras_nc.cli.files import force_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import load_scheme
from keras_nc.cli.files import no_text
from keras_nc.cli.files import read_scheme
from keras_nc.cli.files import text_key_option
from keras_nc.coding import TextTokenizer

#: The options of commands that errors of `keras_nc.data` name as arguments.
OPTIONS = {
    "overwrite": "--force",
    "shard_tokens": "--shard-tokens",
    "text_key": "--text-key",
    "write_shards": "`keras-nc tokenize`",
    "tokenizer": "--with",
}


def load_tokenizer(path):
    """Load a codebook or the tokenizer of a preset, to write and read shards.

    Args:
        path: str, a codebook file or a preset.

    Returns:
        A `TextTokenizer` if windows are tokens, which needs no Keras; else a
        `SchemeTokenizer`.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        scheme = read_scheme(path)
        if scheme["name"] == "equal_info" and (
            scheme.get("token_bits") == scheme.get("window_bits")
        ):
            return TextTokenizer.load(path)
        loaded = load_scheme(scheme, path / ASSETS)
        from keras_nc.tokenizers import SchemeTokenizer

        return SchemeTokenizer(loaded)
    return TextTokenizer(load_codebook(path))


@click.command()
@click.argument("files", nargs=-1, required=True)
@codebook_option("The codebook file, or a preset whose tokenizer to use.")
@click.option("-o", "--output", required=True, help="The folder of the shards.")
@click.option(
    "--shard-tokens",
    type=click.IntRange(min=1),
    default=1 << 26,
    show_default=True,
    help="Most tokens of a shard, which is held in memory.",
)
@text_key_option
@force_option
def tokenize(files, codebook, output, shard_tokens, text_key, force):
    """Tokenize the documents in FILES into a folder of token shards.

    FILES are files, patterns such as 'corpus/*.jsonl.zst', or folders. A file
    is one document, or JSON lines with a document on each, and may be
    compressed.

    If it was interrupted, the same command continues after the last complete
    shard. If files of shards are damaged or missing, it writes only those
    shards again. `keras-nc verify` checks shards.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import read_documents
    from keras_nc.data import write_shards

    tokenizer = load_tokenizer(codebook)
    with option_names(OPTIONS):
        documents = read_documents(find_input_files(files), text_key)
        first = next(documents, None)
        if first is None:
            raise no_text(files)
        shards = write_shards(
            itertools.chain([first], documents),
            tokenizer,
            output,
            shard_tokens=shard_tokens,
            overwrite=force,
        )
    click.echo(f"{output}: {describe_shards(shards)}.")


def describe_shards(shards):
    """Return the counts of token shards in words."""
    return (
        f"{shards.num_tokens:,} tokens of {shards.num_bytes:,} bytes "
        f"({shards.bytes_per_token:.3f} bytes/token); documents: "
        f"{shards.num_documents:,}; shards: "
        f"{len(shards.manifest['shards']):,}"
    )
