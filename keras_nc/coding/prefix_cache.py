"""Frequencies of the next byte after frequent prefixes of windows.

A cache file is an archive (see `archive`) that is compressed. Format version 1
has these fields and no others, for n prefixes. Prefixes are numbered by length,
then in lexicographic order; prefix 0 is empty:

    format_version  int64, shape (): 1
    children        uint16, shape (n,): number of prefixes with one more byte
    bytes           uint8, shape (n,): last byte, 0 for the empty prefix
    frequencies     uint32, shape (n, 256): of the next byte
    fingerprint     str, shape (): SHA-256 in hexadecimal, over the ASCII line
                    `keras_nc prefix_cache <format_version> <n>`, ended by a
                    newline, and the bytes of `children`, `bytes` and
                    `frequencies`, little-endian
"""

import collections

import numpy as np

from keras_nc.coding.archive import ArchiveFormat
from keras_nc.coding.archive import memory_bytes
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import FREQUENCY_BITS
from keras_nc.coding.shares import stepper_frequencies
from keras_nc.coding.windows import WindowCoder

#: 256 frequencies, one byte and its number of children.
_BYTES_PER_PREFIX = 4 * 256 + 1 + 2


class PrefixCache:
    """A trie of the frequencies that a model gives after frequent prefixes.

    Many windows begin with the same bytes. A `WindowCoder` with a cache asks
    the model only after prefixes that the cache does not hold. The frequencies
    in the cache decide bits, so the cache is a part of the format: encoder and
    decoder need the same cache. It serves any W.

    If the cache holds a prefix, it holds all prefixes of this prefix. They are
    numbered by length, then in lexicographic order; number 0 is the empty
    prefix. Make a cache with `PrefixCache.build`.

    Args:
        children: uint16 of shape (n,): for each prefix, how many prefixes
            extend it by one byte.
        last_bytes: uint8 of shape (n,): the last byte of a prefix, 0 for the
            empty one.
        frequencies: uint32 of shape (n, 256), see `coding.shares.frequencies`.

    Raises:
        ValueError: if the arrays do not form a valid trie.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel, stepper_for
    >>> text = b"a rose is a rose is a rose"
    >>> stepper = stepper_for(UnigramModel.from_text(text), 4, 64)
    >>> cache = PrefixCache.build(
    ...     stepper, text, window_bits=24, max_prefixes=10
    ... )
    >>> coder = WindowCoder(stepper, window_bits=24, cache=cache)
    >>> coder.decode_batch(*coder.encode_batch([text])) == [text]
    True
    >>> cache.num_prefixes, bool(coder.lookups[1] > 0)
    (10, True)
    """

    def __init__(self, children, last_bytes, frequencies):
        fields = {
            "children": np.asarray(children).view(),
            "bytes": np.asarray(last_bytes).view(),
            "frequencies": np.asarray(frequencies).view(),
        }
        fault = _find_fault(fields)
        if fault is not None:
            raise ValueError(
                "A prefix cache is a trie of prefixes, numbered by length, "
                "with 256 frequencies each. Received: arrays with "
                f"{fault}. Make the cache with `PrefixCache.build`."
            )
        for array in fields.values():
            array.setflags(write=False)
        self._fields = fields
        ends = 1 + np.cumsum(fields["children"], dtype=np.int64)
        firsts = np.concatenate([[1], ends])
        #: The arrays that the kernels read.
        self.arrays = (firsts, fields["bytes"], fields["frequencies"])

    @classmethod
    def build(cls, stepper, text, *, window_bits, max_prefixes):
        """Ask the model about the most frequent prefixes of a text's windows.

        Args:
            stepper: as for `WindowCoder`.
            text: `str` or bytes, or a list of documents.
            window_bits: W, bits of the windows that are counted.
            max_prefixes: how many of the most frequent prefixes to keep. Ties
                go to the shorter prefix, then to the smaller.

        Returns:
            A `PrefixCache`.

        Raises:
            ValueError: if this many prefixes would need more than half of the
                machine's memory.
        """
        remedy = "Leave the cache out to have none."
        max_prefixes = as_integer(
            "max_prefixes", max_prefixes, 1, remedy=remedy
        )
        _check_memory(max_prefixes)
        documents = as_documents(text)
        coder = WindowCoder(stepper, window_bits=window_bits)
        windows = _count_windows(coder, documents)
        prefixes = _most_frequent(windows, max_prefixes, coder.max_window_bytes)
        numbers = {prefix: i for i, prefix in enumerate(prefixes)}
        children = np.zeros(len(prefixes), np.uint16)
        for prefix in prefixes[1:]:
            children[numbers[prefix[:-1]]] += 1
        last_bytes = [prefix[-1] if prefix else 0 for prefix in prefixes]
        rows = np.empty((len(prefixes), 256), np.uint32)
        B = stepper.batch_size
        for i in range(0, len(prefixes), B):
            rows[i : i + B] = _ask(stepper, prefixes[i : i + B])
        return cls(children, np.array(last_bytes, np.uint8), rows)

    @property
    def num_prefixes(self):
        """Prefixes that the cache holds, the empty one included."""
        return len(self._fields["bytes"])

    @property
    def fingerprint(self):
        """SHA-256 over the content, in hexadecimal."""
        return FORMAT.fingerprint(self._fields)

    def save(self, path):
        """Write the cache to a file, usually `.npz`, whole or not at all."""
        FORMAT.write(path, self._fields)

    @classmethod
    def load(cls, path):
        """Read a cache from a file and check all of it.

        Args:
            path: a file written by `save`.

        Returns:
            A `PrefixCache`.

        Raises:
            ValueError: if the file is damaged, foreign, of another format
                version, or larger than half of the machine's memory.
            OSError: if the file cannot be read.
        """
        fields = FORMAT.read(path)
        return cls(fields["children"], fields["bytes"], fields["frequencies"])

    def __repr__(self):
        return (
            f"PrefixCache(num_prefixes={self.num_prefixes}, "
            f"fingerprint={self.fingerprint[:12]!r})"
        )


