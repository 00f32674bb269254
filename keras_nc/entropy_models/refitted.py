"""What follows window starts, mixed into any entropy model."""

import numpy as np

from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import check_rows
from keras_nc.entropy_models._counts import CountTrie

# No codebook has longer windows.
MAX_WINDOW_BYTES = 255


class RefittedModel:
    """An entropy model and the counts of what follows window starts.

    Where a window begins, and the bytes s since then have been counted n(s)
    times with T(s) distinct bytes after them,

        p(b | s) = (n(sb) + T(s) * q(b | s)) / (n(s) + T(s))

    with the probabilities q of the other model. What was not counted is left
    to that model.

    Args:
        model: An `EntropyModel`.
        start_counts: `CountTrie` of strings at window starts; see
            `count_window_starts`.
    """

    def __init__(self, model, start_counts):
        self._model = model
        self._start_counts = start_counts

    def refit(self, text, starts):
        """Count other window starts; see `ByteLMModel.refit`."""
        return RefittedModel(self._model, count_window_starts(text, starts))

    def probabilities(self, prefixes):
        """Probabilities of the next byte, float64 `(len(prefixes), 256)`."""
        from keras_nc.entropy_models import _count_kernels

        joined, offsets = join_documents(list(prefixes))
        rows = check_rows(
            self._model.probabilities(prefixes), len(prefixes), self._model
        ).astype("float64")
        _count_kernels.mix_in(self._start_counts.arrays, joined, offsets, rows)
        return rows


def count_window_starts(text, starts, min_count=None):
    """Count the strings that begin at window starts.

    Args:
        text: `str` or bytes, or a list of documents.
        starts: offsets of the window starts in the documents joined, int64 of
            shape (windows,), ascending.
        min_count: occurrences that a string needs. The default is one in 2^18
            windows, and at least 2.

    Returns:
        A `CountTrie`.

    Raises:
        ValueError: if `starts` are no ascending offsets into the text.
    """
    joined, offsets = join_documents(text)
    starts = np.asarray(starts)
    if (
        starts.dtype.kind not in "iu"
        or starts.ndim != 1
        or not starts.size
        or starts[0] < 0
        or starts[-1] >= joined.size
        or (starts[1:] <= starts[:-1]).any()
    ):
        raise ValueError(
            "`starts` must be ascending offsets into the text. Received: "
            f"dtype={starts.dtype}, shape={starts.shape} for {joined.size} "
            "bytes of text. Pass the offsets of windows in the same text."
        )
    if min_count is None:
        min_count = max(2, starts.size >> 18)
    return CountTrie.count(
        joined, offsets, starts.astype(np.int64), MAX_WINDOW_BYTES, min_count
    )
