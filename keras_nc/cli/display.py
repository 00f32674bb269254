"""Bytes, tables and progress on a terminal."""

import contextlib

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_nc.progress import ProgressLine

#: How pictures and pages show line ends and tabs.
MARKS = {"\n": "⏎", "\t": "⇥"}


def make_console(stderr=False):
    """Make a console that shows text unchanged, without markup."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        # Files and pipes have no width; do not break lines for them.
        console.width = max(console.width, 120)
    return console


def printable(data):
    r"""Return bytes as one line of text, with unprintable bytes escaped.

    Example:
    >>> printable("é\n".encode() + b"\xff\\")
    'é\\n\\xff\\\\'
    """
    text = data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text
    )


def signs(data):
    r"""Yield the visible form of each character of bytes.

    A line end and a tab are one sign each. Other invisible characters and bytes
    that are no UTF-8 are hexadecimal escapes, of four letters a byte.

    Example:
    >>> list(signs(b"a\n\xff"))
    ['a', '⏎', '\\xff']
    """
    # Bytes that are not a character become lone surrogates.
    for char in data.decode(errors="surrogateescape"):
        if char in MARKS:
            yield MARKS[char]
        elif char.isprintable():
            yield char
        else:
            raw = char.encode(errors="surrogateescape")
            yield "".join(f"\\x{byte:02x}" for byte in raw)


def quoted(data):
    """Return bytes as text in quotes, so that spaces can be seen."""
    return f'"{printable(data)}"'


def print_table(console, title, rows, columns=None):
    """Print a table.

    Args:
        console: where to.
        title: str, or `None`.
        rows: lists of cells; numbers get separators and are right-aligned.
        columns: list of headings; `None` if rows are names and values.
    """
    table = Table(
        box=box.SIMPLE_HEAD if columns else None,
        show_header=columns is not None,
    )
    first = rows[0] if rows else []
    headings = columns or [""] * len(first)
    for i, heading in enumerate(headings):
        number = columns is not None and i < len(first)
        number = number and not isinstance(first[i], str)
        justify = "right" if number else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    if title:
        console.print(title, style="bold", soft_wrap=True)
    console.print(table)
    console.print()


def _cell(value):
    if isinstance(value, str):
        return value
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"


@contextlib.contextmanager
def progress_bar(label, total):
    """Show bytes, speed and time left, on terminals only.

    Args:
        label: str, what is being done.
        total: bytes to come, or `None`.

    Yields:
        A function to call with the number of bytes done since the last call.
    """
    with ProgressLine(label, total=total) as line:
        yield line.update


def summary(codebook, num_bytes, num_codes, file_bytes=None):
    """Describe in one line how many codes a text takes.

    Args:
        codebook: what `load_codebook` returns.
        num_bytes: int, of the text.
        num_codes: int.
        file_bytes: int, size of the encoded file. Bits per byte are then
            those of the file, otherwise W bits per code.
    """
    W = codebook.window_bits
    unit = "window" if isinstance(W, int) else "token"
    line = f"{num_bytes:,} bytes in {num_codes:,} {unit}s of {W:.5g} bits"
    if unit == "token":
        line += f" (log2 of {codebook.vocabulary_size:,} ids)"
    if num_bytes:
        line += f": {num_bytes / num_codes:.3f} bytes/{unit}"
    bits = W * num_codes
    if file_bytes is not None:
        bits = 8 * file_bytes
        line += f"; the encoded file has {file_bytes:,} bytes"
    if num_bytes:
        line += f", {bits / num_bytes:.3f} bits/byte"
    return line


def ratio(value, total):
    """Return `value / total`, or a dash if there is nothing to divide by."""
    return value / total if total else "-"
