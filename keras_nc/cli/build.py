"""`keras-nc build`: a codebook from text."""

import sys

import click

from keras_nc.cli.display import progress_bar
from keras_nc.cli.errors import option_names
from keras_nc.cli.files import check_output
from keras_nc.cli.files import find_input_files
from keras_nc.cli.files import force_option
from keras_nc.cli.files import naming_output
from keras_nc.cli.files import no_text
from keras_nc.cli.files import text_key_option
from keras_nc.coding import Codebook


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
    help="Build from the first bytes of FILES, at most this many. Memory and "
    "time grow with them.",
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
    with option_names({"text_key": "--text-key"}):
        documents = read_documents(find_input_files(files), text_key)
        text = []
        with progress_bar("Reading", None) as progress:
            for document in _first_bytes(documents, text_bytes):
                text.append(document)
                progress(len(document))
    num_bytes = sum(map(len, text))
    if not text:
        raise no_text(files)
    if sys.stderr.isatty():
        megabytes = f"{num_bytes / 1e6:,.1f} MB"
        click.echo(f"Building windows from {megabytes} of text", err=True)
    with option_names({"window_bits": "--window-bits"}):
        codebook = Codebook.build(text=text, window_bits=window_bits)
    with naming_output(output):
        codebook.save(output)
    num_windows = int((codebook.token_lengths > 0).sum())
    num_codes = len(codebook.encode_batch(text)[0])
    click.echo(
        f"{output}: {num_windows:,} windows of {window_bits} bits. The text "
        f"takes {num_codes:,} windows for {num_bytes:,} bytes "
        f"({num_bytes / num_codes:.3f} bytes/window); documents: {len(text):,}."
    )


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
