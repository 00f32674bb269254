"""What an entropy model adds to the counts of a text."""

import numpy as np

from keras_nc.coding.allocations import ROOT_WEIGHT
from keras_nc.coding.allocations import next_byte_frequencies
from keras_nc.coding.allocations import tunstall_weights
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.prune import CANDIDATES


def expected_uses(model, window_bits, max_window_bytes, tokens):
    """Return the uses of a model's most probable windows.

    Args:
        model: an entropy model. If it has a `reader`, that is asked instead: it
            is faster if many prefixes begin alike.
        window_bits: W, bits per code.
        max_window_bytes: bytes that a window has at most.
        tokens: how many windows the text has.

    Returns:
        A dict from windows (bytes) to how often these bytes are expected in a
        text of `tokens` windows, if the model wrote it. A phrase counts only
        where a word boundary follows.
    """
    from keras_nc.coding.kernels.word_boundaries import OTHER
    from keras_nc.coding.kernels.word_boundaries import SPACE
    from keras_nc.coding.kernels.word_boundaries import WORD
    from keras_nc.coding.kernels.word_boundaries import classify
    from keras_nc.coding.kernels.word_boundaries import mark_words

    if hasattr(model, "reader"):
        model = model.reader(max_window_bytes)
    wider = window_bits + CANDIDATES.bit_length() - 1
    weights = tunstall_weights(model, wider, max_window_bytes)
    windows = list(weights)
    text, offsets = join_documents(windows)
    marks = np.append(0, np.cumsum(mark_words(text, offsets), dtype=np.int64))
    words = marks[offsets[1:]] - marks[offsets[:-1]]
    prior = {
        window: tokens * weight / ROOT_WEIGHT
        for window, weight in weights.items()
    }
    phrases = [windows[i] for i in np.flatnonzero(words > 1).tolist()]
    # Whether a boundary lies before a byte depends on the class of the byte.
    kinds = [classify(np.uint8(b)) for b in range(256)]
    of_kind = np.equal.outer(kinds, [WORD, SPACE, OTHER])
    for i in range(0, len(phrases), 4096):
        batch = phrases[i : i + 4096]
        text, offsets = join_documents(
            [window[-2:] + b for window in batch for b in (b"a", b" ", b".")]
        )
        ends = mark_words(text, offsets)[offsets[1:] - 1].reshape(-1, 3)
        f = next_byte_frequencies(model, batch)
        shares = (f @ of_kind * ends).sum(axis=1) / f.sum(axis=1)
        for window, share in zip(batch, shares.tolist(), strict=True):
            prior[window] *= share
    return prior
