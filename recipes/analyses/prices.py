"""What the price of a window does: fewer tokens against fewer bits.

    python -m recipes.analyses.prices --workdir runs/prices

Builds codebooks of the default corpus with several values of `price`, the bits
that each window costs on top of its `-log2 p`. The table has bytes per token of
held-out text, and its bits per byte by a unigram model of the training text.
"""

import numpy as np

from keras_nc.coding import Codebook
from keras_nc.coding import WordText
from keras_nc.data import default_corpus
from recipes import flags
from recipes import launch
from recipes.analyses import common
from recipes.plots.figures import new_font

OWN = {
    "workdir": {**common.WORKDIR, "help": "Where the results go."},
    "prices": {
        "nargs": "+",
        "type": float,
        "default": [0, 1, 2, 3, 4, 6, 8],
        "metavar": "BITS",
        "help": "Prices, from 0 to 16 bits.",
    },
    "window_bits": common.WINDOW_BITS,
    "max_bytes": {
        "type": flags.amount,
        "metavar": "N",
        "help": "Bytes of text to learn from, by default all.",
    },
}


def run(workdir, prices, window_bits, max_bytes):
    """Build, measure, print and draw."""
    train = list(default_corpus("train", max_bytes))
    held_out = list(default_corpus("validation"))
    words = WordText.from_documents(train)  # counted once for all prices
    points = {}
    for price in prices:
        codebook = Codebook.build(
            text=words, window_bits=window_bits, price=price
        )
        points[price] = measure(codebook, train, held_out)
    curve = sorted(points)
    figure = common.chart(
        "bytes per token (labels: the price in bits)",
        "unigram bits per byte (lower is better)",
        {"price": zip(*map(points.get, curve), strict=True)},
    )
    for price in curve:
        figure.axes[0].annotate(
            f"{price:g}",
            points[price],
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            font=new_font(9),
        )
    common.save(
        workdir,
        "prices",
        "Prices of windows",
        f"Bytes per token of held-out text, and the bits per byte of a unigram "
        f"model, with 2^{window_bits} ids.",
        ["price, bits", "bytes/token", "unigram bits/byte"],
        [
            [f"{price:g}", f"{x:.3f}", f"{y:.3f}"]
            for price, (x, y) in points.items()
        ],
        figure,
    )


def measure(codebook, train, held_out):
    """Return bytes per token and bits per byte of held-out text.

    The bits are those of a model that knows how often the training text uses
    each window, plus one.
    """
    uses = [
        np.bincount(
            codebook.encode_batch(text)[0], minlength=1 << codebook.window_bits
        )
        for text in (train, held_out)
    ]
    size = sum(map(len, held_out))
    costs = -np.log2((uses[0] + 1) / (uses[0] + 1).sum())
    return size / uses[1].sum(), float(uses[1] @ costs) / size


if __name__ == "__main__":
    launch.start(run, **OWN)
