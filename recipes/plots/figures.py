"""Shared by all pictures: fonts, printable letters and files."""

import functools
import io
import os
import unicodedata

from keras_nc.cli import display
from keras_nc.coding.archive import atomic_file

DPI = 200
INK = "#222222"
FAINT = "#8a8a8a"
_LACKING = "□"


def save_figure(figure, path):
    """Write a figure as PNG, whole or not at all.

    The file holds no date and no version, so that the same figure gives the
    same bytes.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: where the file goes; usually it ends with `.png`.

    Raises:
        OSError: if the file cannot be written.

    Example:
    >>> import os, tempfile
    >>> from recipes.plots import segmentation
    >>> figure = segmentation({"words": [b"one ", b"two"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(figure, os.path.join(folder, "words.png"))
    ...     os.listdir(folder)
    ['words.png']
    """
    from PIL import Image  # a dependency of matplotlib

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    # A palette suffices for flat colours, at a third of the size.
    image = Image.open(drawn).convert("RGB")
    image = image.quantize(256, dither=Image.Dither.NONE)
    with atomic_file(path) as file:
        image.save(file, format="png", optimize=True, dpi=(DPI, DPI))


def new_figure(width, height):
    """Make a figure of a size in inches, without pyplot."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib. Received: an installation without it. "
            'Install the extra [recipes], as in `pip install -e ".[recipes]"`.'
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def new_font(size, mono=False, bold=False):
    """Return a font that matplotlib ships, not one of the system."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    name = f"DejaVuSans{'Mono' * mono}{'-Bold' * bold}.ttf"
    folder = os.path.join(matplotlib.get_data_path(), "fonts", "ttf")
    return FontProperties(fname=os.path.join(folder, name), size=size)


@functools.lru_cache(maxsize=1)
def glyphs():
    """Return the code points that every font here can draw."""
    from matplotlib.ft2font import FT2Font

    fonts = [new_font(1), new_font(1, bold=True), new_font(1, mono=True)]
    return frozenset.intersection(
        *(frozenset(FT2Font(font.get_file()).get_charmap()) for font in fonts)
    )


def require(name, items):
    """Raise a ValueError if a dict is empty."""
    if not items:
        raise ValueError(
            f"`{name}` must have at least one label. Received: none."
        )


def signs(token):
    """Yield the drawn form of each character of a token."""
    for sign in display.signs(token):
        escaped = len(sign) > 1
        if escaped or (
            ord(sign) in glyphs() and not unicodedata.combining(sign)
        ):
            yield sign
        else:
            yield _LACKING


def printable(label):
    """Return a label that can be drawn."""
    return "".join(signs(str(label).encode(errors="surrogatepass")))
