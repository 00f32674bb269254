"""Frequencies of the next byte after the prefixes that windows often have."""

import collections

import numpy as np

from keras_nc.coding import _prefix_cache_file
from keras_nc.coding._build import check_integer
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import frequencies
from keras_nc.coding.windows import WindowCoder


class PrefixCache:
    """What a model says after frequent prefixes, as a trie of integers.

    Most windows begin alike. A `WindowCoder` with a cache asks the model only
    where a window leaves it; the model is then fed the window's bytes so far.
    The frequencies in the cache decide bits, so the cache is a part of the
    format: encoder and decoder need the same one. It serves any W.

    The prefixes are closed: with a prefix, the cache holds what it begins with.
    They are numbered by length, then in lexicographic order; number 0 is the
    empty one. Make one with `PrefixCache.build`.

    Args:
        children: uint16 of shape (n,): how many prefixes of one byte more there
            are.
        last_bytes: uint8 of shape (n,): the last byte of a prefix, 0 for the
            empty one.
        frequencies: uint32 of shape (n, 256), see `coding.shares.frequencies`.

    Raises:
        ValueError: if the arrays are no such trie.

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
            "children": np.asarray(children),
            "bytes": np.asarray(last_bytes),
            "frequencies": np.asarray(frequencies),
        }
        fault = _prefix_cache_file.find_fault(fields)
        if fault:
            raise ValueError(
                "A prefix cache is a trie of prefixes, numbered by length, "
                "with 256 frequencies each. Received: arrays with "
                f"{fault}. Make it with `PrefixCache.build`."
            )
        for array in fields.values():
            array.setflags(write=False)
        self._fields = fields
        ends = 1 + np.cumsum(fields["children"], dtype=np.int64)
        firsts = np.concatenate([[1], ends])
        #: What the kernels read.
        self.arrays = (firsts, fields["bytes"], fields["frequencies"])

    @classmethod
    def build(cls, stepper, text, *, window_bits, max_prefixes):
        """Ask the model for the prefixes that windows of a text have most.

        Args:
            stepper: as for `WindowCoder`.
            text: `str` or bytes, or a list of documents.
            window_bits: W, bits of the windows that are counted.
            max_prefixes: how many prefixes to keep, the most frequent first,
                ties to the shorter, then to the smaller.

        Returns:
            A `PrefixCache`.

        Raises:
            ValueError: if so many prefixes would need more than half of the
                machine's memory.
        """
        check_integer("max_prefixes", max_prefixes)
        if max_prefixes < 1:
            raise ValueError(
                "`max_prefixes` must be positive. Received: "
                f"{max_prefixes}. Leave the cache out to have none."
            )
        _prefix_cache_file.check_memory(max_prefixes)
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
            some = prefixes[i : i + B]
            rows[i : i + B] = _ask(stepper, some)
        return cls(children, np.array(last_bytes, np.uint8), rows)

    @property
    def num_prefixes(self):
        """Prefixes that the cache holds, the empty one included."""
        return len(self._fields["bytes"])

    @property
    def fingerprint(self):
        """SHA-256 over the content, in hexadecimal."""
        return _prefix_cache_file.fingerprint(self._fields)

    def save(self, path):
        """Write the cache to a file, `.npz` by habit, whole or not at all."""
        _prefix_cache_file.write(path, self._fields)

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
        fields = _prefix_cache_file.read(path)
        return cls(fields["children"], fields["bytes"], fields["frequencies"])

    def __repr__(self):
        return (
            f"PrefixCache(num_prefixes={self.num_prefixes}, "
            f"fingerprint={self.fingerprint[:12]!r})"
        )


def _count_windows(coder, documents):
    """Count the windows of some documents."""
    text, _ = join_documents(documents)
    text = text.tobytes()
    lengths, _ = coder.cut_batch(documents)
    ends = np.cumsum(lengths).tolist()
    return collections.Counter(
        text[end - length : end]
        for end, length in zip(ends, lengths.tolist(), strict=True)
    )


def _most_frequent(windows, max_prefixes, longest):
    """The most frequent prefixes of windows, by length, then by bytes."""
    counts = collections.Counter({b"": 1 + sum(windows.values())})
    for window, count in windows.items():
        for length in range(1, min(len(window), longest - 1) + 1):
            counts[window[:length]] += count
    # A prefix is as frequent as its extensions, or more, and shorter.
    order = sorted(counts, key=lambda p: (-counts[p], len(p), p))
    return sorted(order[:max_prefixes], key=lambda p: (len(p), p))


def _ask(stepper, prefixes):
    """Frequencies after up to B prefixes."""
    B = stepper.batch_size
    lengths = np.zeros(B, int)
    lengths[: len(prefixes)] = [len(prefix) for prefix in prefixes]
    data = np.zeros((B, lengths.max()), np.uint8)
    for row, prefix in zip(data, prefixes, strict=False):
        row[: len(prefix)] = np.frombuffer(prefix, np.uint8)
    stepper.restart(np.ones(B, bool))
    stepper.append(data, lengths)
    return frequencies(stepper.probabilities()[: len(prefixes)])
