"""From an entropy model to the windows of a codebook."""

import numbers

import numpy as np

from keras_nc.coding._build_arithmetic import build_arithmetic
from keras_nc.coding._build_tunstall import build_tunstall
from keras_nc.coding._codebook_file import MAX_WINDOW_BITS
from keras_nc.coding._codebook_file import MIN_WINDOW_BITS
from keras_nc.coding._text import as_documents

_BUILDERS = {"arithmetic": build_arithmetic, "tunstall": build_tunstall}


def build_windows(model, *, window_bits, allocation, max_window_bytes):
    """Give a dict from ids to windows; see `Codebook.build`."""
    check_window_bits(window_bits)
    check_integer("max_window_bytes", max_window_bytes)
    if not isinstance(allocation, str) or allocation not in _BUILDERS:
        raise ValueError(
            f"`allocation` must be one of {sorted(_BUILDERS)}. Received: "
            f"{allocation!r}. Choose one of them."
        )
    if not 1 <= max_window_bytes <= 255:
        raise ValueError(
            "`max_window_bytes` must be from 1 to 255. Received: "
            f"{max_window_bytes}. The default is 64."
        )
    return _BUILDERS[allocation](model, window_bits, max_window_bytes)


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


def check_rounds(model, text, rounds):
    """Give the documents to refit on, or raise ValueError."""
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
    documents = [] if text is None else as_documents(text)
    if not any(len(document) for document in documents):
        raise ValueError(
            f"Rounds need text to encode. Received: rounds={rounds} and no "
            "bytes of text. Pass the text that the model was made from, or "
            "use `rounds=0`."
        )
    return documents


def window_starts_in(documents, codebook):
    """Give where windows start in the documents joined, int64."""
    ids, _ = codebook.encode_batch(documents)
    ends = np.cumsum(codebook.token_lengths[ids], dtype=np.int64)
    return np.concatenate([[0], ends[:-1]])
