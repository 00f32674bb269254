"""The paper's own equal-info windows, with codes padded with zeros.

Arithmetic coding gives a text an interval. Its code is the shortest bit string
whose interval lies inside. A window ends where one more byte would need more
than W bits. Its code is padded with zeros to W bits, and the coder restarts.
The decoder extends the text as long as its code stays the same. Windows
collide: bytes that add only zeros to a code are lost in the padding, or appear
from it ("Training LLMs over Neurally Compressed Text", section 3.3).
"""

import dataclasses
import threading

import numpy as np

from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import check_precision
from keras_nc.coding.shares import check_stepper
from keras_nc.coding.shares import stepper_frequencies


@dataclasses.dataclass(frozen=True)
class Window:
    """A window of a text.

    Attributes:
        start: int. Where it begins.
        end: int. Where it ends.
        code: bytes. Its code, padded to W bits.
        context: int. Where the model's context began when the window began.
    """

    start: int
    end: int
    code: bytes
    context: int


class ZeroPaddedWindows:
    """Equal-info windows by the paper's rule, which cannot be decoded safely.

    Intervals are those of `keras_nc.coding.arithmetic`, with at least 56 bits.
    In windows of 16 and 24 bits, rounding is negligible: the collisions come
    from the rule itself.

    Args:
        stepper: The source of probabilities, from
            `entropy_models.stepper_for(model, batch_size, context_bytes)`. The
            context restarts after `context_bytes` bytes at the latest.
            `batch_size` texts or windows are coded side by side; it changes no
            code.
        window_bits: int. Bits of a window, `W`: a multiple of 8, and more than
            `precision`, so that every byte fits a window.
        precision: int. Bits of a probability; 14 in the paper.
        delay: bool. The paper's Delay: if the last bytes of a window do not
            change its padded code, they move to the next window.
        reset_every: int, or `None` for never. The model's context restarts at
            every window, at every second, and so on.

    Raises:
        TypeError: If a setting is not an integer.
        ValueError: If a setting is out of range.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel, stepper_for
    >>> model = UnigramModel.from_text(b"she sells sea shells")
    >>> rule = ZeroPaddedWindows(stepper_for(model, 1, context_bytes=1024))
    >>> windows = rule.encode([b"sea shells"])[0]
    >>> [window.code.hex() for window in windows]
    ['7b00', '5de4', '7b28', '6450', '7080']
    """

    def __init__(
        self,
        stepper,
        window_bits=16,
        precision=14,
        delay=False,
        reset_every=1,
    ):
        check_stepper(stepper)
        settings = check_windows(window_bits, precision, reset_every)
        self.window_bits, self.precision, self.reset_every = settings
        self.delay = bool(delay)
        self.stepper = stepper
        self._lock = threading.Lock()

    def encode(self, documents):
        """Cut documents into windows.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            For each document a list of `Window`.
        """
        text, offsets = join_documents(documents)
        sizes = np.diff(offsets)
        order = np.argsort(-sizes, kind="stable")
        rows = [None] * sizes.size
        size = self.stepper.batch_size
        for first in range(0, order.size, size):
            batch = order[first : first + size]
            with self._lock:
                found = self._encode_batch(
                    text, offsets[batch], offsets[batch + 1]
                )
            for i, windows in zip(batch, found, strict=True):
                rows[i] = windows
        return rows

    def encode_codes(self, documents):
        """Return the codes of each document's windows, joined.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            A list of bytes.
        """
        return [
            b"".join([window.code for window in windows])
            for windows in self.encode(documents)
        ]

    def _encode_batch(self, text, firsts, limits):
        """Cut the documents `text[firsts[d]:limits[d]]` into windows."""
        B = firsts.size
        ends = limits - firsts
        positions = np.zeros(B, np.int64)
        starts = np.zeros(B, np.int64)
        windows = [[] for _ in range(B)]
        state = OpenWindows(self, B)

        def gather(begins, counts):
            columns = np.arange(counts.max(initial=0))
            places = (firsts + begins)[:, None] + columns
            return text[np.where(columns < counts[:, None], places, 0)]

        contexts = Contexts(self, B, gather)
        while True:
            active = positions < ends
            closing = ~active & (state.lengths > 0)
            if not (active | closing).any():
                return windows
            if active.any():
                symbols = text[np.where(active, firsts + positions, 0)]
                tables, symbols = contexts.tables_of(symbols)
                fits = state.try_bytes(tables, symbols, active)
                closing |= active & ~fits
                positions += fits
            rows = np.flatnonzero(closing)
            lengths = state.sames if self.delay else state.lengths
            positions[rows] = starts[rows] + lengths[rows]
            for d in rows.tolist():
                window = Window(
                    int(starts[d]),
                    int(positions[d]),
                    state.padded[d].tobytes(),
                    int(contexts.window_contexts[d]),
                )
                windows[d].append(window)
            starts[rows] = positions[rows]
            state.restart(closing)
            contexts.move(positions, closing)

    def decode(self, codes, contexts=None):
        """Decode windows, each with the context that the model had seen.

        Return the longest text that has this code or, with `delay`, the
        shortest.

        Args:
            codes: A list of bytes, `W / 8` each.
            contexts: A list of bytes: the model's context at the start of each
                window; empty if `None`.

        Returns:
            A list of bytes.
        """
        contexts = contexts or [b""] * len(codes)
        texts = []
        size = self.stepper.batch_size
        for first in range(0, len(codes), size):
            batch = slice(first, first + size)
            with self._lock:
                texts += self._decode_batch(codes[batch], contexts[batch])
        return texts

    def _decode_batch(self, codes, before):
        B = len(codes)
        state = OpenWindows(self, B)
        rows = np.array([list(code) for code in codes], np.uint8)
        texts = [bytearray(context) for context in before]
        positions = np.array([len(context) for context in before])

        def gather(begins, counts):
            data = np.zeros((B, counts.max(initial=0)), np.uint8)
            for d in np.flatnonzero(counts):
                new = texts[d][begins[d] : begins[d] + counts[d]]
                data[d, : counts[d]] = np.frombuffer(new, np.uint8)
            return data

        contexts = Contexts(self, B, gather)
        contexts.move(positions, np.zeros(B, bool))
        found = np.zeros(B, np.int64)
        active = np.ones(B, bool)
        while active.any():
            tables = contexts.tables()
            symbols = state.choose_bytes(rows, tables, active)
            active &= state.try_bytes(tables, symbols, active)
            for d in np.flatnonzero(active):
                texts[d].append(symbols[d])
            positions += active
            same = active & (state.padded == rows).all(axis=1)
            found[same] = state.lengths[same]
            if self.delay:
                active &= ~same
            contexts.move(positions, np.zeros(B, bool))
        starts = [len(context) for context in before]
        return [
            bytes(text[start : start + length])
            for text, start, length in zip(texts, starts, found, strict=True)
        ]

    def count_collisions(self, text):
        """Count the windows of a text that come back wrong.

        Args:
            text: `str` or bytes.

        Returns:
            A pair of ints: the number of windows whose code decodes to other
            bytes, even with the right context, and the number of all windows.
        """
        text = as_bytes(text)
        [windows] = self.encode([text])
        decoded = self.decode(
            [window.code for window in windows],
            [text[window.context : window.start] for window in windows],
        )
        wrong = sum(
            found != text[window.start : window.end]
            for found, window in zip(decoded, windows, strict=True)
        )
        return wrong, len(windows)