def _count_windows(coder, documents):
    """Count the windows of documents."""
    text, _ = join_documents(documents)
    text = text.tobytes()
    lengths, _ = coder.cut_batch(documents)
    ends = np.cumsum(lengths).tolist()
    return collections.Counter(
        text[end - length : end]
        for end, length in zip(ends, lengths.tolist(), strict=True)
    )


def _most_frequent(windows, max_prefixes, longest):
    """Return the most frequent prefixes, by length, then by bytes."""
    counts = collections.Counter({b"": 1 + sum(windows.values())})
    for window, count in windows.items():
        for length in range(1, min(len(window), longest - 1) + 1):
            counts[window[:length]] += count
    # A prefix is at least as frequent as its extensions, and shorter.
    order = sorted(counts, key=lambda p: (-counts[p], len(p), p))
    return sorted(order[:max_prefixes], key=lambda p: (len(p), p))


def _ask(stepper, prefixes):
    """Return the frequencies after up to B prefixes."""
    B = stepper.batch_size
    lengths = np.zeros(B, int)
    lengths[: len(prefixes)] = [len(prefix) for prefix in prefixes]
    data = np.zeros((B, lengths.max()), np.uint8)
    for row, prefix in zip(data, prefixes, strict=False):
        row[: len(prefix)] = np.frombuffer(prefix, np.uint8)
    stepper.restart(np.ones(B, bool))
    stepper.append(data, lengths)
    return stepper_frequencies(stepper, slice(len(prefixes)))


def _check_memory(num_prefixes):
    """Raise a ValueError if a cache would not fit into memory."""
    needed = num_prefixes * _BYTES_PER_PREFIX
    bound = memory_bytes() // 2
    if needed > bound:
        raise ValueError(
            "A cache must fit into half of the machine's memory, "
            f"{bound >> 20:,} MiB here. Received: {num_prefixes:,} prefixes of "
            f"{_BYTES_PER_PREFIX:,} bytes, {needed >> 20:,} MiB. Keep fewer "
            "prefixes."
        )


def _find_fault(fields):
    """Say why fields are not a cache, or return `None`."""
    n = fields["bytes"].size
    shapes = {"children": (n,), "bytes": (n,), "frequencies": (n, 256)}
    for name, dtype in FORMAT.arrays.items():
        array = fields[name]
        if array.shape != shapes[name] or array.dtype != np.dtype(dtype):
            return f"{name} of dtype={array.dtype}, shape={array.shape}"
    if n == 0:
        return "no prefix"
    children = fields["children"].astype(np.int64)
    firsts = 1 + np.cumsum(children) - children
    if children.sum() != n - 1 or (firsts <= np.arange(n)).any():
        return "children that are no trie"
    parents = np.repeat(np.arange(n), children)
    steps = np.diff(fields["bytes"][1:].astype(np.int64))
    if (steps[np.diff(parents) == 0] <= 0).any():
        return "children that do not ascend"
    sums = fields["frequencies"].sum(axis=1, dtype=np.uint64)
    if sums.min() == 0 or sums.max() >> (FREQUENCY_BITS + 1):
        return f"frequencies with sums from {sums.min()} to {sums.max()}"
    return None


FORMAT = ArchiveFormat(
    kind="prefix_cache",
    title="prefix cache",
    version=1,
    scalars={},
    arrays={"children": "<u2", "bytes": "|u1", "frequencies": "<u4"},
    values=lambda fields: [len(fields["bytes"])],
    find_fault=_find_fault,
    remedy="Save it again with `PrefixCache.save`, or fetch it again.",
    compress=True,
)
