"""`keras-nc decode`: a container of codes to the file that it was."""

import click

from keras_nc.cli.encode import SUFFIX
from keras_nc.cli.files import check_output
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output


@click.command()
@click.argument("file")
@click.option(
    "--with",
    "codebook",
    metavar="CODEBOOK",
    required=True,
    help="The codebook file or preset that FILE was encoded with.",
)
@click.option("-o", "--output", help=f"Where to. [default: without {SUFFIX}]")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def decode(file, codebook, output, force):
    """Decode FILE ('-' for standard input), which `encode` wrote.

    The output gets its name only when its checksum is right.
    """
    from keras_nc.cli.codebooks import load_codebook
    from keras_nc.cli.display import progress_bar
    from keras_nc.cli.display import summary
    from keras_nc.cli.streaming import decode_stream

    if output is None:
        output = file.removesuffix(SUFFIX)
        if output in (file, ""):
            raise ValueError(
                f"FILE must end with {SUFFIX} to name the output. Received: "
                f"{file!r}. Pass a name with -o."
            )
    check_output(output, force, keep=codebook)
    loaded = load_codebook(codebook)
    with (
        open_input(file) as (source, size),
        open_output(output) as sink,
        progress_bar("Decoding", size) as progress,
    ):
        num_bytes, num_codes = decode_stream(
            loaded, source, sink, progress, name=file
        )
    size = source.num_bytes
    click.echo(f"{output}: {summary(loaded, num_bytes, num_codes, size)}")
