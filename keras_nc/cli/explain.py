"""`keras-nc explain`: how a text is cut into windows."""

import os

import click
from rich.text import Text

from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.display import printable
from keras_nc.cli.display import quoted
from keras_nc.cli.display import summary
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import open_input

#: Nobody reads more in a terminal; `inspect --text` counts windows instead.
MAX_BYTES = 1_000_000
_STYLES = ("black on bright_cyan", "black on bright_yellow")


@click.command()
@click.argument("text", required=False)
@codebook_option("A codebook file, or a preset.")
@click.option(
    "--file", help="Explain this file instead ('-' for standard input)."
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Rows of the table of windows.",
)
def explain(text, codebook, file, top):
    """Show how TEXT is cut into windows, with their codes and bits per byte."""

    if (text is None) == (file is None):
        both = "neither" if text is None else "both"
        raise ValueError(
            "`explain` takes either TEXT or --file. Received: "
            f"{both}. Pass one of the two."
        )
    # Arguments may not be UTF-8. fsencode restores their bytes.
    data = os.fsencode(text) if file is None else _read(file)
    loaded = load_codebook(codebook)
    codes = loaded.encode(data).tolist()
    windows = [loaded.token_bytes(code) for code in codes]

    console = make_console()
    if windows:
        marked = mark_windows(windows, has_colours(console))
        # Let the terminal break lines, because rich would drop spaces.
        console.print(marked, soft_wrap=True)
        console.print()
    W = loaded.window_bits
    columns = ["code", "bits", "bytes", "text"]
    rows = [
        [code, W, len(window), quoted(window)]
        for code, window in zip(codes[:top], windows, strict=False)
    ]
    if isinstance(W, int):
        columns.append("code in binary")
        rows = [[*row, f"{row[0]:0{W}b}"] for row in rows]
    if rows:
        print_table(console, None, rows, columns)
    if len(codes) > top:
        click.echo(f"... and {len(codes) - top:,} more; --top shows more rows.")
    click.echo(summary(loaded, len(data), len(codes)))


def _read(path):
    with open_input(path) as (source, _):
        data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"A text to explain must have at most {MAX_BYTES:,} bytes. "
            f"Received: {path!r}, which has more. Use `keras-nc inspect "
            "CODEBOOK --text FILE`, which counts its windows."
        )
    return data


def has_colours(console):
    """Return whether a console shows colours."""
    return console.color_system is not None and not console.no_color


def mark_windows(windows, colours):
    """Join windows to one text, with colours or bars between them.

    Args:
        windows: list of bytes.
        colours: bool. If False, put bars between windows, and escape bars in
            the text.

    Returns:
        A `rich.text.Text`.
    """

    if not colours:
        shown = [printable(w).replace("|", "\\|") for w in windows]
        return Text("|".join(shown))
    marked = Text()
    for i, window in enumerate(windows):
        marked.append(printable(window), style=_STYLES[i % 2])
    return marked
