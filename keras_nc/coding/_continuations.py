"""Which windows may continue a text that ends inside a window."""

import numpy as np


def find_continuations(codebook, array):
    """See `Codebook.continuations`."""
    from keras_nc.coding import _word_boundaries as words

    settled = array.size - codebook.remainder_length(array)
    offsets = np.array([0, array.size], np.int64)
    marks = words.mark_boundaries(array, offsets)[settled:]
    remainder = array[settled:].tobytes()
    found = [(0, 0, [])] * len(remainder)
    reached = {0}
    for k in range(len(remainder)):
        if k not in reached:
            continue
        left = remainder[k:]
        low, high = codebook.prefix_range(left)
        ends = _ends(codebook, left, marks[k:])
        reached.update(k + n for n, _ in ends)
        found[k] = low, high, [i for _, i in ends]
    return found


def _ends(codebook, left, marks):
    """Give `(bytes, id)` of the windows that may end before `left` does."""
    shorter = []
    for n in range(1, min(len(left), codebook.max_window_bytes + 1)):
        i = codebook.find(left[:n])
        if i is not None:
            shorter.append((n, i))
    if codebook.parse not in ("greedy", "aligned"):
        return shorter
    # These parses take the longest window that they can. Which one ends at a
    # word boundary is known for all but the last byte.
    if codebook.parse == "aligned":
        aligned = [end for end in shorter if marks[end[0]]]
        if aligned:
            return aligned[-1:]
    return [] if codebook.find(left) is not None else shorter[-1:]
