"""Equal-info windows of any width, with the model in the loop.

The rule is that of codebooks with `allocation="arithmetic"`, at every width:

- A state is a range of codes `[low, low + size)`. The start state holds
  `[3, 2^W)`, gives each of the 256 bytes one code and shares the rest among
  them. Every other state keeps `low`, which means that the window ends here,
  and shares `size - 1` codes among the next bytes, in byte order.
- Shares are those of `coding.shares.allocate`: with the frequencies
  `f = floor(p * 2^24)`, their sum F and k codes to share, byte b gets
  `f[b] * k // F`; the codes left over go to the largest remainders, ties to the
  smaller byte. With `k = q F + r`, `f[b] * k` is `f[b] * q * F + f[b] * r`, so
  quotient and remainder are `f[b] * q + f[b] * r // F` and `f[b] * r % F`: only
  `f[b] * q` may be longer than 64 bits, at any width.
- A window ends before a byte that has no code. It also ends at the end of a
  document, at `max_window_bytes`, and where only one code is left.
- The model's context restarts at each window. A `PrefixCache` gives the
  frequencies of the prefixes that it holds; the model gives all others.

Encoder and decoder must see the same probabilities, bit for bit. Steppers
guarantee this on one machine with the same software, not across machines.
"""

import threading

import numpy as np

from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import check_exact
from keras_nc.coding.shares import check_stepper
from keras_nc.coding.shares import stepper_frequencies

MIN_WINDOW_BITS = 9
WORD_BITS = 64
#: The only width of more than one word.
TWO_WORDS = 128
#: A longer window would occupy its row, and its memory, for too long.
MAX_WINDOW_BYTES = 1024
#: The arrays of a cache that holds no prefix.
_NO_CACHE = (
    np.zeros(1, np.int64),
    np.zeros(0, np.uint8),
    np.zeros((0, 256), np.uint32),
)


