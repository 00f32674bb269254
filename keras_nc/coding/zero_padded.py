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
from keras_nc.coding.shares import check_precision
from keras_nc.coding.shares import check_stepper
from keras_nc.coding.zero_padded_rows import Contexts
from keras_nc.coding.zero_padded_rows import OpenWindows


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
        return [
            [
                Window(start, end, code.tobytes(), context)
                for start, end, code, context in zip(
                    starts.tolist(),
                    ends.tolist(),
                    codes,
                    contexts.tolist(),
                    strict=True,
                )
            ]
            for starts, ends, codes, contexts in self._encode(documents)
        ]

    def encode_codes(self, documents):
        """Return the codes of each document's windows, joined.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            A list of bytes.
        """
        return [codes.tobytes() for _, _, codes, _ in self._encode(documents)]

    def _encode(self, documents):
        """Return the fields of each document's windows as arrays."""
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

    def _encode_batch(self, text, firsts, limits):
        """Cut the documents `text[firsts[d]:limits[d]]` into windows."""
        B = firsts.size
        ends = limits - firsts
        positions = np.zeros(B, np.int64)
        starts = np.zeros(B, np.int64)
        closed = []
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
                return _by_row(closed, B, self.window_bits // 8)
            if active.any():
                symbols = text[np.where(active, firsts + positions, 0)]
                tables, symbols = contexts.tables_of(symbols)
                fits = state.try_bytes(tables, symbols, active)
                closing |= active & ~fits
                positions += fits
            rows = np.flatnonzero(closing)
            if rows.size:
                lengths = state.sames if self.delay else state.lengths
                positions[rows] = starts[rows] + lengths[rows]
                closed.append(
                    (
                        rows,
                        starts[rows],
                        positions[rows],
                        state.padded[rows],
                        contexts.window_contexts[rows],
                    )
                )
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


def _by_row(closed, B, size):
    """Sort windows by row.

    Args:
        closed: A list of tuples of arrays: rows, starts, ends, codes, contexts.
        B: int. Rows.
        size: int. Bytes of a code.

    Returns:
        A list of tuples of arrays, one for each row: starts, ends, codes,
        contexts.
    """
    if not closed:
        none = np.zeros(0, np.int64)
        return [(none, none, np.zeros((0, size), np.uint8), none)] * B
    rows, *fields = (
        np.concatenate(arrays) for arrays in zip(*closed, strict=True)
    )
    order = np.argsort(rows, kind="stable")
    places = np.searchsorted(rows[order], np.arange(1, B))
    parts = [np.split(field[order], places) for field in fields]
    return list(zip(*parts, strict=True))
