"""Charts of bits per byte: while models train, and against their cost."""

import math
import textwrap

from recipes.plots.figures import FAINT
from recipes.plots.figures import INK
from recipes.plots.figures import new_figure
from recipes.plots.figures import new_font
from recipes.plots.figures import printable
from recipes.plots.figures import require

_WIDTH = 7.7  # inches, with letters that are easy to read at 1,000 pixels
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.")
_LABEL_LETTERS = 22
_FINE, _COARSE = (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5)  # ticks of a decade
_BITS = "bits per byte, held-out text (lower is better)"
_AXES = {"bytes": "bytes of text seen", "seconds": "seconds of training"}


def training_curves(curves, against):
    """Draw how held-out bits per byte fall while models train.

    The horizontal axis is logarithmic. Points that it lacks (before training,
    or not finite) are left out. The last value stands beside each label.

    Args:
        curves: dict from labels to dicts of equally long sequences, `"bytes"`
            (of text seen), `"seconds"` (of training) and `"bits_per_byte"`.
        against: what the bits per byte are drawn against, `"bytes"` or
            `"seconds"`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if `against` is something else, sequences differ in
            length, or a curve has no point that can be drawn.
        ImportError: if matplotlib is not installed.

    Example:
    >>> from recipes.plots import training_curves
    >>> curve = dict(bytes=[1e6, 2e6], seconds=[9, 18], bits_per_byte=[3, 2.5])
    >>> figure = training_curves({"bytes": curve}, against="seconds")
    >>> figure.axes[0].get_xlabel()
    'seconds of training'
    """
    if against not in _AXES:
        raise ValueError(
            f"`against` must be one of {tuple(_AXES)}. Received: "
            f"against={against!r}."
        )
    require("curves", curves)
    figure, axes = _chart(_AXES[against], _BITS)
    ends = []
    for i, (label, curve) in enumerate(curves.items()):
        points = _curve(label, curve, against)
        color = _COLORS[i % len(_COLORS)]
        style = _DASHES[i // len(_COLORS) % len(_DASHES)]
        name = printable(label)
        axes.plot(*points, style, color=color, linewidth=2, label=name)
        x, y = points[0][-1], points[1][-1]
        axes.plot(x, y, "o", color=color, markersize=5)
        name = textwrap.fill(f"{y:.2f} {name}", _LABEL_LETTERS)
        ends.append((y, x, color, name))
    _set_limits(axes, [line.get_xydata() for line in axes.lines])
    _label_ends(figure, axes, ends)
    return figure


def bits_against_flops(points, x_label="FLOPs per byte"):
    """Draw the bits per byte of models against their FLOPs per byte.

    Args:
        points: dict from labels to sequences that begin with FLOPs per byte
            and bits per byte, both positive; further columns are ignored.
        x_label: str. What the points are drawn against, if it is something
            else.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there are no points, or a number is not positive.
        ImportError: if matplotlib is not installed.

    Example:
    >>> from recipes.plots import bits_against_flops
    >>> figure = bits_against_flops({"M2, 25m": (15.4e6, 1.25)})
    >>> figure.axes[0].get_ylabel()
    'bits per byte, held-out text (lower is better)'
    """
    require("points", points)
    for label, row in points.items():
        if len(row) < 2 or not all(map(_drawable, row[:2])):
            raise ValueError(
                "A point must begin with FLOPs per byte and bits per byte, "
                f"both positive. Received: {label!r}: {row!r}. Leave it out "
                "or measure it again."
            )
    figure, axes = _chart(x_label, _BITS)
    for i, (x, y, *_) in enumerate(points.values()):
        color = _COLORS[i % len(_COLORS)]
        axes.plot(x, y, "o", color=color, markersize=8, clip_on=False)
    rows = [(x, y) for x, y, *_ in points.values()]
    _set_limits(axes, [rows])
    _label_points(figure, axes, zip(map(printable, points), rows, strict=True))
    return figure


def _drawable(number):
    return math.isfinite(number) and number > 0


def _curve(label, curve, against):
    xs, ys = list(curve[against]), list(curve["bits_per_byte"])
    pairs = [
        (x, y)
        for x, y in zip(xs, ys, strict=False)
        if _drawable(x) and _drawable(y)
    ]
    if len(xs) != len(ys) or not pairs:
        raise ValueError(
            "A curve must have as many bits per byte as places to draw them "
            "at, and one positive, finite pair at least. Received: "
            f"{label!r} with {len(ys)} and {len(xs)}, of which {len(pairs)} "
            "can be drawn. Leave it out."
        )
    return tuple(zip(*pairs, strict=True))


def _chart(x_label, y_label):
    """Make a figure and its axes, with a logarithmic x axis and few lines."""
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_axes((0.095, 0.14, 0.875, 0.82))
    axes.set_xscale("log")
    axes.set_xlabel(x_label, fontproperties=new_font(10), color=INK, labelpad=6)
    axes.set_ylabel(y_label, fontproperties=new_font(10), color=INK, labelpad=6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _set_limits(axes, tables):
    """Set limits with a margin around all points, and ticks of few digits."""
    from matplotlib.ticker import FuncFormatter
    from matplotlib.ticker import LogLocator
    from matplotlib.ticker import MaxNLocator
    from matplotlib.ticker import NullLocator

    xs, ys = zip(*(row for table in tables for row in table), strict=True)
    # Keep a margin, even around a single point.
    middle = math.sqrt(min(xs)) * math.sqrt(max(xs))
    half = max(0.54 * math.log(max(xs) / min(xs)), math.log(2))
    axes.set_xlim(middle / math.exp(half), middle * math.exp(half))
    middle = (min(ys) + max(ys)) / 2
    half = max(0.56 * (max(ys) - min(ys)), 0.02 * middle)
    axes.set_ylim(middle - half, middle + half)
    span = max(xs) / min(xs)
    subs = _FINE if span < 10 else _COARSE if span < 300 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(_quantity))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.get_major_formatter().set_useOffset(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_tick_params(
            labelsize=9,
            labelfontfamily="DejaVu Sans",
            color=FAINT,
            labelcolor=INK,
        )


def _quantity(number, _=None):
    """Return a number in few letters, such as 20 M."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _text_size(figure, text, font):
    """Return width and height of a text in pixels."""
    artist = figure.text(0, 0, text, fontproperties=font, parse_math=False)
    box = artist.get_window_extent(_renderer(figure))
    artist.remove()
    return box.width, box.height


def _renderer(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure).get_renderer()


def _label_ends(figure, axes, ends):
    """Put each curve's label right of the axes, near the curve's end."""
    font = new_font(9, bold=True)
    sizes = [_text_size(figure, label, font) for *_, label in ends]
    left, bottom, _, height = axes.get_position().bounds
    margin = (max(width for width, _ in sizes) + 50) / figure.bbox.width
    axes.set_position((left, bottom, max(1 - left - margin, 0.2), height))
    ends = sorted(ends)
    low, high = axes.get_ylim()
    fractions = [(y - low) / (high - low) for y, *_ in ends]
    gap = 1.2 * max(size[1] for size in sizes)
    needed = gap * len(ends) / axes.bbox.height
    if needed > 1:
        wide, high = figure.get_size_inches()
        figure.set_size_inches(wide, high * needed)
    gap /= axes.bbox.height
    places = _spread(fractions, gap)
    for (y, x, color, label), place in zip(ends, places, strict=True):
        axes.annotate(
            label,
            (x, y),
            xytext=(1.03, place),
            textcoords="axes fraction",
            fontproperties=font,
            color=color,
            va="center",
            parse_math=False,
            arrowprops=dict(
                arrowstyle="-", color=FAINT, linewidth=0.6, relpos=(0, 0.5)
            ),
        )


def _spread(places, gap):
    """Move sorted places in [0, 1] as little as possible to make gaps."""
    # Places minus their gaps must not decrease. Pool those that do.
    pools = []
    for i, place in enumerate(places):
        pools.append((place - i * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    last = max(1 - (len(places) - 1) * gap, 0)
    means = [min(max(mean, 0), last) for mean, n in pools for _ in range(n)]
    return [mean + i * gap for i, mean in enumerate(means)]


def _label_points(figure, axes, labelled):
    """Put each label beside its point, where it covers nothing."""
    from matplotlib.transforms import Bbox

    font = new_font(10)
    point = figure.dpi / 72  # pixels
    labelled = list(labelled)
    centers = [axes.transData.transform(row) for _, row in labelled]
    taken = [Bbox.from_bounds(x, y, 0, 0).padded(5 * point) for x, y in centers]
    for (label, row), (x, y) in zip(labelled, centers, strict=True):
        w, h = _text_size(figure, label, font)
        for distance, dx, dy in _DIRECTIONS:
            left = x + distance * point * dx - w * (1 - dx) / 2
            bottom = y + distance * point * dy - h * (1 - dy) / 2
            box = Bbox.from_bounds(left, bottom, w, h)
            inside = box.x0 >= axes.bbox.x0 and box.x1 <= figure.bbox.x1
            inside &= box.y0 >= axes.bbox.y0 and box.y1 <= figure.bbox.y1
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)
        axes.annotate(
            label,
            row,
            xytext=((left - x) / point, (bottom - y) / point),
            textcoords="offset points",
            fontproperties=font,
            color=INK,
            va="bottom",
            parse_math=False,
            arrowprops=dict(arrowstyle="-", color=FAINT, linewidth=0.6)
            if distance > _NEAR
            else None,
        )


#: Places of a label, best first: distance in points, right, above.
_NEAR = 9
_DIRECTIONS = [
    (distance, dx, dy)
    for distance in (_NEAR, *range(20, 200, 12))
    for dx, dy in (
        (1, 0),
        (0, 1),
        (0, -1),
        (-1, 0),
        (1, 1),
        (1, -1),
        (-1, 1),
        (-1, -1),
    )
]
