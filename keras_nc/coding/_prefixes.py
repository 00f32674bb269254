"""Asking an entropy model for the next byte after a list of prefixes."""

import numpy as np

from keras_nc.coding.shares import frequencies


def next_byte_frequencies(model, prefixes):
    """Give integer frequencies of the next byte, int64 of shape (n, 256)."""
    if isinstance(model, type) or not hasattr(model, "probabilities"):
        raise TypeError(
            "`model` must be an entropy model, with `probabilities(prefixes)`. "
            f"Received: {model!r}. See `keras_nc.entropy_models`."
        )
    probabilities = np.asarray(model.probabilities(prefixes))
    if probabilities.shape != (len(prefixes), 256):
        raise ValueError(
            "An entropy model must give one row of 256 probabilities for "
            f"each prefix. Received: shape {probabilities.shape} for "
            f"{len(prefixes)} prefixes from {type(model).__name__}. Correct "
            "its `probabilities`."
        )
    return frequencies(probabilities)
