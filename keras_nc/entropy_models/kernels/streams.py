"""Numba kernels that code whole streams with counts, without Python."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.range_coder import FINE
from keras_nc.coding.kernels.range_coder import begin_stream
from keras_nc.coding.kernels.range_coder import cumulate_row
from keras_nc.coding.kernels.range_coder import decode_symbol
from keras_nc.coding.kernels.range_coder import end_stream
from keras_nc.coding.kernels.range_coder import fault_at_end
from keras_nc.coding.kernels.range_coder import narrow
from keras_nc.entropy_models.kernels.counts import probabilities

_WHOLE = np.uint64((1 << 64) - 1)


@jit
def _look_up(tries, text, first, i, context_bytes, precision, row, table):
    """Fill the table of byte i of a document that begins at `first`."""
    bounds = np.array([i - (i - first) % context_bytes, i])
    probabilities(tries[0], tries[1], text, bounds, row)
    cumulate_row(row[0], precision, table)


@jit
def encode(tries, text, offsets, context_bytes, precision, out, firsts, ends):
    """Encode documents."""
    row = np.empty((1, 256))
    table = np.empty(257, np.int64)
    for d in range(offsets.size - 1):
        low, span, at = np.uint64(0), _WHOLE, firsts[d]
        first = offsets[d]
        for i in range(first, offsets[d + 1]):
            _look_up(
                tries, text, first, i, context_bytes, precision, row, table
            )
            b = np.int64(text[i])
            low, span, at = narrow(
                low, span, at, table[b], table[b + 1], precision, out
            )
        if first < offsets[d + 1]:
            at = end_stream(low, at, out)
        ends[d] = at


@jit
def decode(tries, codes, bounds, context_bytes, precision, text, offsets):
    """Decode documents into `text`; return a bad document and its fault."""
    row = np.empty((1, 256))
    table = np.empty(257, np.int64)
    for d in range(offsets.size - 1):
        at, end = bounds[d], bounds[d + 1]
        first = offsets[d]
        span, distance = _WHOLE, begin_stream(codes, at, end)
        for i in range(first, offsets[d + 1]):
            _look_up(
                tries, text, first, i, context_bytes, precision, row, table
            )
            b, fault, distance, span, at = decode_symbol(
                table, distance, span, at, precision, codes, end
            )
            if fault:
                return d, fault
            text[i] = b
        fault = fault_at_end(distance, at, end, offsets[d + 1] - first)
        if fault:
            return d, fault
    return -1, FINE
