"""Counts of substrings, smoothed: an entropy model without training."""

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.checks import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.stepping import PrefixStepper

#: No codebook has longer windows.
MAX_WINDOW_BYTES = 255
#: Attributes of a trie, in the order that kernels take, and their types.
FIELDS = {"starts": "<i8", "bytes": "|u1", "counts": "<u4", "children": "<i4"}


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
        order = as_integer("order", order, 0, MAX_WINDOW_BYTES)
        if min_count is not None:
            min_count = as_integer("min_count", min_count, 1)
        if start_min_count is not None:
            start_min_count = as_integer("start_min_count", start_min_count, 1)
        joined, offsets = join_documents(text)
        if not joined.size:
            raise ValueError(
                "An n-gram model needs text to count. Received: no bytes. "
                "Pass text like the text that will be encoded."
            )
        if min_count is None:
            min_count = max(2, joined.size >> 23)
        counts = CountTrie.count(joined, offsets, None, order, min_count)
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


class _NGramStepper(PrefixStepper):
    """Steps of an `NGramModel`; see `coding.StreamCoder` for its streams."""

    def encode_streams(self, text, bounds, precision, out, firsts, ends):
        from keras_nc.entropy_models.kernels import streams

        streams.encode(
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
        from keras_nc.entropy_models.kernels import streams

        return streams.decode(
            self.model.tries,
            codes,
            offsets,
            self.context_bytes,
            precision,
            text,
            bounds,
        )


class CountTrie:
    """Counts of the bytes that follow frequent strings.

    A node is a string. Node 0 is the empty string, and nodes are numbered level
    by level. A record says how often a byte follows a node. If that is often
    enough, the record leads to the node of the longer string. The attributes
    are arrays:

        starts: where the records of each node start, int64 (nodes + 1,)
        bytes: the following byte, ascending in a node, uint8 (records,)
        counts: how often it follows, uint32 (records,)
        children: the node it leads to or -1, int32 (records,)
    """

    def __init__(self, starts, bytes_, counts, children):
        self.starts = starts
        self.bytes = bytes_
        self.counts = counts
        self.children = children

    @property
    def arrays(self):
        """The arrays as the kernels take them."""
        return self.starts, self.bytes, self.counts, self.children

    def named(self, prefix):
        """Return the arrays by name, as a model's state holds them."""
        return {
            f"{prefix}_{field}": array
            for field, array in zip(FIELDS, self.arrays, strict=True)
        }

    @classmethod
    def from_named(cls, prefix, arrays):
        """Return the trie that `named` gave; take its arrays from the dict.

        Raises:
            FaultError: If the kernels cannot walk them as a trie.
        """
        fields = [arrays.pop(f"{prefix}_{field}") for field in FIELDS]
        for array, dtype in zip(fields, FIELDS.values(), strict=True):
            if array.dtype.str != dtype or array.ndim != 1:
                raise FaultError(f"{prefix}: {array.dtype}, {array.shape}")
        if not _is_trie(*fields):
            raise FaultError(f"{prefix}: records that do not form a trie")
        return cls(*fields)

    @classmethod
    def empty(cls):
        """Return a trie without counts."""
        return cls(
            np.zeros(2, np.int64),
            np.zeros(0, np.uint8),
            np.zeros(0, np.uint32),
            np.zeros(0, np.int32),
        )

    @classmethod
    def count(cls, text, offsets, positions, order, min_count):
        """Count the strings that begin at given positions.

        Args:
            text: documents joined, uint8 of shape (L,).
            offsets: where documents begin and end, int64. No string crosses
                from one into the next.
            positions: where strings begin, int64, or None for everywhere.
            order: bytes of the longest string with a node.
            min_count: least number of occurrences of a node.

        Returns:
            A `CountTrie`.
        """
        from keras_nc.entropy_models.kernels import counts as kernels

        # NumPy puts large arrays in large pages, if the system has them.
        places = text.size + offsets.size - 1
        symbols = np.empty(places + kernels.CARRIED, np.uint16)
        kernels.separate(text, offsets, symbols)
        if positions is None:
            items = np.empty(places, np.uint64)
            kernels.all_occurrences(symbols, items)
        else:
            items = np.empty(positions.size, np.uint64)
            kernels.occurrences(symbols, positions, offsets, items)
        spare = np.empty_like(items)
        bounds = np.array([0, items.size], np.int64)
        levels = []
        for depth in range(order + 1):
            last = depth == order
            *level, used, bounds = kernels.count_level(
                symbols, items, spare, bounds, depth, min_count, last
            )
            items, spare = spare[:used], items
            levels.append(level)
            if bounds.size == 1:
                break
        return cls._joined(levels)

    @classmethod
    def _joined(cls, levels):
        starts, children = [np.zeros(1, np.int64)], []
        records, nodes = 0, 0
        for level_starts, _, _, level_children in levels:
            nodes += level_starts.size - 1
            level_children[level_children >= 0] += nodes
            children.append(level_children)
            starts.append(level_starts[1:] + records)
            records += level_children.size
        return cls(
            np.concatenate(starts),
            np.concatenate([level[1] for level in levels]),
            np.concatenate([level[2] for level in levels]),
            np.concatenate(children),
        )


def _is_trie(starts, bytes_, counts, children):
    """Return whether arrays have the form of `CountTrie.count`."""
    records = bytes_.size
    if (
        counts.size != records
        or counts.min(initial=1) < 1
        or children.size != records
        or starts.size < 2
        or starts[0] != 0
        or starts[-1] != records
        or (np.diff(starts) < 0).any()
    ):
        return False
    # Nodes are numbered level by level, in the order of their records, and
    # the records of a node ascend.
    nodes = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    leads = children >= 0
    steps = np.diff(bytes_.astype(np.int64))
    return (
        (children[~leads] == -1).all()
        and np.array_equal(children[leads], np.arange(1, starts.size - 1))
        and (children[leads] > nodes[leads]).all()
        and (steps[np.diff(nodes) == 0] > 0).all()
    )


def count_window_starts(text, starts, min_count=None):
    """Count the strings that begin at window starts.

    Args:
        text: `str` or bytes, or a list of documents.
        starts: offsets of the window starts in the documents joined, int64 of
            shape (windows,), ascending.
        min_count: occurrences that a string needs. The default is one in 2^18
            windows, and at least 2.

    Returns:
        A `CountTrie`.

    Raises:
        ValueError: if `starts` are not ascending offsets into the text.
    """
    joined, offsets = join_documents(text)
    starts = np.asarray(starts)
    if (
        starts.dtype.kind not in "iu"
        or starts.ndim != 1
        or not starts.size
        or starts[0] < 0
        or starts[-1] >= joined.size
        or (starts[1:] <= starts[:-1]).any()
    ):
        raise ValueError(
            "`starts` must be ascending offsets into the text. Received: "
            f"dtype={starts.dtype}, shape={starts.shape} for {joined.size} "
            "bytes of text. Pass the offsets of windows in the same text."
        )
    if min_count is None:
        min_count = max(2, starts.size >> 18)
    return CountTrie.count(
        joined, offsets, starts.astype(np.int64), MAX_WINDOW_BYTES, min_count
    )
