import doctest
import importlib
import io
import itertools
import os
import sys

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from recipes.plots import bits_against_flops
from recipes.plots import save_figure
from recipes.plots import segmentation
from recipes.plots import training_curves

CURVES = {
    "Bytes": dict(
        bytes=[0, 1e5, 1e6, 4e6],
        seconds=[0, 10, 99, 380],
        bits_per_byte=[8, 4.5, 3.1, 2.61],
    ),
    "SentencePiece, 4,096": dict(
        bytes=[0, 3e5, 13e6],
        seconds=[0, 11, 400],
        bits_per_byte=[8, 4.2, 2.09],
    ),
    "Windows of 12 bits": dict(
        bytes=[0, 3e5, 14e6],
        seconds=[0, 11, 410],
        bits_per_byte=[8, 4.3, 2.10],
    ),
}
POINTS = {
    "Bytes": (6.5e6, 2.61),
    "SentencePiece": (2.0e6, 2.09, "more", "columns"),
    "Windows": (2.0e6, 2.10),
}
MARKS = {"\n": "⏎", "\t": "⇥"}
TOKENS = [b"One", b" para", b"graph\n", b"\n", b"\tcut ", b"for $5$."]


def boxes(figure, labels):
    """Bounding boxes of all labels, without the lines that lead to them."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return [Text.get_window_extent(label, renderer) for label in labels]


def overlaps(boxes):
    return [a for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def drawn(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=30)
    return stream.getvalue()


# === Curves ===


@pytest.mark.parametrize(
    "against, unit",
    [("bytes", "bytes of text seen"), ("seconds", "seconds of training")],
)
def test_curves(against, unit):
    figure = training_curves(CURVES, against)
    (axes,) = figure.axes
    assert axes.get_xlabel() == unit
    assert axes.get_ylabel().startswith("bits per byte, held-out text (lower")
    lines = {line.get_label(): line for line in axes.lines}
    for name, curve in CURVES.items():
        x, y = lines[name].get_data()
        # A logarithmic axis cannot show the start.
        assert list(x) == curve[against][1:]
        assert list(y) == curve["bits_per_byte"][1:]
    colors = [lines[name].get_color() for name in CURVES]
    assert len(set(colors)) == len(CURVES)


def test_labels_of_curves():
    figure = training_curves(CURVES, "bytes")
    (axes,) = figure.axes
    labels = {t.get_text().replace("\n", " "): t for t in axes.texts}
    assert set(labels) == {
        "2.61 Bytes",
        "2.09 SentencePiece, 4,096",
        "2.10 Windows of 12 bits",
    }
    places = boxes(figure, axes.texts)
    assert not overlaps(places)
    for box in places:
        assert axes.bbox.x1 < box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    # Each label has the colour of its curve, in any order.
    colors = {line.get_label(): line.get_color() for line in axes.lines}
    for label, text in labels.items():
        assert text.get_color() == colors[label[5:]]


def test_many_curves_have_room_for_their_labels():
    curves = {f"Tokens of the kind {i}": CURVES["Bytes"] for i in range(14)}
    figure = training_curves(curves, "bytes")
    labels = [each for each in figure.axes[0].texts if each.get_text()]
    found = boxes(figure, labels)
    assert len(found) == 14 and not overlaps(found)
    for box in found:
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.height


def test_all_points_are_inside_the_axes():
    (axes,) = training_curves(CURVES, "seconds").axes
    for line in axes.lines:
        for x, y in line.get_xydata():
            assert axes.get_xlim()[0] < x < axes.get_xlim()[1]
            assert axes.get_ylim()[0] < y < axes.get_ylim()[1]


@pytest.mark.parametrize("bits", [2.0, 2.0001])
def test_a_short_curve_has_ticks(bits):
    curve = dict(bytes=[100, 101], seconds=[1, 1], bits_per_byte=[2.0, bits])
    for against in ("bytes", "seconds"):
        (axes,) = training_curves({"Bytes": curve}, against).axes
        for ticks, (low, high) in (
            (axes.get_xticks(), axes.get_xlim()),
            (axes.get_yticks(), axes.get_ylim()),
        ):
            assert sum(low <= tick <= high for tick in ticks) >= 2


def test_what_cannot_be_drawn_is_left_out():
    nan = float("nan")
    curve = dict(bytes=[1, 2, 3], seconds=[1, 2, 3], bits_per_byte=[3, nan, 2])
    line = training_curves({"Bytes": curve}, "bytes").axes[0].lines[0]
    assert line.get_xydata().tolist() == [[1, 3], [3, 2]]


@pytest.mark.parametrize(
    "curves, against, message",
    [
        (CURVES, "steps", "against='steps'"),
        ({}, "bytes", "at least one label"),
        ({"a": dict(bytes=[1, 2], bits_per_byte=[1])}, "bytes", "'a' with 1"),
        ({"a": dict(bytes=[0], bits_per_byte=[8])}, "bytes", "of which 0"),
        ({"a": dict(bytes=[], bits_per_byte=[])}, "bytes", "of which 0"),
    ],
)
def test_curves_refuse(curves, against, message):
    with pytest.raises(ValueError, match=message):
        training_curves(curves, against)


# === Points ===


def test_points():
    figure = bits_against_flops(POINTS)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "FLOPs per byte"
    assert "lower is better" in axes.get_ylabel()
    points = [tuple(line.get_xydata()[0]) for line in axes.lines]
    assert points == [row[:2] for row in POINTS.values()]
    assert [text.get_text() for text in axes.texts] == list(POINTS)
    assert [text.xy for text in axes.texts] == points


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(st.floats(1e6, 1e9), st.floats(0.8, 4)),
        min_size=1,
        max_size=6,
    )
)
def test_labels_of_points_cover_nothing(rows):
    rows = {f"Equal-info, {i} bits": row for i, row in enumerate(rows)}
    figure = bits_against_flops(rows)
    (axes,) = figure.axes
    places = boxes(figure, axes.texts)
    assert not overlaps(places)
    for box in places:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
        for row in rows.values():
            assert not box.contains(*axes.transData.transform(row))


@pytest.mark.parametrize(
    "points, message",
    [
        ({}, "at least one label"),
        ({"a": (1e6,)}, r"'a': \(1000000.0,\)"),
        ({"a": (0, 1)}, "both positive"),
        ({"a": (1e6, float("nan"))}, "both positive"),
    ],
)
def test_points_refuse(points, message):
    with pytest.raises(ValueError, match=message):
        bits_against_flops(points)


# === Segmentation ===


def test_all_text_is_drawn():
    rows = {"Words": TOKENS, "Bytes": [bytes([b]) for b in b"".join(TOKENS)]}
    figure = segmentation(rows, title="A cut")
    assert [text.get_text() for text in figure.texts] == ["A cut"]
    text = b"".join(TOKENS).decode().translate(str.maketrans(MARKS))
    for axes, (label, tokens) in zip(figure.axes, rows.items(), strict=True):
        assert axes.get_title("left") == label
        size = sum(map(len, tokens)) / len(tokens)
        counts = f"{len(tokens)} tokens, {size:.2f} bytes/token"
        assert axes.get_title("right") == counts
        assert "".join(t.get_text() for t in axes.texts) == text


def test_colours_change_where_tokens_do():
    # A token of 100 letters goes over two lines, in one colour.
    (axes,) = segmentation({"x": [b"ab", b"c" * 100, b"d"]}, width=60).axes
    colors = [patch.get_facecolor()[:3] for patch in axes.patches]
    assert [len(t.get_text()) for t in axes.texts] == [2, 58, 42, 1]
    assert colors[0] != colors[1] == colors[2] != colors[3] == colors[0]
    places = [(t.get_position()[0], t.get_position()[1]) for t in axes.texts]
    assert places == [(0, 0.5), (2, 0.5), (0, 1.5), (42, 1.5)]


def test_letters_fill_their_cells():
    tokens = [b"mmmmmmmm" * 7, b"iiii", b"\n", "→ €é office".encode()]
    figure = segmentation({"x": tokens}, width=60)
    (axes,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()
    cell = axes.bbox.width / 60
    for text in axes.texts:
        width = text.get_window_extent(renderer).width
        assert width == pytest.approx(cell * len(text.get_text()), abs=2)


@pytest.mark.parametrize(
    "token, shown",
    [
        (b"\xff\x00\x7f\r", r"\xff\x00\x7f\x0d"),
        ("中".encode(), "□"),
        ("中".encode()[:2], r"\xe4\xb8"),
        ("é $x^2$ \\".encode(), "é $x^2$ \\"),
        ("e\u0301".encode(), "e□"),
        ("\u200b".encode(), r"\xe2\x80\x8b"),
        ("\ud800".encode(errors="surrogatepass"), r"\xed\xa0\x80"),
    ],
)
def test_what_cannot_be_seen_is_shown(token, shown):
    (axes,) = segmentation({"x": [token]}).axes
    assert axes.texts[0].get_text() == shown


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.binary(max_size=30) | st.text(max_size=9).map(str.encode)),
    st.text(max_size=40),
)
def test_any_bytes_draw_without_warnings(tokens, label):
    tokens = [*tokens, b"."]
    figure = segmentation({label: tokens}, title=label, width=60)
    (axes,) = figure.axes
    assert drawn(figure)
    for text in axes.texts:
        assert text.get_position()[0] + len(text.get_text()) <= 60
    # Every line but the last is full or ends with a newline.
    lines = itertools.groupby(axes.texts, lambda t: t.get_position()[1])
    lines = ["".join(t.get_text() for t in line) for _, line in lines]
    assert all(len(line) > 60 - 16 or line[-1] == "⏎" for line in lines[:-1])


@pytest.mark.parametrize(
    "rows, width, message",
    [
        ({}, 92, "at least one label"),
        ({"a": []}, 92, "a byte at least"),
        ({"a": [b""]}, 92, "a byte at least"),
        ({"a": [b"x"], "b": [b"xy"]}, 92, "{'a': 1, 'b': 2} bytes"),
        ({"a": [b"x"]}, 59, "width=59"),
        ({"a": [b"\n" * 401]}, 92, "Received: 401"),
    ],
)
def test_segmentation_refuses(rows, width, message):
    with pytest.raises(ValueError, match=message):
        segmentation(rows, width=width)


# === All figures ===


def test_labels_are_no_mathematics():
    name = "a $^ _{ 中"
    training_figure = training_curves({name: CURVES["Bytes"]}, "bytes")
    for figure in (training_figure, bits_against_flops({name: (1, 1)})):
        assert drawn(figure)
        assert figure.axes[0].texts[0].get_text().endswith("a $^ _{ □")


def test_pictures_are_exact_and_reproducible(tmp_path):
    figure = segmentation({"Words": TOKENS})
    for name in "ab":
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with Image.open(tmp_path / "a") as image:
        image = image.convert("RGB")
    assert image.size == tuple(map(round, figure.bbox.size))
    found = {color for _, color in image.getcolors(256)}
    for patch in figure.axes[0].patches:
        color = tuple(round(255 * c) for c in to_rgb(patch.get_facecolor()))
        assert color in found
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_pictures_are_written_whole_or_not_at_all(tmp_path):
    figure = segmentation({"Words": TOKENS})
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    save_figure(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert os.listdir(tmp_path) == ["picture.png"]
    taken = tmp_path / "folder"
    taken.mkdir()
    with pytest.raises(OSError, match="folder"):
        save_figure(figure, taken)
    with pytest.raises(FileNotFoundError):
        save_figure(figure, tmp_path / "none" / "picture.png")
    assert sorted(os.listdir(tmp_path)) == ["folder", "picture.png"]


def test_no_global_state():
    from matplotlib import _pylab_helpers

    training_curves(CURVES, "bytes")
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: training_curves(CURVES, "bytes"),
        lambda: bits_against_flops(POINTS),
        lambda: segmentation({"a": [b"a"]}),
    ],
)
def test_matplotlib_is_in_an_extra(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"\[recipes\]"):
        draw()


@pytest.mark.parametrize("name", ["charts", "figures", "segmentation"])
def test_examples(name):
    module = importlib.import_module(f"recipes.plots.{name}")
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