def check_windows(window_bits, precision, reset_every):
    """Return the settings as integers, or raise an error."""
    precision = check_precision(precision)
    window_bits = as_integer("window_bits", window_bits, 1)
    if window_bits % 8 or not precision < window_bits <= 128:
        raise ValueError(
            "`window_bits` must be a multiple of 8, more than `precision` and "
            f"128 at most. Received: window_bits={window_bits}, "
            f"precision={precision}. The paper has 16, 24, 32, 64 and 128, "
            "and 14."
        )
    if reset_every is not None:
        remedy = "`None` is for never."
        reset_every = as_integer("reset_every", reset_every, 1, remedy=remedy)
    return window_bits, precision, reset_every


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
            self._lows, self._spans, self._ats, self._bits, self.padded,
            self.lengths, self.sames, tables, symbols, active, self._precision,
            fits
        )  # fmt: skip
        return fits

    def choose_bytes(self, codes, tables, active):
        """Find the next byte of each code; rows without one become inactive."""
        # One bit is before the binary point. Zeros pad the code.
        bits = np.unpackbits(codes, axis=1)
        shifted = np.packbits(np.pad(bits, ((0, 0), (1, 7))), axis=1)
        symbols = np.zeros(active.size, np.uint8)
        self._kernels.choose_bytes(
            self._lows, self._spans, self._ats, shifted, tables, active,
            self._precision, symbols
        )  # fmt: skip
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
