"""Counts of the bytes that follow frequent strings, made at once or in parts.

Parts of a text are counted in two passes. A string that is frequent in the text
is frequent in one of its parts, by that part's share of the least count. So the
first pass finds candidates in each part, and the second one counts all of them
in each part. The sums are what counting the whole text gives, byte for byte.
"""

import functools
import itertools

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.inputs import join_documents

#: No codebook has longer windows.
MAX_WINDOW_BYTES = 255
#: Attributes of a trie, in the order that kernels take, and their types.
FIELDS = {"starts": "<i8", "bytes": "|u1", "counts": "<u4", "children": "<i4"}
MOST = (1 << 32) - 1  # a count
#: The default of a least count is one in 2^23 bytes, or 2^18 windows.
BYTES_SHIFT, STARTS_SHIFT = 23, 18
_TOGETHER = 8  # tries that are merged at a time


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
    def count(cls, text, offsets, positions, order, min_count, within=None):
        """Count the strings that begin at given positions.

        Args:
            text: documents joined, uint8 of shape (L,).
            offsets: where documents begin and end, int64. No string crosses
                from one into the next.
            positions: where strings begin, int64, or None for everywhere.
            order: bytes of the longest string with a node.
            min_count: least number of occurrences of a node.
            within: a `CountTrie`. Its strings, and no others, have nodes if
                they occur.

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
        wanted = (cls.empty() if within is None else within).arrays
        names = np.zeros(0 if within is None else 1, np.int64)
        levels = []
        for depth in range(order + 1):
            last = depth == order
            *level, used, bounds, names = kernels.count_level(
                symbols, items, spare, bounds, depth, min_count, last,
                wanted, names,
            )  # fmt: skip
            items, spare = spare[:used], items
            levels.append(level)
            if bounds.size == 1:
                break
        return cls._joined(levels)

    @classmethod
    def merge(cls, tries, min_count=1):
        """Add the counts of several tries.

        Args:
            tries: list of `CountTrie`.
            min_count: least number of occurrences of a node.

        Returns:
            A `CountTrie`. A string has a node if it has one in a trie and
            occurs often enough in all of them together.

        Raises:
            ValueError: if a count has more than 32 bits.
        """
        levels = []
        # The node of each trie at each merged node of the level, or -1.
        nodes = np.zeros((len(tries), 1), np.int64)
        while nodes.shape[1]:
            keys, counts, places, children = [], [], [], []
            for number, trie in enumerate(tries):
                at = np.flatnonzero(nodes[number] >= 0)
                first = trie.starts[nodes[number, at]]
                sizes = trie.starts[nodes[number, at] + 1] - first
                ends = np.cumsum(sizes)
                records = np.arange(sizes.sum())
                records += np.repeat(first - ends + sizes, sizes)
                keys.append(np.repeat(at, sizes) << 8 | trie.bytes[records])
                counts.append(trie.counts[records].astype(np.int64))
                children.append(trie.children[records])
                places.append(np.full(records.size, number))
            keys, inverse = np.unique(np.concatenate(keys), return_inverse=True)
            totals = np.zeros(keys.size, np.int64)
            np.add.at(totals, inverse, np.concatenate(counts))
            if totals.max(initial=0) > MOST:
                raise ValueError(
                    "A count has 32 bits at most. Received: a string that "
                    f"occurs {totals.max():,} times. Count less text."
                )
            below = np.full((len(tries), keys.size), -1, np.int64)
            below[np.concatenate(places), inverse] = np.concatenate(children)
            kept = (below >= 0).any(axis=0) & (totals >= min_count)
            numbers = np.full(keys.size, -1, np.int32)
            numbers[kept] = np.arange(kept.sum())
            sizes = np.bincount(keys >> 8, minlength=nodes.shape[1])
            levels.append(
                (
                    np.append(0, np.cumsum(sizes)),
                    (keys & 255).astype(np.uint8),
                    totals.astype(np.uint32),
                    numbers,
                )
            )
            nodes = below[:, kept]
        return cls._joined(levels)

    @property
    def nodes(self):
        """A trie with the same nodes, and no records but theirs."""
        leads = self.children >= 0
        return CountTrie(
            np.append(0, np.cumsum(leads))[self.starts],
            self.bytes[leads],
            self.counts[leads],
            self.children[leads],
        )

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
    joined, offsets, starts = _checked_starts(text, starts)
    if min_count is None:
        min_count = max(2, starts.size >> STARTS_SHIFT)
    return CountTrie.count(joined, offsets, starts, MAX_WINDOW_BYTES, min_count)


def count_parts(read, parts, order, min_count, shift, run=map):
    """Count the strings of a text in parts; see the module.

    Args:
        read: function of a part, which returns its documents joined, their
            offsets, and where strings begin, as `CountTrie.count` takes them.
        parts: a sequence of what `read` takes. Each part is read twice.
        order: see `CountTrie.count`.
        min_count: least number of occurrences of a node in all parts. `None`
            for one in `2^shift` places, and at least 2.
        shift: int.
        run: function like `map`, such as that of a pool of workers.

    Returns:
        A `CountTrie`.
    """
    parts = list(parts)
    share = None if min_count is None else -(-min_count // max(1, len(parts)))
    find = functools.partial(_find, read, order, share, shift)
    within, places = CountTrie.empty(), 0
    for tries, sizes in _batches(run(find, parts)):
        within = CountTrie.merge([within, *tries]).nodes
        places += sum(sizes)
    if min_count is None:
        min_count = max(2, places >> shift)
    count = functools.partial(_count, read, order, within)
    counts = CountTrie.empty()
    for tries, sizes in _batches(run(count, parts)):
        counts = CountTrie.merge([counts, *tries])
        places -= sum(sizes)
    if places:
        raise ValueError(
            "Parts must be the same each time they are read. Received: parts "
            "with other sizes the second time. Read them from files."
        )
    return CountTrie.merge([counts], min_count)


def _find(read, order, share, shift, part):
    """Return the nodes of a part that may be nodes of the whole."""
    text, offsets, positions = read(part)
    places = text.size if positions is None else positions.size
    if share is None:
        # The parts' shares, each less one, add up to less than the whole's.
        share = max(1, places >> shift)
    trie = CountTrie.count(text, offsets, positions, order, share)
    return trie.nodes, places


def _count(read, order, within, part):
    """Return the counts of a part at the nodes of a trie."""
    text, offsets, positions = read(part)
    places = text.size if positions is None else positions.size
    return CountTrie.count(text, offsets, positions, order, 1, within), places


def _batches(results):
    """Yield pairs of lists, of tries and of places."""
    results = iter(results)
    while batch := list(itertools.islice(results, _TOGETHER)):
        yield zip(*batch, strict=True)


def read_text(read, part):
    """Return a part's documents for `count_parts`."""
    return *join_documents(read(part)), None


def read_starts(read, part):
    """Return a part's documents and window starts for `count_parts`."""
    text, starts = read(part)
    if not len(starts):
        starts = np.zeros(0, np.int64)
    return _checked_starts(text, starts, least=0)


def _checked_starts(text, starts, least=1):
    """Return documents joined, their offsets, and checked window starts."""
    joined, offsets = join_documents(text)
    starts = np.asarray(starts)
    if (
        starts.dtype.kind not in "iu"
        or starts.ndim != 1
        or starts.size < least
        or (starts < 0).any()
        or (starts >= joined.size).any()
        or (starts[1:] <= starts[:-1]).any()
    ):
        raise ValueError(
            "`starts` must be ascending offsets into the text. Received: "
            f"dtype={starts.dtype}, shape={starts.shape} for {joined.size} "
            "bytes of text. Pass the offsets of windows in the same text."
        )
    return joined, offsets, starts.astype(np.int64)
