"""`keras-nc build` and `tokenize`: from text to codebooks and shards."""

import contextlib
import pathlib
import sys

import click

from keras_nc.cli.display import progress_bar
from keras_nc.cli.errors import option_names
from keras_nc.cli.errors import orderly_termination
from keras_nc.cli.files import ASSETS
from keras_nc.cli.files import check_output
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import find_input_files
from keras_nc.cli.files import force_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import load_scheme
from keras_nc.cli.files import naming_output
from keras_nc.cli.files import no_text
from keras_nc.cli.files import read_scheme
from keras_nc.cli.files import text_key_option
from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.coding import WordText

#: Bytes of text on which `build` reports.
_SAMPLE_BYTES = 64_000_000
#: The options of commands that errors of `keras_nc.data` name as arguments.
OPTIONS = {
    "overwrite": "--force",
    "shard_tokens": "--shard-tokens",
    "text_key": "--text-key",
    "skip_damaged": "--skip-damaged",
    "workers": "--workers",
    "write_shards": "`keras-nc tokenize`",
    "tokenizer": "--with",
}


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", required=True, help="The codebook file.")
@click.option(
    "--window-bits",
    type=click.IntRange(min=9, max=16),
    default=16,
    show_default=True,
    help="Bits of a code: 16 gives the longest windows, and up to 65,536 ids.",
)
@click.option(
    "--text-bytes",
    type=click.IntRange(min=1),
    default=64_000_000,
    show_default=True,
    help="Build from the first bytes of FILES, at most this many. Time grows "
    "with them; words of a large text are kept on the disk of the output.",
)
@text_key_option
@force_option
def build(files, output, window_bits, text_bytes, text_key, force):
    """Build a codebook from the text in FILES.

    FILES are files, patterns such as 'corpus/*.jsonl.zst', or folders. A file
    is one document, or JSON lines with a document on each, and may be
    compressed.

    The windows are the words and phrases that the text needs most, as
    `Codebook.build` chooses them by default. The same text gives the same
    codebook.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import read_documents

    check_output(output, force)
    sample = _Sample(_SAMPLE_BYTES)
    near = pathlib.Path(output).absolute().parent
    with contextlib.ExitStack() as stack:
        with (
            option_names({"text_key": "--text-key"}),
            progress_bar("Reading", None) as progress,
        ):
            documents = read_documents(find_input_files(files), text_key)
            documents = _first_bytes(documents, text_bytes)
            text = stack.enter_context(
                WordText.temporary(sample.watch(documents, progress), near)
            )
        if not sample.num_bytes:
            raise no_text(files)
        if sys.stderr.isatty():
            megabytes = f"{sample.num_bytes / 1e6:,.1f} MB"
            click.echo(f"Building windows from {megabytes} of text", err=True)
        with option_names({"window_bits": "--window-bits"}):
            codebook = Codebook.build(text=text, window_bits=window_bits)
    with naming_output(output):
        codebook.save(output)
    num_windows = int((codebook.token_lengths > 0).sum())
    num_codes = len(codebook.encode_batch(sample.documents)[0])
    num_bytes = sum(map(len, sample.documents))
    what = "The text takes"
    if num_bytes < sample.num_bytes:
        what = f"The text has {sample.num_bytes:,} bytes; its beginning takes"
    click.echo(
        f"{output}: {num_windows:,} windows of {window_bits} bits. {what} "
        f"{num_codes:,} windows for {num_bytes:,} bytes "
        f"({num_bytes / num_codes:.3f} bytes/window); documents: "
        f"{sample.num_documents:,}."
    )


class _Sample:
    """The first documents of a text, and counts of the whole text."""

    def __init__(self, most_bytes):
        self.documents, self.num_bytes, self.num_documents = [], 0, 0
        self._most_bytes = most_bytes

    def watch(self, documents, progress):
        """Yield all documents; count them and keep the first ones."""
        for document in documents:
            self.num_bytes += len(document)
            self.num_documents += 1
            if self.num_bytes <= self._most_bytes or not self.documents:
                self.documents.append(document)
            progress(len(document))
            yield document


def _first_bytes(documents, max_bytes):
    """Yield documents up to a number of bytes, and cut the last one.

    Unlike `take_bytes`, read no further when the bytes are reached: the files
    may hold terabytes.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import cut_position

    for document in documents:
        kept = document[: cut_position(document, max_bytes)]
        if kept:
            yield kept
        max_bytes -= len(document)
        if max_bytes <= 0:
            return


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
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that tokenize. The shards are the same.",
)
@click.option(
    "--runner",
    metavar="NAME",
    help="A runner of Apache Beam that tokenizes instead, such as "
    "DataflowRunner. Needs the extra [beam].",
)
@click.option(
    "--runner-option",
    metavar="OPTION",
    multiple=True,
    help="An option of the Beam pipeline, as in "
    "--runner-option=--region=us-central1; repeatable.",
)
@click.option(
    "--shard-tokens",
    type=click.IntRange(min=1),
    default=1 << 26,
    show_default=True,
    help="Most tokens of a shard, which is held in memory.",
)
@click.option(
    "--skip-damaged",
    is_flag=True,
    help="Skip what cannot be read, and list it in inputs.json, instead of "
    "stopping.",
)
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="At the end, decode all shards and compare the text.",
)
@text_key_option
@force_option
def tokenize(files, codebook, output, text_key, force, verifies, **settings):
    """Tokenize the documents in FILES into a folder of token shards.

    FILES are files, patterns such as 'corpus/*.jsonl.zst', folders, URLs such
    as 'gs://bucket/*.parquet', or data sets by name: tfds:NAME, hf:NAME. A file
    is one document, JSON lines with a document on each, a Parquet table or an
    ArrayRecord file. Text and JSON lines may be compressed.

    If it was interrupted, the same command continues after the last complete
    shard. If files of shards are damaged or missing, it writes only those
    shards again. `keras-nc verify` checks shards.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import tokenize_corpus
    from keras_nc.data import verify_shards

    tokenizer = load_tokenizer(codebook)
    options = settings.pop("runner_option")
    with option_names(OPTIONS), orderly_termination():
        shards = tokenize_corpus(
            find_input_files(files),
            tokenizer,
            output,
            text_key=text_key,
            overwrite=force,
            runner_options=options,
            **settings,
        )
        if verifies:
            verify_shards(output, tokenizer)
    checked = " They decode to the text that was tokenized." * verifies
    click.echo(f"{output}: {describe_shards(shards)}.{checked}")


def describe_shards(shards):
    """Return the counts of token shards in words."""
    described = (
        f"{shards.num_tokens:,} tokens of {shards.num_bytes:,} bytes "
        f"({shards.bytes_per_token:.3f} bytes/token); documents: "
        f"{shards.num_documents:,}; shards: "
        f"{len(shards.manifest['shards']):,}"
    )
    # Import late, because it would slow down the start of every command.
    from keras_nc.data.corpus_groups import read_inputs

    inputs = read_inputs(shards.directory)
    if inputs is not None:
        empty = sum(group["empty"] for group in inputs["groups"])
        skipped = sum(len(group["skipped"]) for group in inputs["groups"])
        if empty:
            described += f"; empty texts: {empty:,}"
        if skipped:
            described += f"; skipped: {skipped:,}, listed in inputs.json"
    return described