class WindowCoder:
    """Bytes to window codes and back, W from 9 to 64 or 128.

    Args:
        stepper: the source of probabilities, from
            `entropy_models.stepper_for(model, batch_size, context_bytes)`. A
            window has at most `context_bytes` bytes, up to 1,024. `batch_size`
            documents are coded side by side; it changes no code.
        window_bits: W, bits per code.
        cache: a `PrefixCache`, or `None`. It is a part of the format.

    Raises:
        ValueError: if W or the stepper's `context_bytes` is out of range.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> from keras_nc.entropy_models import stepper_for
    >>> model = UnigramModel.from_text(b"in the beginning was the word")
    >>> stepper = stepper_for(model, batch_size=4, context_bytes=1024)
    >>> coder = WindowCoder(stepper, window_bits=32)
    >>> codes, offsets = coder.encode_batch([b"the end", b"a word"])
    >>> offsets.tolist()
    [0, 2, 4]
    >>> coder.decode_batch(codes, offsets)
    [b'the end', b'a word']
    """

    def __init__(self, stepper, *, window_bits, cache=None):
        check_stepper(stepper)
        check_exact(stepper, "Live windows")
        window_bits = check_live_window_bits(window_bits)
        if not 1 <= stepper.context_bytes <= MAX_WINDOW_BYTES:
            raise ValueError(
                "The stepper's `context_bytes` are the bytes of the longest "
                f"window, from 1 to {MAX_WINDOW_BYTES}. Received: "
                f"{stepper.context_bytes}. Make another stepper."
            )
        self.window_bits = window_bits
        self.max_window_bytes = stepper.context_bytes
        self.cache = cache
        #: How many states were shared since the coder was made, and how many of
        #: them the cache knew. The others queried the model.
        self.lookups = np.zeros(2, np.int64)
        self._stepper = stepper
        self._lock = threading.Lock()
        size = (1 << window_bits) - NUM_SPECIAL
        words = [0, NUM_SPECIAL, *divmod(size, 1 << WORD_BITS)]
        self._start = np.array(words, np.uint64)
        self._cache_arrays = _NO_CACHE if cache is None else cache.arrays

    def encode_batch(self, documents):
        """Cut each document into windows; none crosses a boundary.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            Codes of all windows and offsets, int64 of shape (documents + 1,).
            Codes are of shape (windows,), in the smallest of uint16, uint32 and
            uint64 that holds W bits; for W = 128 uint64 of shape (windows, 2),
            the high word first.
        """
        codes, _, offsets, _ = self._encode(documents)
        return self._narrow(codes), offsets

    def cut_batch(self, documents):
        """Cut documents as `encode_batch` does; return the windows' lengths.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            Bytes of all windows, uint16 of shape (windows,), and offsets, as
            from `encode_batch`.
        """
        _, lengths, offsets, _ = self._encode(documents)
        return lengths, offsets

    def encode_part(self, document):
        """Encode the beginning of a document.

        Args:
            document: `str` or bytes, not empty.

        Returns:
            Codes of the windows that no continuation can change, as from
            `encode_batch`; the number of bytes in the last window, which may
            grow; and the range `[first, end)` of codes that it may get, two
            ints.
        """
        codes, lengths, _, sizes = self._encode([document])
        low, size = (
            (int(high) << WORD_BITS) | int(low)
            for high, low in (codes[-1], sizes[-1])
        )
        closed = self._narrow(codes[:-1])
        return closed, int(lengths[-1]), (low, low + size)

    def _encode(self, documents):
        from keras_nc.coding.kernels import windows as kernels

        text, offsets = join_documents(documents)
        codes = np.empty((text.size, 2), np.uint64)
        lengths = np.empty(text.size, np.uint16)
        counts = np.zeros(offsets.size - 1, np.int64)
        last_sizes = np.zeros((offsets.size - 1, 2), np.uint64)
        following = np.zeros(1, np.int64)
        with self._lock:
            rows = _Rows(self._stepper, self._cache_arrays)
            while True:
                kernels.encode(
                    text,
                    offsets,
                    self._start,
                    self.max_window_bytes,
                    *rows.arguments,
                    following,
                    codes,
                    lengths,
                    counts,
                    last_sizes,
                    self.lookups,
                )
                if not rows.ask(text, rows.table[:, kernels.PLACE]):
                    break
        # The codes of a document are at the beginning of its part.
        ends = np.cumsum(counts)
        index = np.arange(ends[-1] if ends.size else 0)
        index += np.repeat(offsets[:-1] - (ends - counts), counts)
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        return codes[index], lengths[index], offsets, last_sizes

    def decode_batch(self, codes, offsets, truncate=False):
        """Return the documents that codes stand for.

        Args:
            codes: as `encode_batch` returns them.
            offsets: int64 of shape (documents + 1,), ascending from 0 to the
                number of codes.
            truncate: whether to end a document at the first code that stands
                for no window of this model. If that code asks for more than
                `max_window_bytes`, keep the bytes decoded so far. If False,
                such a code is an error.

        Returns:
            A list of bytes.

        Raises:
            ValueError: if codes or offsets are malformed, or a code stands for
                no window of this model.
        """
        from keras_nc.coding.kernels import windows as kernels

        codes = self._wide(codes)
        offsets = _as_offsets(offsets, len(codes))
        parts = [[] for _ in offsets[1:]]
        waiting = iter(range(len(parts)))
        with self._lock:
            rows = _Rows(self._stepper, self._cache_arrays)
            table = rows.table
            room = max(4096, 2 * self.max_window_bytes)
            out = np.empty((len(table), room), np.uint8)
            starts = np.arange(len(table)) * room
            while True:
                rows.serve(out, offsets, parts, waiting)
                runs = np.isin(
                    table[:, kernels.NEXT], (kernels.RUN, kernels.ANSWERED)
                )
                if not runs.any():
                    ends = starts + table[:, kernels.WRITTEN]
                    if not rows.ask(out.reshape(-1), ends):
                        break
                kernels.decode(
                    codes,
                    self._start,
                    self.max_window_bytes,
                    *rows.arguments,
                    out,
                    self.lookups,
                )
                if truncate:
                    rows.end_bad()
                self._refuse_bad(table, codes)
        return [b"".join(pieces) for pieces in parts]

    def _narrow(self, codes):
        """Convert codes of two words to the dtype of `encode_batch`."""
        if self.window_bits == TWO_WORDS:
            return codes
        bits = max(16, 1 << (self.window_bits - 1).bit_length())
        return codes[:, 1].astype(f"uint{bits}")

    def _wide(self, codes):
        """Return codes as two words each, or raise a ValueError."""
        codes = np.asarray(codes)
        two = self.window_bits == TWO_WORDS
        shape = (codes.shape[0] if codes.ndim else 0, *([2] if two else []))
        if codes.shape != shape or (codes.size and codes.dtype.kind != "u"):
            raise ValueError(
                f"Codes of {self.window_bits} bits must be unsigned integers "
                f"of shape {'(n, 2)' if two else '(n,)'}. Received: dtype="
                f"{codes.dtype}, shape={codes.shape}. Pass what "
                "`encode_batch` returned."
            )
        if two:
            return codes.astype(np.uint64)
        wide = np.zeros((len(codes), 2), np.uint64)
        wide[:, 1] = codes
        beyond = codes.size and int(codes.max()) >> self.window_bits
        if beyond:
            raise ValueError(
                f"Codes must be below 2^{self.window_bits}. Received: "
                f"{codes.max()} at position {int(codes.argmax())}. Check "
                "`window_bits`."
            )
        return wide

    def _refuse_bad(self, table, codes):
        from keras_nc.coding.kernels import windows as kernels

        bad = np.flatnonzero(table[:, kernels.NEXT] == kernels.BAD)
        if bad.size:
            at = int(table[bad[0], kernels.PLACE])
            code = (int(codes[at, 0]) << WORD_BITS) | int(codes[at, 1])
            raise ValueError(
                "A code must stand for a window of this model. Received: code "
                f"{code} at position {at}, which stands for none. The codes "
                "are damaged, or were made with another model, cache, software "
                "or machine."
            )


