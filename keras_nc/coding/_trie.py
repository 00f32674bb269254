"""The windows of a codebook as tables for encoding and decoding."""

import io

import numpy as np

_CHUNK = 1 << 14  # ids decoded at a time


class Trie:
    """Tables made from a codebook's canonical content; see `_trie_kernels`.

    Args:
        lengths: bytes of each id's window, uint8 of shape (V,), 0 for none.
        content: all windows in the order of their ids, uint8.
        parse: a codebook's parse.
        costs: cost of each id's window, uint16 of shape (V,), for parses that
            weigh windows.
    """

    def __init__(self, lengths, content, parse="greedy", costs=None):
        from keras_nc.coding import _trie_kernels

        self._kernels = _trie_kernels
        self._parse = parse
        self._lengths = lengths
        self._costs = costs
        starts = window_starts(lengths)
        states = _trie_kernels.count_states(lengths, starts, content)
        self._cells, id_of_slot, self._extends = _trie_kernels.build(
            lengths, starts, content, states
        )
        if self._cells.size > _trie_kernels.MAX_SLOTS:
            raise ValueError(
                "The windows of a codebook must have fewer than some 4 "
                f"million different prefixes. Received: {states}. Use "
                "shorter windows."
            )
        dtype = np.uint16 if len(lengths) <= 1 << 16 else np.int32
        self._id_of_slot = id_of_slot.astype(dtype)
        self._closed = states == np.count_nonzero(lengths)
        # For decoding: all windows in a row, with room to read whole blocks,
        # and where each begins. 2^16 windows of 255 bytes fit 24 bits.
        room = np.zeros(_trie_kernels.BLOCK, np.uint8)
        self._content = np.concatenate([content, room])
        self._places = (starts << 8 | lengths).astype(np.uint32)

    def encode(self, text, offsets):
        """Encode each document; give ids and their offsets."""
        ids, id_offsets, _ = self._encode(text, offsets)
        return ids, id_offsets

    def encode_part(self, text):
        """Encode a text; count the bytes whose windows no more text changes."""
        offsets = np.array([0, text.size], np.int64)
        ids, _, opened = self._encode(text, offsets)
        return ids, text.size if opened < 0 else int(opened)

    def _encode(self, text, offsets):
        encode, *tables = self._kernel_for(text, offsets)
        ids = np.empty(text.size, self._id_of_slot.dtype)
        id_offsets = np.empty(offsets.size, np.int64)
        n, opened = encode(
            self._cells,
            self._id_of_slot,
            *tables,
            text,
            offsets,
            ids,
            id_offsets,
        )
        return ids[:n].copy(), id_offsets, opened

    def _kernel_for(self, text, offsets):
        """Give the kernel of the parse, and the tables that it needs."""
        from keras_nc.coding import _flexible_kernels
        from keras_nc.coding import _lane_kernels
        from keras_nc.coding import _likely_kernels
        from keras_nc.coding import _word_boundaries as words

        if self._parse == "flexible":
            return (_flexible_kernels.encode_flexible,)
        aligned = "aligned" in self._parse
        if aligned:
            marks = words.mark_boundaries(text, offsets)
        elif self._parse == "greedy" and not self._closed:
            marks = np.zeros(text.size, np.uint8)
        else:
            marks = np.zeros(0, np.uint8)
        if self._parse.startswith("likely"):
            return _likely_kernels.encode_likely, self._costs, marks
        encode = _lane_kernels.encode_longest
        return encode, self._extends, self._lengths, aligned, marks

    def decode(self, ids):
        """Give the bytes, or the first position whose id has no window."""
        size = min(ids.size, _CHUNK) * int(self._lengths.max())
        # A scratch that stays in the cache; BytesIO hands over its buffer
        # without another copy.
        scratch = np.empty(size + self._kernels.BLOCK, np.uint8)
        text = io.BytesIO()
        for i in range(0, ids.size, _CHUNK):
            n = self._kernels.decode(
                self._content, self._places, ids[i : i + _CHUNK], scratch
            )
            if n < 0:
                return None, i - 1 - n
            text.write(scratch[:n])
        return text.getvalue(), -1


def window_starts(lengths):
    """Where each window starts when all lie in a row, int64 of shape (V,)."""
    starts = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts
