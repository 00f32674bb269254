"""A text on coloured tokens, as a matplotlib figure."""

from keras_nc.cli.display import MARKS
from recipes.plots.figures import DPI
from recipes.plots.figures import INK
from recipes.plots.figures import new_figure
from recipes.plots.figures import new_font
from recipes.plots.figures import printable
from recipes.plots.figures import require
from recipes.plots.figures import signs

# In whole pixels, so that backgrounds leave no seams.
_CELL = 17  # of one letter
_FONT_SIZE = _CELL * 72 / DPI / 0.60205  # the width of DejaVu Sans Mono
_LINE = 46
_INSET = 3  # white above and below each line
_HEADER = 48
_GAP = 30
_MARGIN = 32
_WIDTHS = (60, 400)
_MAX_LINES = 400
_BACKGROUNDS = ("#bcdcf0", "#fbe3b4")


def segmentation(rows, title=None, width=92):
    r"""Draw how tokenizers cut a text: tokens on alternating colours.

    A newline shows as `⏎` and ends the line, a tab as `⇥`. Invalid UTF-8,
    characters that a token cuts, and invisible characters show as hexadecimal
    escapes. Characters that the font lacks show as `□`.

    Args:
        rows: dict from labels to sequences of tokens (bytes), each the same
            text when joined.
        title: str, the title of the picture, or None.
        width: int, letters per line, 60 to 400.

    Returns:
        A `matplotlib.figure.Figure` with one axes per label.

    Raises:
        ValueError: if there is no text, rows are of different texts, the
            picture would have more than 400 lines, or `width` is out of
            range.
        ImportError: if matplotlib is not installed.

    Example:
    >>> from recipes.plots import segmentation
    >>> figure = segmentation({"words": [b"one ", b"two"]})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['one ', 'two']
    """
    require("rows", rows)
    if not _WIDTHS[0] <= width <= _WIDTHS[1]:
        raise ValueError(
            f"`width` must be from {_WIDTHS[0]} to {_WIDTHS[1]} letters. "
            f"Received: width={width}."
        )
    rows = {label: [bytes(t) for t in row] for label, row in rows.items()}
    texts = {label: b"".join(tokens) for label, tokens in rows.items()}
    if len(set(texts.values())) > 1 or b"" in texts.values():
        sizes = {label: len(text) for label, text in texts.items()}
        raise ValueError(
            "`rows` must cut one text, of a byte at least. Received: texts of "
            f"{sizes} bytes. Encode the same text with every tokenizer."
        )
    panels = [
        (label, tokens, _wrap(tokens, width)) for label, tokens in rows.items()
    ]
    return _draw_panels(panels, title, width)


def _draw_panels(panels, title, width):
    counts = [fragments[-1][0] + 1 for *_, fragments in panels]
    if sum(counts) > _MAX_LINES:
        raise ValueError(
            f"The picture must have at most {_MAX_LINES} lines. Received: "
            f"{sum(counts)}. Give a shorter text, or a larger `width`."
        )
    wide = width * _CELL + 2 * _MARGIN
    high = sum(counts) * _LINE + len(panels) * (_HEADER + _GAP) - _GAP
    high += _MARGIN * 2 + (_HEADER if title else 0)
    figure = new_figure(wide / DPI, high / DPI)
    top = high - _MARGIN
    if title:
        figure.text(
            _MARGIN / wide,
            top / high,
            printable(title),
            fontproperties=new_font(12, bold=True),
            color=INK,
            va="top",
            parse_math=False,
        )
        top -= _HEADER
    for (label, tokens, fragments), count in zip(panels, counts, strict=True):
        bottom = top - _HEADER - count * _LINE
        axes = figure.add_axes(
            (
                _MARGIN / wide,
                bottom / high,
                width * _CELL / wide,
                count * _LINE / high,
            )
        )
        axes.set(xlim=(0, width), ylim=(count, 0))
        axes.set_axis_off()
        _draw_header(axes, label, tokens, width)
        _draw_tokens(axes, fragments)
        top = bottom - _GAP
    return figure


def _draw_tokens(axes, fragments):
    from matplotlib.patches import Rectangle

    font = new_font(_FONT_SIZE, mono=True)
    inset = _INSET / _LINE
    for line, column, text, token in fragments:
        axes.add_patch(
            Rectangle(
                (column, line + inset),
                len(text),
                1 - 2 * inset,
                color=_BACKGROUNDS[token % len(_BACKGROUNDS)],
                linewidth=0,
            )
        )
        axes.text(
            column,
            line + 0.5,
            text,
            fontproperties=font,
            color=INK,
            va="center_baseline",
            parse_math=False,
        )


def _draw_header(axes, label, tokens, width):
    label = printable(label)
    if len(label) > width // 2:
        label = label[: width // 2 - 1] + "…"
    size = sum(map(len, tokens))
    counts = f"{len(tokens):,} tokens, {size / len(tokens):.2f} bytes/token"
    style = dict(pad=5, parse_math=False)
    axes.set_title(
        label,
        loc="left",
        fontproperties=new_font(10, bold=True),
        color=INK,
        **style,
    )
    axes.set_title(
        counts, loc="right", fontproperties=new_font(10), color=INK, **style
    )


def _wrap(tokens, width):
    """Cut tokens into lines.

    Returns:
        A list of tuples: line, column, the part of a token that stands
        there, and the token's index.
    """
    fragments = []
    line = column = 0
    for index, token in enumerate(tokens):
        part = ""
        for sign in signs(token):
            if column + len(part) + len(sign) > width:
                fragments.append((line, column, part, index))
                line, column, part = line + 1, 0, ""
            part += sign
            if sign == MARKS["\n"]:
                fragments.append((line, column, part, index))
                line, column, part = line + 1, 0, ""
        fragments.append((line, column, part, index))
        column += len(part)
    return [fragment for fragment in fragments if fragment[2]]
