"""From an entropy model to the windows of a codebook."""

import numbers

import numpy as np

from keras_nc.coding._build_arithmetic import build_arithmetic
from keras_nc.coding._build_pruned import CANDIDATES
from keras_nc.coding._build_pruned import parse_with
from keras_nc.coding._build_pruned import prune as prune_windows
from keras_nc.coding._build_tunstall import build_tunstall
from keras_nc.coding._codebook_file import ALLOCATIONS
from keras_nc.coding._codebook_file import MAX_WINDOW_BITS
from keras_nc.coding._codebook_file import MIN_WINDOW_BITS
from keras_nc.coding._codebook_file import PARSES
from keras_nc.coding._codebook_file import WEIGHED
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.special import NUM_SPECIAL


def build_content(
    model,
    text,
    *,
    window_bits,
    allocation,
    parse,
    prune,
    rounds,
    max_window_bytes,
):
    """Give windows by id, and costs, of a codebook; see `Codebook.build`."""
    check_window_bits(window_bits)
    check_integer("max_window_bytes", max_window_bytes)
    _check_choice("allocation", allocation, ALLOCATIONS)
    _check_choice("parse", parse, PARSES)
    if not 1 <= max_window_bytes <= 255:
        raise ValueError(
            "`max_window_bytes` must be from 1 to 255. Received: "
            f"{max_window_bytes}. The default is 64."
        )
    if rounds:
        _check_rounds(model, rounds)
    documents = None
    if rounds or prune or parse in WEIGHED:
        documents = _check_text(text, rounds, prune, parse)
    for _ in range(rounds):
        windows = build_windows(
            model, window_bits, allocation, max_window_bytes
        )
        starts = _window_starts(list(windows.values()), parse, documents)
        model = model.refit(documents, starts)
    if prune:
        larger = build_windows(
            model, window_bits, allocation, max_window_bytes, CANDIDATES
        )
        size = (1 << window_bits) - NUM_SPECIAL
        kept = prune_windows(list(larger.values()), size, parse, documents)
        windows = dict(enumerate(kept, NUM_SPECIAL))
    else:
        windows = build_windows(
            model, window_bits, allocation, max_window_bytes
        )
    costs = None
    if parse in WEIGHED:
        costs = np.zeros(1 << window_bits, np.uint16)
        joined = join_documents(documents)
        ids = sorted(windows)
        values = [windows[i] for i in ids]
        costs[ids] = parse_with(values, parse, *joined)[1]
    return {"windows": windows, "costs": costs}


def build_windows(model, window_bits, allocation, max_window_bytes, times=1):
    """Give a dict from ids, ascending, to windows of a prefix-closed codebook.

    Args:
        model: an entropy model.
        window_bits: W.
        allocation: `"arithmetic"` or `"tunstall"`.
        max_window_bytes: bytes that a window has at most.
        times: how many times as many codes as W bits have, a power of two.
    """
    window_bits += times.bit_length() - 1
    if allocation == "tunstall":
        return build_tunstall(model, window_bits, max_window_bytes)
    windows = build_arithmetic(model, window_bits, max_window_bytes)
    return dict(sorted(windows.items()))


def _check_choice(name, value, choices):
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be one of {sorted(choices)}. Received: "
            f"{value!r}. Choose one of them."
        )


def check_integer(name, value):
    """Raise TypeError if an argument is no integer."""
    if not isinstance(value, numbers.Integral):
        raise TypeError(
            f"`{name}` must be an integer. Received: {name}={value!r}"
        )


def check_window_bits(window_bits):
    """Raise an error if no codebook has so many bits."""
    check_integer("window_bits", window_bits)
    if not MIN_WINDOW_BITS <= window_bits <= MAX_WINDOW_BITS:
        raise ValueError(
            f"`window_bits` must be from {MIN_WINDOW_BITS} to "
            f"{MAX_WINDOW_BITS}: fewer cannot hold all 256 bytes, more are "
            f"too many windows for a table. Received: {window_bits}. Wider "
            "windows need the model while coding."
        )


def _check_rounds(model, rounds):
    check_integer("rounds", rounds)
    if rounds < 0:
        raise ValueError(
            f"`rounds` must not be negative. Received: {rounds}. Use 0 for "
            "the model as it is."
        )
    if not callable(getattr(model, "refit", None)):
        raise ValueError(
            "Rounds need an entropy model with `refit`. Received: "
            f"rounds={rounds} and {type(model).__name__}, which has none. Use "
            "`rounds=0`, or a model such as `NGramModel`."
        )


def _check_text(text, rounds, prune, parse):
    """Give the documents of the text, or raise ValueError."""
    documents = [] if text is None else as_documents(text)
    if not any(len(document) for document in documents):
        raise ValueError(
            "Rounds, pruning and the likely parses need text. Received: "
            f"rounds={rounds}, prune={prune}, parse={parse!r} and no bytes "
            "of text. Pass the text that the model was made from, or do "
            "without them."
        )
    return documents


def _window_starts(windows, parse, documents):
    """Give where windows start in the documents joined, int64."""
    text, offsets = join_documents(documents)
    places, _ = parse_with(windows, parse, text, offsets)
    lengths = np.array([len(window) for window in windows])
    ends = np.cumsum(lengths[places], dtype=np.int64)
    return np.concatenate([[0], ends[:-1]])
