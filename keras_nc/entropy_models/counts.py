"""Counts of the substrings of a text, as a trie."""

import numpy as np

from keras_nc.coding.archive import FaultError

#: Attributes of a trie, in the order that kernels take, and their types.
FIELDS = {"starts": "<i8", "bytes": "|u1", "counts": "<u4", "children": "<i4"}


class CountTrie:
    """Counts of the bytes that follow frequent strings.

    Node 0 is the empty string; nodes are numbered level by level. All bytes
    that follow a node are recorded. Frequent ones lead to a node of their own.
    The attributes are arrays:

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
            raise FaultError(f"{prefix}: records that are no trie")
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
            min_count: occurrences that a node needs.

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
