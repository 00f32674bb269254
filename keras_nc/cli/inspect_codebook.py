"""Describe a codebook, and its windows in a text."""

import heapq

import numpy as np

from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import quoted
from keras_nc.cli.display import ratio
from keras_nc.cli.encode import encode_blocks
from keras_nc.cli.encode import read_blocks
from keras_nc.cli.files import open_input
from keras_nc.cli.loading import load_codebook
from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.codebook_file import FORMAT_VERSION


def inspect_codebook(path, text, top, first=None):
    """Print tables on a codebook, and on its windows in a text.

    Args:
        path: str, a codebook file or a preset that has one.
        text: str, a file to count windows in, or `None`.
        top: int, rows of a table.
        first: title and rows of a table to print first, or `None`.
    """
    codebook = load_codebook(path)
    # Count first, so that an unreadable text gives one line and no tables.
    counts = None if text is None else _count_windows(codebook, text)
    console = make_console()
    if first is not None:
        print_table(console, *first)
    _print_summary(console, codebook)
    if counts is None:
        _print_windows(console, codebook, top)
    else:
        print_text_summary(console, codebook, text, counts)
        print_frequent(
            console, counts, top, lambda i: quoted(codebook.token_bytes(i))
        )


def _count_windows(codebook, path):
    counts = np.zeros(1 << codebook.window_bits, np.int64)
    with (
        open_input(path) as (source, size),
        progress_bar("Counting", size) as progress,
    ):
        for codes in encode_blocks(codebook, read_blocks(source, progress)):
            counts += np.bincount(codes, minlength=len(counts))
    return counts


def _print_summary(console, codebook):
    lengths = codebook.token_lengths
    used = lengths[lengths > 0]
    rows = [
        ("fingerprint", codebook.fingerprint),
        ("format version", FORMAT_VERSION),
        ("window bits (W)", codebook.window_bits),
        ("windows", used.size),
        # Of the codes, which begin after the special ids.
        ("codes without a window", lengths.size - NUM_SPECIAL - used.size),
        ("allocation", codebook.allocation),
        ("parse", codebook.parse),
        ("longest window, bytes", int(used.max())),
        ("longest allowed, bytes", codebook.max_window_bytes),
        ("mean of all windows, bytes", float(used.mean())),
    ]
    print_table(console, "Codebook", rows)


def _print_windows(console, codebook, top):
    ids = np.flatnonzero(codebook.token_lengths)
    windows = {int(i): codebook.token_bytes(i) for i in ids}
    # Skip windows that another window begins with, such as shorter runs of
    # spaces.
    following = [*list(windows.values())[1:], b""]
    leaves = [
        i
        for (i, window), after in zip(windows.items(), following, strict=True)
        if not after.startswith(window)
    ]
    longest = heapq.nsmallest(top, leaves, key=lambda i: (-len(windows[i]), i))
    rows = [(i, len(windows[i]), quoted(windows[i])) for i in longest]
    title = "Longest windows that no other window begins with"
    print_table(console, title, rows, ["id", "bytes", "window"])

    # The number of codes of a prefix is proportional to its probability. A
    # range may hold ids without a window.
    before = np.cumsum([0, *(codebook.token_lengths > 0)])
    ranges = {}
    for window in windows.values():
        if len(window) > 1:
            low, high = codebook.prefix_range(window)
            size = int(before[high] - before[low])
            ranges[window] = (size, low, high)
    most = heapq.nsmallest(top, ranges, key=lambda w: (-ranges[w][0], w))
    rows = []
    for window in most:
        size, low, high = ranges[window]
        share = 100 * size / len(codebook.token_lengths)
        span = f"[{low:,}, {high:,})"
        rows.append((quoted(window), size, share, span))
    columns = ["begin with", "codes", "% of all ids", "range"]
    title = "Prefixes of two bytes and more with the most codes"
    print_table(console, title, rows, columns)


def print_text_summary(console, codebook, name, counts):
    """Print how well a codebook fits the windows counted in a text."""
    num_codes = int(counts.sum())
    num_bytes = int(counts @ codebook.token_lengths)
    p = counts[counts > 0] / max(num_codes, 1)
    entropy = float(-(p * np.log2(p)).sum()) * num_codes
    rows = [
        ("bytes", num_bytes),
        ("windows", num_codes),
        ("different windows", int(np.count_nonzero(counts))),
        ("bytes/window", ratio(num_bytes, num_codes)),
        (
            "bits/byte, windows as they are",
            ratio(codebook.window_bits * num_codes, num_bytes),
        ),
        # The size of an ideal code for the windows of this text.
        ("bits/byte, entropy of the windows", ratio(entropy, num_bytes)),
    ]
    print_table(console, f"Text {name}", rows)


def print_frequent(console, counts, top, show=None):
    """Print the most frequent ids of an array of counts.

    Args:
        console: where to.
        counts: int64 of shape (V,).
        top: int, how many.
        show: function from an id to text, or `None` if bytes are unknown.
    """
    total = max(int(counts.sum()), 1)
    order = np.argsort(-counts, kind="stable")[:top]
    columns = ["id", "count", "% of all"] + ["bytes"] * (show is not None)
    rows = []
    for i in order[counts[order] > 0].tolist():
        row = [i, int(counts[i]), 100 * int(counts[i]) / total]
        rows.append(row if show is None else [*row, show(i)])
    print_table(console, "Most frequent", rows, columns)
