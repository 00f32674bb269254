"""Checks and buffers of the arithmetic coder."""

import itertools

import numpy as np

from keras_nc.coding.inputs import as_byte_array
from keras_nc.coding.shares import FREQUENCY_BITS
from keras_nc.coding.shares import MIN_PRECISION


def split_text(text, bounds):
    """Cut an array of uint8 into a list of bytes."""
    data = text.tobytes()
    return [data[a:b] for a, b in itertools.pairwise(bounds.tolist())]


def capacities(lengths, precision):
    """Return where the code of each document begins in a large enough buffer.

    Args:
        lengths: bytes of each document, int64 of shape (B,).
        precision: bits of the tables' sums.

    Returns:
        int64 of shape (B + 1,); the last is the size of the buffer.
    """
    # A byte costs `precision` bits at most, and rounding next to nothing.
    sizes = lengths * precision // 8 + lengths // (1 << 20) + 10
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def check_lengths(lengths, offsets, precision):
    """Raise a ValueError for a length that is too large for its code."""
    # The cheapest byte is one that leaves a single part to each other byte.
    cheapest = -np.log2(1 - 255 / (1 << precision))
    most = np.diff(offsets) * (8 / cheapest)
    bad = lengths > most
    if bad.any():
        d = int(np.argmax(bad))
        raise ValueError(
            f"A code of {int(offsets[d + 1] - offsets[d])} bytes stands for "
            f"{int(most[d])} bytes at most. Received: a length of "
            f"{int(lengths[d])} for document {d}. The code is damaged or cut."
        )


def refuse(document, fault):
    """Raise the ValueError for a fault that a kernel found."""
    from keras_nc.coding.kernels import range_coder

    what = {
        range_coder.NO_SYMBOL: "one that lies in the part of no byte",
        range_coder.TOO_SHORT: "one that is too short for its bytes",
        range_coder.TOO_LONG: "one that is too long for its bytes",
        range_coder.NOT_SHORTEST: "one with another last byte",
    }[fault]
    raise ValueError(
        "A code must be one that this coder writes, with the same model. "
        f"Received: {what}, for document {document}. The code is damaged or "
        "cut, or the model is another one."
    )


def check_tables(tables, B, precision):
    """Return tables as the kernels take them, or raise a ValueError."""
    tables = np.ascontiguousarray(tables)
    if (
        tables.shape != (B, 257)
        or tables.dtype != np.uint32
        or (tables[:, -1] != 1 << precision).any()
    ):
        raise ValueError(
            f"`tables` must be uint32 of shape ({B}, 257), and end with "
            f"2^{precision}. Received: dtype={tables.dtype}, "
            f"shape={tables.shape}. Make them with `cumulative_frequencies`."
        )
    return tables


def as_table(table):
    """Check a table for all bytes; return it and its precision."""
    table = np.ascontiguousarray(table)
    precision = int(table[-1]).bit_length() - 1 if table.size else 0
    steps = np.diff(table.astype(np.int64))
    if (
        table.shape != (257,)
        or table.dtype != np.uint32
        or not MIN_PRECISION <= precision <= FREQUENCY_BITS
        or table[0] != 0
        or table[-1] != 1 << precision
        or steps.min() < 1
    ):
        raise ValueError(
            "`table` must be uint32 of shape (257,), and rise from 0 to a "
            f"power of two from 2^{MIN_PRECISION} to 2^{FREQUENCY_BITS}. "
            f"Received: dtype={table.dtype}, shape={table.shape}. Make it "
            "with `cumulative_frequencies`."
        )
    return table, precision


def as_lengths(lengths):
    """Check lengths of documents; return them as int64."""
    array = np.asarray(lengths)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.min() < 0:
        raise ValueError(
            "`lengths` must be non-negative integers along one axis. "
            f"Received: dtype={array.dtype}, shape={array.shape}"
        )
    if array.max() > 1 << 48:
        raise ValueError(
            "A document must have fewer than 2^48 bytes. Received: a length "
            f"of {array.max()}"
        )
    return array.astype(np.int64)


def as_codes(codes, offsets, B):
    """Check joined codes and their offsets; return both."""
    codes = as_byte_array(codes)
    offsets = np.asarray(offsets, np.int64)
    if (
        offsets.shape != (B + 1,)
        or offsets[0] != 0
        or offsets[-1] != codes.size
        or (np.diff(offsets) < 0).any()
    ):
        raise ValueError(
            f"`offsets` must rise from 0 to the {codes.size} bytes of the "
            f"codes, one more than the {B} lengths. Received: "
            f"shape={offsets.shape}. Pass what the encoder gave."
        )
    return codes, offsets


def join_streams(codes, firsts, ends):
    """Join the codes of a buffer; return them and their offsets."""
    rows = [codes[a:b] for a, b in zip(firsts, ends, strict=False)]
    offsets = np.concatenate([[0], np.cumsum(ends - firsts[:-1])])
    joined = np.concatenate(rows) if rows else np.zeros(0, np.uint8)
    return joined, offsets.astype(np.int64)
