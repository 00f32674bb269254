"""The rows of a batch of live windows, and how they query the model."""

import numpy as np

from keras_nc.coding.shares import stepper_frequencies

#: The arrays of a cache that holds no prefix.
NO_CACHE = (
    np.zeros(1, np.int64),
    np.zeros(0, np.uint8),
    np.zeros((0, 256), np.uint32),
)


class Rows:
    """Hold the states of the rows of a batch, and query the model for them."""

    def __init__(self, stepper, cache_arrays):
        from keras_nc.coding.kernels import windows as kernels

        B = stepper.batch_size
        self._stepper = stepper
        self.table = np.zeros((B, kernels.ROW_FIELDS), np.int64)
        self._f = np.zeros((B, 256), np.uint32)
        # How many bytes of the window the model has seen; -1 if it has not been
        # told that a window has begun.
        self._fed = np.full(B, -1)
        states = np.zeros((B, 4), np.uint64)
        #: The arguments that both kernels share.
        self.arguments = (
            cache_arrays, self.table, states, self._f, self._fed
        )  # fmt: skip

    def ask(self, source, ends):
        """Ask the model for the rows that need it.

        Args:
            source: uint8, the buffer that holds the bytes of all windows.
            ends: (B,), where the window of each row ends in `source`.

        Returns:
            bool: whether any row needed the model.
        """
        from keras_nc.coding.kernels import windows as kernels

        asking = self.table[:, kernels.NEXT] == kernels.ASK
        if not asking.any():
            return False
        fed = self._fed
        new = asking & (fed < 0)
        self._stepper.restart(new)
        fed[new] = 0
        counts = np.where(asking, self.table[:, kernels.LENGTH] - fed, 0)
        data = np.zeros((len(counts), counts.max()), np.uint8)
        kernels.gather(source, ends - counts, counts, data)
        self._stepper.append(data, counts)
        fed += counts
        self._f[asking] = stepper_frequencies(self._stepper, asking)
        self.table[asking, kernels.NEXT] = kernels.ANSWERED
        return True


def serve(table, out, offsets, parts, waiting):
    """Empty buffers of waiting rows, and give new documents to idle ones."""
    from keras_nc.coding.kernels import windows as kernels

    states = table[:, kernels.NEXT]
    full = (states == kernels.FULL) | (states == kernels.IDLE)
    for i in np.flatnonzero(full & (table[:, kernels.WRITTEN] > 0)):
        row = table[i]
        written = out[i, : row[kernels.WRITTEN]].tobytes()
        parts[row[kernels.DOCUMENT]].append(written)
        row[kernels.WRITTEN] = 0
    states[states == kernels.FULL] = kernels.RUN
    idle = np.flatnonzero(states == kernels.IDLE)
    for i, document in zip(idle, waiting, strict=False):
        row = table[i]
        row[kernels.DOCUMENT] = document
        row[kernels.PLACE] = offsets[document]
        row[kernels.STOP] = offsets[document + 1]
        row[kernels.LENGTH] = 0
        row[kernels.NODE] = kernels.NOT_BEGUN
        row[kernels.NEXT] = kernels.RUN


def end_before_bad(table):
    """End the documents of rows whose code stands for no window.

    If a code asks for more than `max_window_bytes`, keep the bytes decoded so
    far.
    """
    from keras_nc.coding.kernels import windows as kernels

    table[table[:, kernels.NEXT] == kernels.BAD, kernels.NEXT] = kernels.IDLE