def check_live_window_bits(window_bits):
    """Return `window_bits` as an int, or raise an error if out of range."""
    window_bits = as_integer("window_bits", window_bits, 0)
    if (
        not MIN_WINDOW_BITS <= window_bits <= WORD_BITS
        and window_bits != TWO_WORDS
    ):
        raise ValueError(
            f"`window_bits` must be from {MIN_WINDOW_BITS} to {WORD_BITS}, or "
            f"{TWO_WORDS}. Received: {window_bits}. Fewer bits cannot hold all "
            "256 bytes."
        )
    return window_bits


def _as_offsets(offsets, num_codes):
    offsets = np.asarray(offsets)
    if (
        offsets.dtype.kind not in "iu"
        or offsets.ndim != 1
        or not offsets.size
        or offsets[0] != 0
        or offsets[-1] != num_codes
        or (np.diff(offsets.astype(np.int64)) < 0).any()
    ):
        raise ValueError(
            "`offsets` must ascend from 0 to the number of codes, one more "
            f"than there are documents. Received: shape={offsets.shape} for "
            f"{num_codes} codes. Pass what `encode_batch` returned."
        )
    return offsets.astype(np.int64)


class _Rows:
    """The states of the rows of a batch, and how they query the model."""

    def __init__(self, stepper, cache_arrays):
        from keras_nc.coding.kernels import windows as kernels

        B = stepper.batch_size
        self._kernels = kernels
        self._stepper = stepper
        self.table = np.zeros((B, kernels.ROW_FIELDS), np.int64)
        self._f = np.zeros((B, 256), np.uint32)
        # How many bytes of the window the model has seen; -1 if it has not been
        # restarted for this window.
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
        kernels = self._kernels
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

    def serve(self, out, offsets, parts, waiting):
        """Empty the buffers of rows; give waiting documents to idle rows."""
        kernels = self._kernels
        states = self.table[:, kernels.NEXT]
        full = (states == kernels.FULL) | (states == kernels.IDLE)
        for i in np.flatnonzero(full & (self.table[:, kernels.WRITTEN] > 0)):
            row = self.table[i]
            written = out[i, : row[kernels.WRITTEN]].tobytes()
            parts[row[kernels.DOCUMENT]].append(written)
            row[kernels.WRITTEN] = 0
        states[states == kernels.FULL] = kernels.RUN
        idle = np.flatnonzero(states == kernels.IDLE)
        for i, document in zip(idle, waiting, strict=False):
            row = self.table[i]
            row[kernels.DOCUMENT] = document
            row[kernels.PLACE] = offsets[document]
            row[kernels.STOP] = offsets[document + 1]
            row[kernels.LENGTH] = 0
            row[kernels.NODE] = kernels.NOT_BEGUN
            row[kernels.NEXT] = kernels.RUN

    def end_bad(self):
        """End the documents of rows whose code stands for no window."""
        states = self.table[:, self._kernels.NEXT]
        states[states == self._kernels.BAD] = self._kernels.IDLE
