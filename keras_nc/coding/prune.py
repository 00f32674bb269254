"""Keep the windows that a text uses most."""

import numpy as np

from keras_nc.coding.inputs import join_documents
from keras_nc.coding.parses import PARSES
from keras_nc.coding.trie import Trie

#: How many candidate windows to build for each window that is kept.
CANDIDATES = 4
SHRINK = 0.75  # between two parses, so that uses stay accurate
COST_BITS = 10  # costs are multiples of 2^-10 bits
MAX_COST = (1 << 16) - 1


def prune_windows(windows, size, parse, documents):
    """Choose the most useful windows of a larger codebook.

    Cut the text, drop the quarter of windows that save least, and repeat.
    Several rounds are needed because dropping a window changes the uses of
    others. A window saves its uses times its bytes minus one. Ties keep the
    shorter, then the smaller window. Single bytes are never dropped.

    Args:
        windows: list of bytes in lexicographic order.
        size: how many to keep.
        parse: the `Parse` that cuts the documents.
        documents: list of documents (bytes).

    Returns:
        A list of bytes in lexicographic order.
    """
    text, offsets = join_documents(documents)
    while len(windows) > size:
        lengths = np.array([len(window) for window in windows])
        ids, _ = cut_text(windows, parse, text, offsets)
        saved = np.bincount(ids, minlength=len(windows)) * (lengths - 1)
        saved[lengths == 1] = np.iinfo(saved.dtype).max
        kept = max(size, int(len(windows) * SHRINK))
        ranked = np.lexsort((np.arange(len(windows)), lengths, -saved))
        windows = [windows[i] for i in np.sort(ranked[:kept]).tolist()]
    return windows


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
    lengths = np.array([len(window) for window in windows], np.uint8)
    # In a trie, id 0 means no window.
    lengths = np.concatenate([[np.uint8(0)], lengths])
    content = np.frombuffer(b"".join(windows), np.uint8)
    trie = Trie(lengths, content)
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
            np.bincount(ids, minlength=len(lengths)), lengths > 0, price
        )
        ids, _ = trie.encode(text, offsets, parse, costs)
    return ids.astype(np.int64) - 1, costs[1:]


def window_costs(uses, used, price=0):
    """Return the cost of each window in units of 2^-10 bits, uint16.

    A window costs `-log2 p` and the price. Probabilities come from uses with
    add-one smoothing, so no window has probability zero.

    Args:
        uses: how often each window is used, by id.
        used: bool, whether an id has a window. The others cost 0.
        price: bits.
    """
    counts = np.where(used, uses + 1.0, 1.0)
    bits = np.log2(counts[used].sum()) - np.log2(counts) + price
    costs = np.rint(bits * (1 << COST_BITS)).clip(1, MAX_COST)
    return np.where(used, costs, 0).astype(np.uint16)
