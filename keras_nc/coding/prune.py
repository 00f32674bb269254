"""Keep the windows that a text uses most."""

import numpy as np

from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.trie import Trie
from keras_nc.coding.trie import window_starts

#: How many candidate windows to build for each window that is kept.
CANDIDATES = 4
SHRINK = 0.75  # between two parses, so that uses stay accurate
COST_BITS = 10  # costs are multiples of 2^-10 bits
MAX_COST = (1 << 16) - 1


def prune_windows(windows, size, parse, documents, by):
    """Choose the most useful windows of a larger codebook.

    Cut the text, drop the quarter of windows that are needed least, and repeat.
    Several rounds are needed because dropping a window changes the uses of
    others. Ties keep the shorter, then the smaller window. Single bytes are
    never dropped.

    Args:
        windows: list of bytes in lexicographic order.
        size: how many to keep.
        parse: the `Parse` that cuts the documents.
        documents: list of documents (bytes).
        by: `"bytes"` or `"likelihood"`. A window saves its uses times its bytes
            minus one; or its uses times what its bytes cost more if they are
            cut the best other way.

    Returns:
        A list of bytes in lexicographic order.
    """
    text, offsets = join_documents(documents)
    while len(windows) > size:
        lengths = np.array([len(window) for window in windows])
        ids, costs = cut_text(windows, parse, text, offsets)
        uses = np.bincount(ids, minlength=len(windows))
        if by == "bytes":
            saved = uses * (lengths - 1)
        else:
            if costs is None:
                costs = window_costs(uses, lengths)
            saved = uses * (_costs_without(windows, costs) - costs)
        saved[lengths == 1] = np.iinfo(saved.dtype).max
        kept = max(size, int(len(windows) * SHRINK))
        ranked = np.lexsort((np.arange(len(windows)), lengths, -saved))
        windows = [windows[i] for i in np.sort(ranked[:kept]).tolist()]
    return windows


def _costs_without(windows, costs):
    """Return what the bytes of each window cost without it, int64."""
    from keras_nc.coding.kernels import units

    trie, content = _make_trie(windows)
    return units.cost_without(
        trie.cells,
        trie.id_of_slot,
        np.append(np.uint16(0), costs),
        window_starts(trie.lengths),
        trie.lengths,
        content,
    )[1:]


def _make_trie(windows):
    lengths = np.array([len(window) for window in windows], np.uint8)
    # In a trie, id 0 means no window.
    lengths = np.concatenate([[np.uint8(0)], lengths])
    content = np.frombuffer(b"".join(windows), np.uint8)
    return Trie(lengths, content), content


def cut_text(windows, parse, text, offsets, price=0):
    """Cut text into windows that have no codebook yet.

    Args:
        windows: list of bytes in lexicographic order.
        parse: a `Parse`.
        text: uint8 of shape (L,), all documents joined.
        offsets: int64 of shape (documents + 1,).
        price: bits that every window costs beside its `-log2 p`.

    Returns:
        Places of the windows in the list, int64 of shape (T,), and their
        costs, uint16 of the length of the list, or `None` for a parse that
        does not weigh windows.
    """
    trie, _ = _make_trie(windows)
    lengths = trie.lengths
    if not parse.weighs_windows:
        ids, _ = trie.encode(text, offsets, parse)
        return ids.astype(np.int64) - 1, None
    if parse.first:
        ids, _ = trie.encode(text, offsets, PARSES[parse.first])
    else:
        costs = (lengths > 0).astype(np.uint16)
        ids, _ = trie.encode(text, offsets, parse, costs)
    # The parse and the costs depend on each other. They converge soon.
    for _ in range(2):
        costs = window_costs(
            np.bincount(ids, minlength=len(lengths)), lengths, price
        )
        ids, _ = trie.encode(text, offsets, parse, costs)
    return ids.astype(np.int64) - 1, costs[1:]


def window_costs(uses, lengths, price=0):
    """Return the cost of each window in units of 2^-10 bits, uint16.

    A window costs `-log2 p` and the price. Probabilities come from uses with
    add-one smoothing, so no window has probability zero.

    Args:
        uses: how often each window is used, by id.
        lengths: bytes of each window, 0 for an id without one, which costs 0.
        price: bits.
    """
    used = np.asarray(lengths) > 0
    counts = np.where(used, uses + 1.0, 1.0)
    bits = np.log2(counts[used].sum()) - np.log2(counts) + price
    costs = np.rint(bits * (1 << COST_BITS)).clip(1, MAX_COST)
    return np.where(used, costs, 0).astype(np.uint16)
