"""`shares.cumulative_frequencies` of one row, for kernels with a model."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.shares import FREQUENCY_BITS

_SCALE = float(1 << FREQUENCY_BITS)


@jit
def cumulate_row(probabilities, precision, table):
    """Fill a table, 257 integers, from probabilities that sum to one."""
    F = np.int64(0)
    for b in range(256):
        table[b] = F
        F += np.int64(np.floor(probabilities[b] * _SCALE))
    spare = (np.int64(1) << precision) - 256
    for b in range(256):
        table[b] = table[b] * spare // F + b
    table[256] = spare + 256
