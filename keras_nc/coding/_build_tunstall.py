"""Codebooks of the most probable windows (Tunstall's construction)."""

import numpy as np

from keras_nc.coding._prefixes import next_byte_frequencies
from keras_nc.coding.special import NUM_SPECIAL

ROOT_WEIGHT = 1 << 39  # times a frequency of 24 bits, it still fits 63 bits


def build_tunstall(model, window_bits, max_window_bytes, batch=4096):
    """Give the most probable windows, bytes by id in lexicographic order."""
    size = (1 << window_bits) - NUM_SPECIAL
    windows = most_probable_windows(model, size, max_window_bytes, batch)
    return dict(enumerate(windows, NUM_SPECIAL))


def most_probable_windows(model, size, max_window_bytes, batch=4096):
    """Find the most probable windows.

    The order is one of integers, hence the same on every machine. The empty
    prefix weighs 2^39, and a prefix followed by byte b weighs
    `weight * f_b // F` with the integer frequencies of the entropy model and
    their sum F. A prefix stands before another if it weighs more, or weighs
    the same and is shorter, or that and its bytes are smaller. The codebook
    has the 256 single bytes and the first `size - 256` longer prefixes of at
    most `max_window_bytes`. A prefix never stands before its own prefixes, so
    the set is prefix-closed.

    Args:
        model: an entropy model.
        size: how many windows, at least 256.
        max_window_bytes: bytes that a window has at most.
        batch: prefixes that the model is asked for at a time. The result
            does not depend on it as long as the model's rows do not.

    Returns:
        The windows, a list of bytes in lexicographic order.
    """
    room = size - 256
    # Every prefix seen so far; what follows holds places in this list.
    seen = [bytes([b]) for b in range(256)]
    weights = _child_weights(model, [b""], np.array([ROOT_WEIGHT]))[0]
    lengths = np.ones(256, np.int64)
    best = np.zeros(0, np.int64)  # longer than one byte, expanded or not
    waiting = np.arange(256 if max_window_bytes > 1 else 0)
    cutoff = -1  # what weighs less has no code, and neither have its children
    while waiting.size:
        waiting = waiting[np.argsort(-weights[waiting], kind="stable")]
        chosen, waiting = waiting[:batch], waiting[batch:]
        prefixes = [seen[i] for i in chosen.tolist()]
        child_weights = _child_weights(model, prefixes, weights[chosen])
        rows, next_bytes = np.nonzero(child_weights >= cutoff)
        children = np.arange(len(seen), len(seen) + rows.size)
        seen += [
            prefixes[row] + seen[byte]
            for row, byte in zip(
                rows.tolist(), next_bytes.tolist(), strict=True
            )
        ]
        weights = np.append(weights, child_weights[rows, next_bytes])
        lengths = np.append(lengths, lengths[chosen][rows] + 1)
        best = _first(room, np.append(best, children), seen, weights, lengths)
        if best.size == room:
            cutoff = weights[best].min()
        # The best only get better: what is not among them now never will be,
        # and neither will its children.
        useful = np.zeros(len(seen), bool)
        useful[:256] = True
        useful[best] = True
        useful &= (weights >= cutoff) & (lengths < max_window_bytes)
        waiting = np.append(waiting, children)
        waiting = waiting[useful[waiting]]
    return sorted(seen[:256] + [seen[i] for i in best.tolist()])


def _child_weights(model, prefixes, weights):
    f = next_byte_frequencies(model, prefixes)
    return weights[:, None] * f // f.sum(axis=1, keepdims=True)


def _first(room, places, seen, weights, lengths):
    """Take the places of the first prefixes in the order of codebooks."""
    if places.size <= room:
        return places
    w = weights[places]
    cutoff = np.partition(w, w.size - room)[w.size - room]
    sure = places[w > cutoff]
    # Bytes need comparing only where weight and length are equal, too.
    tied = places[w == cutoff].tolist()
    tied.sort(key=lambda i: (lengths[i], seen[i]))
    return np.append(sure, np.array(tied[: room - sure.size], np.int64))
