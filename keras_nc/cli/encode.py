"""`keras-nc encode`: a file to a container of codes."""

import os

import click

from keras_nc.cli.files import check_output
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output

SUFFIX = ".knc"


@click.command()
@click.argument("file")
@click.option(
    "--with",
    "codebook",
    metavar="CODEBOOK",
    required=True,
    help="A codebook file, or a preset.",
)
@click.option("-o", "--output", help=f"Where to. [default: FILE{SUFFIX}]")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def encode(file, codebook, output, force):
    """Encode FILE ('-' for standard input) with a codebook.

    Any bytes come back exactly with `keras-nc decode` and the same codebook.
    The output is decoded and compared before it gets its name.
    """
    from keras_nc.cli.codebooks import load_codebook
    from keras_nc.cli.display import progress_bar
    from keras_nc.cli.display import summary
    from keras_nc.cli.streaming import check_encoded
    from keras_nc.cli.streaming import encode_stream

    if output is None:
        if file == "-":
            raise ValueError(
                "Standard input has no name. Pass one for the output with -o."
            )
        output = file + SUFFIX
    check_output(output, force, keep=codebook)
    loaded = load_codebook(codebook)
    with (
        open_input(file) as (source, size),
        open_output(output) as sink,
        progress_bar("Encoding", size) as progress,
    ):
        num_bytes, num_codes = encode_stream(loaded, source, sink, progress)
        sink.flush()
        check_encoded(loaded, sink.name, name=codebook)
    size = os.path.getsize(output)
    click.echo(f"{output}: {summary(loaded, num_bytes, num_codes, size)}")
