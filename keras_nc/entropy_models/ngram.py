"""Counts of substrings, or of bytes: entropy models without training."""

import functools

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import cumulative_frequencies
from keras_nc.entropy_models.count_trie import BYTES_SHIFT
from keras_nc.entropy_models.count_trie import MAX_WINDOW_BYTES
from keras_nc.entropy_models.count_trie import STARTS_SHIFT
from keras_nc.entropy_models.count_trie import CountTrie
from keras_nc.entropy_models.count_trie import count_parts
from keras_nc.entropy_models.count_trie import count_window_starts
from keras_nc.entropy_models.count_trie import read_starts
from keras_nc.entropy_models.count_trie import read_text
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.stepping import PrefixStepper


@register("ngram")
class NGramModel(EntropyModel):
    """Substring counts with interpolated Witten-Bell smoothing.

    With `n(s)` occurrences of a context s that is followed by `T(s)` distinct
    bytes,

        p(b | s) = (n(sb) + T(s) * p(b | s[1:])) / (n(s) + T(s)),

    down to the uniform distribution 1/256. `refit` mixes in the counts of s at
    window starts in the same way. Counts are integers, and a row is always
    computed by the same floating-point operations in the same order. So a
    codebook of this model does not depend on batch, thread or machine.

    Make one with `NGramModel.from_text`.

    See "Managing Gigabytes" (Witten, Moffat, Bell) and "The zero-frequency
    problem" (Witten, Bell), method C.

    Args:
        counts: `CountTrie` of strings anywhere in the text.
        start_counts: `CountTrie` of strings at window starts.
        start_min_count: the minimum count that `refit` uses at window starts;
            see `from_text`.

    Raises:
        ValueError: if `start_min_count` is not a positive integer.

    Example:
    >>> model = NGramModel.from_text(b"abracadabra")
    >>> row = model.probabilities([b"ab"])[0]
    >>> bytes([row.argmax()])
    b'r'
    """

    def __init__(self, counts, start_counts, start_min_count):
        self._counts = counts
        self._start_counts = start_counts
        if start_min_count is not None:
            start_min_count = as_integer("start_min_count", start_min_count, 1)
        self._start_min_count = start_min_count

    @classmethod
    def from_text(cls, text, *, order=6, min_count=None, start_min_count=None):
        """Count the substrings of a text.

        Args:
            text: `str` or bytes, or a list of documents; no substring
                crosses from one into the next.
            order: bytes of the longest context, 0 to 255.
            min_count: occurrences that a context needs to be kept, from 1.
                The default is one in 2^23 bytes of text, and at least 2.
            start_min_count: the same for contexts at window starts. The
                default is one in 2^18 windows, and at least 2.

        Returns:
            An `NGramModel`.

        Raises:
            ValueError: if there is no text, or a setting is out of range.

        Example:
        >>> model = NGramModel.from_text([b"one", b"two"], order=2)
        >>> model.probabilities([b"", b"o"]).shape
        (2, 256)
        """
        order, min_count = _settings(order, min_count)
        joined, offsets = join_documents(text)
        if not joined.size:
            _refuse_nothing()
        if min_count is None:
            min_count = max(2, joined.size >> BYTES_SHIFT)
        counts = CountTrie.count(joined, offsets, None, order, min_count)
        return cls(counts, CountTrie.empty(), start_min_count)

    @classmethod
    def from_parts(
        cls,
        read,
        parts,
        *,
        order=6,
        min_count=None,
        start_min_count=None,
        run=map,
    ):
        """Count the substrings of a text in parts.

        Memory is needed for one part at a time, about 20 times its bytes, and
        for the counts.

        Args:
            read: function that returns the documents of a part.
            parts: a sequence of what `read` takes, such as file names. Each
                part is read twice.
            order: see `from_text`.
            min_count: see `from_text`.
            start_min_count: see `from_text`.
            run: function like `map`, such as that of a
                `concurrent.futures.ProcessPoolExecutor`, whose workers then
                read and count the parts.

        Returns:
            An `NGramModel`, the same as by `from_text` of all documents.

        Raises:
            ValueError: as `from_text`.

        Example:
        >>> texts = {"first": [b"abra", b"cad"], "second": [b"abra"]}
        >>> model = NGramModel.from_parts(texts.get, ["first", "second"])
        >>> again = NGramModel.from_text([b"abra", b"cad", b"abra"])
        >>> model.fingerprint == again.fingerprint
        True
        """
        order, min_count = _settings(order, min_count)
        read = functools.partial(read_text, read)
        counts = count_parts(read, parts, order, min_count, BYTES_SHIFT, run)
        if not counts.counts.size:
            _refuse_nothing()
        return cls(counts, CountTrie.empty(), start_min_count)

    def refit(self, text, starts):
        """Mix in the statistics of the window starts of a text.

        Args:
            text: `str` or bytes, or a list of documents.
            starts: offsets of the window starts in the documents joined,
                int64 of shape (windows,), ascending.

        Returns:
            A new `NGramModel`, without the statistics of earlier window starts.

        Raises:
            ValueError: if `starts` are not ascending offsets into the text.

        Example:
        >>> import numpy as np
        >>> model = NGramModel.from_text(b"abab")
        >>> refitted = model.refit(b"abab", np.array([0, 2]))
        >>> row = model.probabilities([b""])[0]
        >>> new_row = refitted.probabilities([b""])[0]
        >>> bool(new_row[ord("a")] > row[ord("a")])
        True
        """
        start_counts = count_window_starts(text, starts, self._start_min_count)
        return NGramModel(self._counts, start_counts, self._start_min_count)

    def refit_parts(self, read, parts, run=map):
        """Mix in the statistics of the window starts of a text in parts.

        Args:
            read: function that returns the documents of a part, and the offsets
                of the window starts in these documents joined.
            parts: see `from_parts`.
            run: see `from_parts`.

        Returns:
            A new `NGramModel`, the same as by `refit` of all documents.
        """
        start_counts = count_parts(
            functools.partial(read_starts, read), parts, MAX_WINDOW_BYTES,
            self._start_min_count, STARTS_SHIFT, run,
        )  # fmt: skip
        return NGramModel(self._counts, start_counts, self._start_min_count)

    def probabilities(self, prefixes):
        """Return the distribution of the byte after each prefix.

        Args:
            prefixes: sequence of n prefixes (bytes).

        Returns:
            float64 of shape (n, 256); rows sum to 1.

        Example:
        >>> model = NGramModel.from_text(b"abracadabra")
        >>> round(float(model.probabilities([b""]).sum()), 9)
        1.0
        """
        from keras_nc.entropy_models.kernels import counts as kernels

        joined, offsets = join_documents(list(prefixes))
        rows = np.empty((len(prefixes), 256))
        kernels.probabilities(*self.tries, joined, offsets, rows)
        return rows

    @property
    def tries(self):
        """Both tries as the kernels take them: anywhere, window starts."""
        return self._counts.arrays, self._start_counts.arrays

    def stepper(self, batch_size, context_bytes):
        """Return a stepper that codes streams without leaving Numba."""
        return _NGramStepper(self, batch_size, context_bytes)

    def state(self):
        """Return both tries; see `EntropyModel.state`."""
        settings = {"start_min_count": self._start_min_count}
        arrays = self._counts.named("anywhere")
        return settings, {**arrays, **self._start_counts.named("starts")}

    @classmethod
    def from_state(cls, settings, arrays):
        """Return the model of a state; see `EntropyModel.from_state`."""
        arrays = dict(arrays)
        counts = CountTrie.from_named("anywhere", arrays)
        start_counts = CountTrie.from_named("starts", arrays)
        if arrays:
            raise FaultError(f"fields {sorted(arrays)}")
        return cls(counts, start_counts, **settings)


