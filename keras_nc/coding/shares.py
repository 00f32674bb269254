"""Turn probabilities into integer shares of codes.

Everything after this step is exact, so an encoder and a decoder with the same
frequencies agree on every code. `cumulate_row` of `kernels.range_coder` follows
the same rule for one row. Costs of windows (see `window_choice`) are integers
that come from counts, not from probabilities.
"""

import numpy as np

from keras_nc.coding.inputs import as_integer

FREQUENCY_BITS = 24
MIN_PRECISION = 14
# f * k must stay below 2^63. f may slightly exceed 2^24, because rows sum to
# one only within SUM_TOLERANCE.
MAX_CODES = 1 << 38
SUM_TOLERANCE = 1e-3


def frequencies(probabilities):
    """Turn probabilities of the next byte into integer frequencies.

    Args:
        probabilities: floats of shape (n, 256), one distribution a row.

    Returns:
        `floor(p * 2^24)`, computed in float64: int64 of shape (n, 256).

    Raises:
        ValueError: if a row is not a distribution over 256 bytes.

    Example:
    >>> import numpy as np
    >>> frequencies(np.full((1, 256), 1 / 256))[0, :3].tolist()
    [65536, 65536, 65536]
    """
    p = np.asarray(probabilities)
    if p.ndim != 2 or p.shape[1] != 256 or p.dtype.kind != "f":
        _refuse(f"shape={p.shape}, dtype={p.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        p = p.astype(np.float64, copy=False)
        sums = p.sum(axis=1)
    # Test for valid values, because NaN fails every comparison. An infinity
    # makes the sum infinite or NaN.
    bad = ~(np.abs(sums - 1.0) <= SUM_TOLERANCE) | ~(p >= 0).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        _refuse(
            f"row {row} with smallest value {p[row].min()}, "
            f"largest value {p[row].max()} and sum {sums[row]}"
        )
    return np.floor(p * (1 << FREQUENCY_BITS)).astype(np.int64)


def stepper_frequencies(stepper, rows=slice(None)):
    """Ask a stepper for the next byte and turn its answer into frequencies.

    Args:
        stepper: has `batch_size`, `B`, and `probabilities()`, which gives
            floats of shape (B, 256).
        rows: which of the B rows are wanted.

    Returns:
        Frequencies as from `frequencies`, one row for each of `rows`.

    Raises:
        ValueError: if the answer has the wrong shape, or one of these rows is
            not a distribution.
    """
    p = check_rows(stepper.probabilities(), stepper.batch_size, stepper)
    return frequencies(p[rows])


def check_stepper(stepper):
    """Raise a TypeError unless an object has the methods of a stepper."""
    methods = ("restart", "append", "step", "probabilities")
    sizes = ("batch_size", "context_bytes")
    if not all(hasattr(stepper, name) for name in (*methods, *sizes)):
        raise TypeError(
            "`stepper` must give the probabilities of the next byte, as those "
            "of `entropy_models.stepper_for(model, batch_size, "
            f"context_bytes)` do. Received: {stepper!r}"
        )


def check_exact(stepper, what):
    """Raise a ValueError if a stepper is for encoding only.

    Args:
        stepper: what `entropy_models.stepper_for` returns.
        what: str, a plural: what needs the same bits again.
    """
    if getattr(stepper, "encode_only", False):
        raise ValueError(
            f"{what} need a model that gives the same bits again. Received: "
            f"{type(stepper).__name__}, which is for encoding only. Use a "
            "model without `device_rows`."
        )


def check_rows(probabilities, n, giver):
    """Return probabilities as an array of n rows, or raise a ValueError.

    Args:
        probabilities: what `giver` gave.
        n: how many rows there must be.
        giver: an entropy model or a stepper, for the error.
    """
    p = np.asarray(probabilities)
    if p.shape != (n, 256):
        raise ValueError(
            "An entropy model must give one row of 256 probabilities for "
            f"each prefix. Received: shape {p.shape} for {n} prefixes from "
            f"{type(giver).__name__}. Correct its `probabilities`."
        )
    if p.dtype.kind != "f":
        _refuse(f"shape={p.shape}, dtype={p.dtype}")
    return p


def _refuse(received):
    raise ValueError(
        "Probabilities must have shape (n, 256) and a floating dtype, and "
        "each row must be finite, non-negative and sum to 1 within "
        f"{SUM_TOLERANCE}. Received: {received}. Apply a softmax over 256 "
        "bytes in float64, without masking."
    )


def allocate(frequencies, codes):
    """Share codes among bytes in proportion to their frequencies.

    With `k` codes and `F` the sum of the frequencies, byte `b` gets
    `f_b * k // F` codes; the codes left over go to the largest remainders, and
    ties to the smaller byte. A byte of frequency zero gets no code.

    Args:
        frequencies: int64 of shape (n, 256), each row with a positive sum.
        codes: how many codes each row shares, `k`: int64 of shape (n,).

    Returns:
        The codes of each byte, int64 of shape (n, 256); row i sums to
        `codes[i]`.

    Raises:
        ValueError: if shapes or ranges do not fit, or a row is all zeros.

    Example:
    >>> import numpy as np
    >>> f = np.zeros((1, 256), np.int64)
    >>> f[0, :3] = 2, 1, 1
    >>> allocate(f, [5])[0, :4].tolist()
    [3, 1, 1, 0]
    """
    f = np.asarray(frequencies, np.int64)
    k = np.asarray(codes, np.int64)
    if f.ndim != 2 or f.shape[1] != 256 or k.shape != f.shape[:1]:
        raise ValueError(
            "Frequencies must have shape (n, 256) and codes shape (n,). "
            f"Received: frequencies of shape {f.shape}, codes of shape "
            f"{k.shape}. Pass one number of codes for each row."
        )
    if f.size == 0:
        return f.copy()
    F = f.sum(axis=1, keepdims=True)
    if f.min() < 0 or F.min() <= 0 or F.max() >> (FREQUENCY_BITS + 1):
        raise ValueError(
            "Frequencies must be non-negative, and the sum of a row must be "
            f"positive and below 2^{FREQUENCY_BITS + 1}. Received: values "
            f"from {f.min()} to {f.max()}, sums from {F.min()} to {F.max()}. "
            "Make them with `frequencies`."
        )
    if k.min() < 0 or k.max() >= MAX_CODES:
        raise ValueError(
            f"Codes to share must be from 0 to {MAX_CODES - 1}. Received: "
            f"values from {k.min()} to {k.max()}. Use fewer window bits."
        )
    shares, remainders = np.divmod(f * k[:, None], F)
    left = k - shares.sum(axis=1)
    # Unique keys that sort as (remainder, smaller byte first), ascending.
    keys = remainders * 256 + np.arange(255, -1, -1)
    ranked = np.sort(keys, axis=1)
    # If nothing is left over, the threshold is above every key.
    place = np.minimum(256 - left, 255)
    threshold = ranked[np.arange(len(ranked)), place]
    threshold = np.where(left > 0, threshold, np.iinfo(np.int64).max)
    return shares + (keys >= threshold[:, None])


def cumulative_frequencies(probabilities, precision):
    """Turn probabilities of the next byte into a table for a coder.

    With the frequencies `f` and their sum `F`, the bytes below `b` get
    `sum(f[:b]) * (2^precision - 256) // F + b` of `2^precision` parts, so every
    byte has at least one part, however improbable it is.

    Args:
        probabilities: floats of shape (n, 256), one distribution a row.
        precision: bits of the sum, 14 to 24.

    Returns:
        uint32 of shape (n, 257): byte b has the parts `[row[b], row[b + 1])`.

    Raises:
        ValueError: if a row is not a distribution over 256 bytes, or the
            precision is out of range.

    Example:
    >>> import numpy as np
    >>> table = cumulative_frequencies(np.full((1, 256), 1 / 256), 14)[0]
    >>> table[[0, 1, 2, 256]].tolist()
    [0, 64, 128, 16384]
    """
    precision = check_precision(precision)
    return cumulate(frequencies(probabilities), precision)


def cumulate(frequencies, precision):
    """Make the tables of `cumulative_frequencies` from frequencies."""
    f = np.asarray(frequencies, np.int64)
    sums = np.zeros((len(f), 257), np.int64)
    np.cumsum(f, axis=1, out=sums[:, 1:])
    F = sums[:, -1:]
    tables = sums * ((1 << precision) - 256) // F + np.arange(257)
    return tables.astype(np.uint32)


def check_precision(precision):
    """Return `precision` as an int, or raise an error if it is out of range."""
    return as_integer(
        "precision",
        precision,
        MIN_PRECISION,
        FREQUENCY_BITS,
        "16 costs at most 0.006 bits a byte.",
    )
