"""How the first bytes of windows compress (the paper, section 6).

    python -m recipes.analyses.window_starts --workdir runs/tiny

M1 and the coder restart at each window, so M1 predicts its first byte without
any context.
The table has M1's bits for each byte of a window, by its place.
"""

import numpy as np

from recipes import flags
from recipes import launch
from recipes.analyses import common

NAME = "b16_v256"
PLACES = 8
BYTES = {
    "type": flags.amount,
    "default": 10_000,
    "metavar": "N",
    "help": "Bytes of text, by default 10,000.",
}


def run(workdir, bytes):
    """Measure, print and draw."""
    prepared = common.Prepared(workdir, NAME)
    scheme = prepared.tokenizer().scheme
    texts = common.read_text(workdir, bytes)
    windows = [
        text[window.start : window.end]
        for text, row in zip(texts, scheme.coder.encode(texts), strict=True)
        for window in row
    ]
    bits, counts = bits_by_place(scheme.model, windows, PLACES)
    # How many bytes of a window its first 8 bits hold.
    lengths = np.cumsum(bits, axis=1)
    held = np.mean([np.sum(row <= 8) for row in lengths])
    means = np.nansum(bits, axis=0) / counts
    places = range(1, PLACES + 1)
    rows = [
        [str(place), f"{count:,}", f"{mean:.3f}"]
        for place, count, mean in zip(places, counts, means, strict=True)
    ]
    figure = common.chart(
        "place of the byte in its window",
        "bits of M1",
        {prepared.row: (places, means)},
    )
    common.save(
        workdir,
        "window_starts",
        "Beginnings of windows",
        "M1's bits of a byte by its place in the windows of "
        f"{prepared.row}. The first 8 bits hold {held:.2f} bytes on average.",
        ["byte of the window", "bytes", "bits"],
        rows,
        figure,
    )


def bits_by_place(model, windows, places):
    """Return M1's bits of the first bytes of windows.

    Args:
        model: An `EntropyModel`.
        windows: A list of bytes.
        places: int. Bytes of each window to measure.

    Returns:
        A float array of shape `(windows, places)`, NaN where a window has
        ended, and how many windows have each place, of shape `(places,)`.
    """
    bits = np.full((len(windows), places), np.nan)
    # Many windows begin alike: ask the model for each beginning once.
    for place in range(places):
        rows = [i for i, window in enumerate(windows) if len(window) > place]
        prefixes = list(dict.fromkeys(windows[i][:place] for i in rows))
        if not rows:
            break
        index = {prefix: k for k, prefix in enumerate(prefixes)}
        probabilities = model.probabilities(prefixes)
        for i in rows:
            p = probabilities[index[windows[i][:place]], windows[i][place]]
            bits[i, place] = -np.log2(p)
    return bits, np.sum(~np.isnan(bits), axis=0)


if __name__ == "__main__":
    launch.start(run, workdir=common.WORKDIR, bytes=BYTES)
