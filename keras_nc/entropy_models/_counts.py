"""Counts of the substrings of a text, as a trie."""

import numpy as np


class CountTrie:
    """How often each byte follows each frequent enough string.

    Node 0 is the empty string; nodes are numbered level by level. All bytes
    that follow a node are recorded, and those that do so often enough lead
    to a node of their own. The attributes are arrays:

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
        """What the kernels take."""
        return self.starts, self.bytes, self.counts, self.children

    @classmethod
    def empty(cls):
        """A trie that has seen nothing."""
        return cls(
            np.zeros(2, np.int64),
            np.zeros(0, np.uint8),
            np.zeros(0, np.uint32),
            np.zeros(0, np.int32),
        )

    @classmethod
    def count(cls, text, offsets, positions, order, min_count):
        """Count the strings that begin at some positions.

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
        from keras_nc.entropy_models import _count_kernels

        # Large arrays from NumPy lie in large pages, if the system has them.
        places = text.size + offsets.size - 1
        symbols = np.empty(places + _count_kernels.CARRIED, np.uint16)
        _count_kernels.separate(text, offsets, symbols)
        if positions is None:
            items = np.empty(places, np.uint64)
            _count_kernels.all_occurrences(symbols, items)
        else:
            items = np.empty(positions.size, np.uint64)
            _count_kernels.occurrences(symbols, positions, offsets, items)
        spare = np.empty_like(items)
        bounds = np.array([0, items.size], np.int64)
        levels = []
        for depth in range(order + 1):
            last = depth == order
            *level, used, bounds = _count_kernels.count_level(
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
