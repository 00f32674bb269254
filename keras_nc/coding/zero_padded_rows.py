"""The rows of a batch of zero-padded windows; see `zero_padded`."""

import numpy as np

from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import stepper_frequencies


class OpenWindows:
    """The open window of each row."""

    def __init__(self, rule, B):
        from keras_nc.coding.kernels import range_coder as kernels

        self._kernels = kernels
        self._precision = rule.precision
        size = rule.window_bits // 8
        self._lows = np.zeros(B, np.uint64)
        self._spans = np.full(B, kernels.PADDED_SPAN)
        self._ats = np.zeros(B, np.int64)
        self._bits = np.zeros((B, size + 8), np.uint8)
        self.padded = np.zeros((B, size), np.uint8)
        self.lengths = np.zeros(B, np.int64)
        self.sames = np.zeros(B, np.int64)

    def restart(self, rows):
        """Open new windows."""
        self._lows[rows] = 0
        self._spans[rows] = self._kernels.PADDED_SPAN
        self._ats[rows] = 0
        self.lengths[rows] = 0

    def try_bytes(self, tables, symbols, active):
        """Add bytes to windows; return where they fit, bool of shape (B,)."""
        fits = np.zeros(active.size, bool)
        self._kernels.try_bytes(
            self._lows,
            self._spans,
            self._ats,
            self._bits,
            self.padded,
            self.lengths,
            self.sames,
            tables,
            symbols,
            active,
            self._precision,
            fits,
        )
        return fits

    def choose_bytes(self, codes, tables, active):
        """Find the next byte of each code; rows without one become inactive."""
        # One bit is before the binary point. Zeros pad the code.
        bits = np.unpackbits(codes, axis=1)
        shifted = np.packbits(np.pad(bits, ((0, 0), (1, 7))), axis=1)
        symbols = np.zeros(active.size, np.uint8)
        self._kernels.choose_bytes(
            self._lows,
            self._spans,
            self._ats,
            shifted,
            tables,
            active,
            self._precision,
            symbols,
        )
        return symbols


class Contexts:
    """The bytes that the model has seen in each row, and its tables.

    Args:
        rule: A `ZeroPaddedWindows`.
        B: int. Rows, at most as many as the stepper has.
        gather: A function of (B,) positions and (B,) counts, that returns the
            bytes of each text from there on, uint8 of shape (B, most).
    """

    def __init__(self, rule, B, gather):
        self._rule = rule
        self._gather = gather
        self._stepper = rule.stepper
        # The last batch may have fewer texts than the stepper has rows.
        self._B, self._spare = B, self._stepper.batch_size - B
        self._stepper.restart(np.ones(self._stepper.batch_size, bool))
        self._firsts = np.zeros(B, np.int64)
        self._ends = np.zeros(B, np.int64)
        self._closed = np.zeros(B, np.int64)
        #: Where the model's context began when the row's open window began.
        self.window_contexts = np.zeros(B, np.int64)

    def tables(self):
        """Tables of the next byte, uint32 of shape (B, 257)."""
        rows = stepper_frequencies(self._stepper, slice(self._B))
        # Probabilities become integers as in codebooks; only the padding
        # differs.
        spare = (1 << self._rule.precision) - 256
        tables = np.zeros((len(rows), 257), np.uint32)
        shares = allocate(rows, np.full(len(rows), spare)) + 1
        np.cumsum(shares, axis=1, out=tables[:, 1:])
        return tables

    def tables_of(self, symbols):
        """Return tables with the parts of some bytes, and their places.

        Args:
            symbols: uint8 of shape (B,): a byte for each row.

        Returns:
            The tables, and the place of each byte in its table, (B,).
        """
        if not hasattr(self._stepper, "window_parts"):
            return self.tables(), symbols
        parts = self._stepper.window_parts(
            np.pad(symbols, (0, self._spare)), self._rule.precision
        )
        return parts[: self._B], np.zeros(self._B, np.uint8)

    def move(self, positions, closing):
        """Show the model the texts up to new positions.

        Args:
            positions: (B,): where each text is now.
            closing: bool (B,): whether a window ends there.
        """
        self._closed += closing
        size, begin = self._stepper.context_bytes, self.window_contexts
        firsts = begin + (positions - begin) // size * size
        every = self._rule.reset_every
        if every is not None:
            due = closing & (self._closed % every == 0)
            firsts[due] = positions[due]
        # With `delay`, bytes that the model has seen move to the next window.
        restart = (firsts != self._firsts) | (positions < self._ends)
        self._firsts = firsts
        self._ends = np.where(restart, firsts, self._ends)
        self._stepper.restart(np.pad(restart, (0, self._spare)))
        counts = positions - self._ends
        data = self._gather(self._ends, counts)
        spare = (0, self._spare)
        self._stepper.append(
            np.pad(data, (spare, (0, 0))), np.pad(counts, spare)
        )
        self._ends = positions.copy()
        self.window_contexts[closing] = firsts[closing]