def _settings(order, min_count):
    """Return checked settings of counts."""
    order = as_integer("order", order, 0, MAX_WINDOW_BYTES)
    if min_count is not None:
        min_count = as_integer("min_count", min_count, 1)
    return order, min_count


def _refuse_nothing():
    raise ValueError(
        "An n-gram model needs text to count. Received: no bytes. "
        "Pass text like the text that will be encoded."
    )


class _NGramStepper(PrefixStepper):
    """Steps of an `NGramModel`; see `coding.StreamCoder` for its streams."""

    def encode_streams(self, text, bounds, precision, out, firsts, ends):
        from keras_nc.entropy_models.kernels import counts

        counts.encode_streams(
            self.model.tries,
            text,
            bounds,
            self.context_bytes,
            precision,
            out,
            firsts,
            ends,
        )

    def decode_streams(self, codes, offsets, precision, text, bounds):
        from keras_nc.entropy_models.kernels import counts

        return counts.decode_streams(
            self.model.tries,
            codes,
            offsets,
            self.context_bytes,
            precision,
            text,
            bounds,
        )


@register("unigram")
class UnigramModel(EntropyModel):
    """The same distribution of the next byte after every prefix.

    This is the model of StaticAC in "Training LLMs over Neurally Compressed
    Text", section 3.3.

    Args:
        counts: 256 non-negative integers, not all zero. A byte of count zero
            gets probability zero.

    Raises:
        ValueError: if `counts` is anything else.

    Example:
    >>> model = UnigramModel([1] * 256)
    >>> float(model.probabilities([b"", b"abc"])[1, 0])
    0.00390625
    """

    def __init__(self, counts):
        counts = np.array(counts)
        if (
            counts.shape != (256,)
            or counts.dtype.kind not in "iu"
            or counts.min() < 0
            or counts.max() == 0
            or sum(counts.tolist()) >= 2**63
        ):
            raise ValueError(
                "`counts` must be 256 non-negative integers, not all zero, "
                "with a sum below 2^63. "
                f"Received: shape={counts.shape}, dtype={counts.dtype}. "
                "Count the bytes with `UnigramModel.from_text`."
            )
        self._counts = counts.astype(np.int64)
        self._row = self._counts / self._counts.sum()

    @classmethod
    def from_text(cls, text):
        """Count the bytes of a text, and add one to every count.

        Args:
            text: `str` or bytes, or a list of documents.

        Returns:
            A `UnigramModel`.

        Example:
        >>> model = UnigramModel.from_text(b"abab")
        >>> float(model.probabilities([b""])[0, ord("a")])  # 3 / 260
        0.011538461538461539
        """
        joined, _ = join_documents(text)
        return cls(np.bincount(joined, minlength=256) + 1)

    @property
    def counts(self):
        """The counts of the 256 bytes, int64 of shape (256,)."""
        return self._counts.copy()

    def probabilities(self, prefixes):
        """Return the distribution of the byte after each prefix.

        Args:
            prefixes: sequence of n prefixes (bytes).

        Returns:
            float64 of shape (n, 256), all rows the same.

        Example:
        >>> UnigramModel([1] * 256).probabilities([b"", b"a"]).shape
        (2, 256)
        """
        return np.tile(self._row, (len(prefixes), 1))

    def stepper(self, batch_size, context_bytes):
        """Return a stepper that codes streams with one table."""
        return _UnigramStepper(self, batch_size, context_bytes)

    def state(self):
        """Return the counts; see `EntropyModel.state`."""
        return {}, {"counts": self.counts}

    @classmethod
    def from_state(cls, settings, arrays):
        """Return the model of a state; see `EntropyModel.from_state`."""
        if settings or set(arrays) != {"counts"}:
            raise FaultError(f"fields {sorted([*settings, *arrays])}")
        return cls(arrays["counts"])


class _UnigramStepper(PrefixStepper):
    """Steps of a `UnigramModel`; see `coding.StreamCoder` for its streams."""

    def encode_streams(self, text, bounds, precision, out, firsts, ends):
        from keras_nc.coding.kernels import range_coder

        table = self._table(precision)
        range_coder.encode_static(
            text, bounds, table, precision, out, firsts, ends
        )

    def decode_streams(self, codes, offsets, precision, text, bounds):
        from keras_nc.coding.kernels import range_coder

        table = self._table(precision)
        return range_coder.decode_static(
            codes, offsets, table, precision, text, bounds
        )

    def _table(self, precision):
        row = self.model.probabilities([b""])
        return cumulative_frequencies(row, precision)[0]
