"""From an entropy model to the windows of a codebook."""

import numpy as np

from keras_nc.coding._build_arithmetic import build_arithmetic
from keras_nc.coding._build_pruned import CANDIDATES
from keras_nc.coding._build_pruned import parse_with
from keras_nc.coding._build_pruned import prune as prune_windows
from keras_nc.coding._build_tunstall import build_tunstall
from keras_nc.coding._text import as_documents
from keras_nc.coding._text import join_documents
from keras_nc.coding.checks import as_choice
from keras_nc.coding.checks import as_flag
from keras_nc.coding.checks import as_integer
from keras_nc.coding.codebook_file import ALLOCATIONS
from keras_nc.coding.codebook_file import MAX_WINDOW_BITS
from keras_nc.coding.codebook_file import MIN_WINDOW_BITS
from keras_nc.coding.parses import PARSES
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
    """Return the arguments of a `Codebook`; see `Codebook.build`."""
    window_bits = as_window_bits(window_bits)
    max_window_bytes = as_max_window_bytes(max_window_bytes)
    allocation = as_choice("allocation", allocation, ALLOCATIONS)
    parse = PARSES[as_choice("parse", parse, PARSES)]
    prune = as_flag("prune", prune)
    rounds = _as_rounds(model, rounds)
    documents = None
    if rounds or prune or parse.weighs_windows:
        documents = _check_text(text, rounds, prune, parse.name)
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
    if parse.weighs_windows:
        costs = np.zeros(1 << window_bits, np.uint16)
        joined = join_documents(documents)
        ids = sorted(windows)
        values = [windows[i] for i in ids]
        costs[ids] = parse_with(values, parse, *joined)[1]
    return {
        "windows": windows,
        "window_bits": window_bits,
        "max_window_bytes": max_window_bytes,
        "allocation": allocation,
        "parse": parse.name,
        "costs": costs,
    }


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


def as_window_bits(window_bits):
    """Return `window_bits` as an int if codebooks have so many bits."""
    return as_integer(
        "window_bits",
        window_bits,
        MIN_WINDOW_BITS,
        MAX_WINDOW_BITS,
        "Fewer bits cannot hold all 256 bytes. More bits are too many windows "
        "for a table: use live windows, which need the model while coding.",
    )


def as_max_window_bytes(max_window_bytes):
    """Return `max_window_bytes` as an int if windows can be so long."""
    return as_integer(
        "max_window_bytes", max_window_bytes, 1, 255, "The default is 64."
    )


def _as_rounds(model, rounds):
    remedy = "Use 0 for the model as it is."
    rounds = as_integer("rounds", rounds, 0, remedy=remedy)
    if rounds and not callable(getattr(model, "refit", None)):
        raise ValueError(
            "Rounds need an entropy model with `refit`. Received: "
            f"rounds={rounds} and {type(model).__name__}, which has none. Use "
            "`rounds=0`, or a model such as `NGramModel`."
        )
    return rounds


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
