"""`keras-nc explain`: how a text is cut into windows."""

import html
import math
import os
import pathlib

import click
from rich.text import Text

from keras_nc.cli.container import SchemeCodes
from keras_nc.cli.display import MARKS
from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.display import printable
from keras_nc.cli.display import quoted
from keras_nc.cli.display import signs
from keras_nc.cli.display import summary
from keras_nc.cli.files import STANDARD_STREAM
from keras_nc.cli.files import check_output
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import force_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output
from keras_nc.cli.files import prepare_keras

#: Nobody reads more in a terminal; `inspect --text` counts windows instead.
MAX_BYTES = 1_000_000
#: Browsers become slow with more windows on a page.
MAX_PAGE_BYTES = 200_000
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
@click.option(
    "--html",
    "page",
    metavar="PAGE",
    help="Write a page for browsers instead ('-' for standard output).",
)
@click.option(
    "--pieces",
    metavar="MODEL",
    help="With --html: a SentencePiece model or a preset to compare with.",
)
@force_option
def explain(text, codebook, file, top, page, pieces, force):
    """Show how TEXT is cut into windows, with their codes and bits per byte."""

    if (text is None) == (file is None):
        both = "neither" if text is None else "both"
        raise ValueError(
            "`explain` takes either TEXT or --file. Received: "
            f"{both}. Pass one of the two."
        )
    # Arguments may not be UTF-8. fsencode restores their bytes.
    data = os.fsencode(text) if file is None else _read(file)
    if page is not None:
        _write_page(data, codebook, pieces, page, force)
        return
    if pieces is not None:
        raise ValueError(
            "--pieces compares on a page. Received: no --html. Pass --html "
            "with a name for the page."
        )
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


def _write_page(data, codebook, pieces, page, force):
    """Write the page of `--html`."""
    if len(data) > MAX_PAGE_BYTES:
        raise ValueError(
            f"A text on a page must have at most {MAX_PAGE_BYTES:,} bytes. "
            f"Received: {len(data):,} bytes. Explain a part of it."
        )
    if page != STANDARD_STREAM:
        for keep in filter(None, (codebook, pieces)):
            check_output(page, force, keep)
    loaded = load_codebook(codebook)
    rows = {"Windows": loaded}
    if not isinstance(loaded.window_bits, int):
        rows = {"Tokens": loaded}
    if pieces is not None:
        rows["Pieces"] = load_pieces(pieces)
    content = make_page(data, rows).encode()
    if page == STANDARD_STREAM:
        click.echo(content, nl=False)
        return
    with open_output(page) as stream:
        stream.write(content)
    codes = len(loaded.encode(data))
    click.echo(f"{page}: {summary(loaded, len(data), codes)}")


def load_pieces(path):
    """Load a SentencePiece model, or the codebook or tokenizer of a preset.

    Args:
        path: str, a file that SentencePiece wrote, or what `load_codebook`
            takes.

    Returns:
        A `SchemeCodes` or a `Codebook`.
    """
    if not os.path.isfile(path) or open_begin(path) == b"PK":
        return load_codebook(path)
    prepare_keras()
    from keras_nc.tokenizers.sentencepiece import SentencePieceScheme

    return SchemeCodes(SentencePieceScheme(pathlib.Path(path).read_bytes()))


def open_begin(path):
    """Return the first two bytes of a file."""
    with open(path, "rb") as stream:
        return stream.read(2)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>A text in windows</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto;
 max-width: 60em; padding: 0 1em; background: #fff }}
h2 {{ font-size: 1.1em; margin: 1.5em 0 .4em }}
h2 small {{ font-weight: normal; color: #555; margin-left: 1em }}
p.text {{ font: 15px/2 ui-monospace, "DejaVu Sans Mono", monospace; margin: 0;
 white-space: pre-wrap; overflow-wrap: anywhere; direction: ltr }}
b {{ font-weight: normal; background: #bcdcf0; padding: .2em 0;
 unicode-bidi: isolate; position: relative }}
b:nth-child(even) {{ background: #fbe3b4 }}
b:hover, b:focus {{ outline: 2px solid #222; z-index: 1 }}
b:hover::after, b:focus::after {{ content: attr(data-token); position: absolute;
 left: 0; top: 2em; z-index: 2; background: #222; color: #fff; font-size: 13px;
 line-height: 1.4; padding: .3em .6em; white-space: pre-wrap;
 width: max-content; max-width: 28em }}
i {{ font-style: normal; color: #8a4b00 }}
</style>
</head>
<body>
<h1>A text in windows</h1>
<p>Each colour is one token. Point at it for its bytes, its code and its bits.
Brown signs stand for bytes that cannot be seen.</p>
{sections}
</body>
</html>
"""


def make_page(data, rows):
    """Write a page that shows how codebooks or tokenizers cut a text.

    The page is one file and loads nothing.

    Args:
        data: bytes.
        rows: dict from names to what `load_codebook` returns.

    Returns:
        str, HTML.
    """
    sections = []
    for name, codes in rows.items():
        ids = codes.encode(data).tolist()
        W = codes.window_bits
        tokens = "".join(
            _draw_token(codes.token_bytes(id), id, W) for id in ids
        )
        counts = html.escape(summary(codes, len(data), len(ids)))
        sections.append(
            f"<section>\n<h2>{html.escape(name)}<small>{counts}</small></h2>\n"
            f'<p class="text">{tokens}</p>\n</section>'
        )
    return _PAGE.format(sections="\n".join(sections))


def _draw_token(token, id, bits):
    """Return the HTML of one token."""
    number = f"{id:0{bits}b}" if isinstance(bits, int) else ""
    about = "\n".join(
        [
            quoted(token),
            f"bytes {token.hex(' ')}",
            f"code {id} {number}".rstrip(),
            f"{math.ceil(bits * 100) / 100:g} bits, {len(token)} bytes",
        ]
    )
    return (
        f'<b tabindex="0" data-token="{html.escape(about)}">'
        f"{''.join(map(_draw_sign, signs(token)))}</b>"
    )


def _draw_sign(sign):
    """Return the HTML of one sign; a line ends after the sign of its end."""
    drawn = html.escape(sign)
    if len(sign) > 1 or sign in MARKS.values():
        drawn = f"<i>{drawn}</i>"
    return drawn + ("\n" if sign == MARKS["\n"] else "")
