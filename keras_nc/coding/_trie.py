"""The windows of a codebook as tables for encoding and decoding."""

import io

import numpy as np

_CHUNK = 1 << 14  # ids decoded at a time


class Trie:
    """Tables made from a codebook's canonical content; see `_trie_kernels`.

    Args:
        lengths: bytes of each id's window, uint8 of shape (V,), 0 for none.
        content: all windows in the order of their ids, uint8.
    """

    def __init__(self, lengths, content):
        from keras_nc.coding import _trie_kernels

        self._kernels = _trie_kernels
        self._lengths = lengths
        starts = window_starts(lengths)
        self._cells, self._id_of_slot, stops = _trie_kernels.build(
            lengths, starts, content
        )
        self.stops = stops
        # A window has extensions if the next window in the order is one.
        used = np.flatnonzero(lengths)
        following = np.append(used[1:], len(lengths))
        self.extends = np.zeros(len(lengths), bool)
        self.extends[used] = following < stops[used]
        # Windows in words of 8 bytes, first byte lowest, for decoding.
        n_words = np.maximum(-(-lengths.astype(np.int64) // 8), 1)
        firsts = window_starts(n_words)
        padded = np.zeros(8 * int(n_words.sum()), np.uint8)
        places = np.repeat(8 * firsts - starts, lengths)
        padded[places + np.arange(content.size)] = content
        words = padded.view("<u8").astype(np.uint64)
        self._heads = words[firsts]
        self._tails = ((firsts + 1) << 8 | lengths).astype(np.uint32)
        self._words = words

    def encode(self, text, offsets):
        """Encode each document; give ids (uint16) and their offsets."""
        ids = np.empty(text.size, np.uint16)
        id_offsets = np.empty(offsets.size, np.int64)
        n = self._kernels.encode(
            self._cells, self._id_of_slot, text, offsets, ids, id_offsets
        )
        return ids[:n].copy(), id_offsets

    def find(self, text):
        """Give the id whose window is the text, -1 if there is none."""
        return int(self._kernels.find(self._cells, self._id_of_slot, text))

    def decode(self, ids):
        """Give the bytes, or the first position whose id has no window."""
        size = min(ids.size, _CHUNK) * int(self._lengths.max())
        # A scratch that stays in the cache; BytesIO hands over its buffer
        # without another copy.
        scratch = np.empty(size + 8, np.uint8)
        text = io.BytesIO()
        for i in range(0, ids.size, _CHUNK):
            n = self._kernels.decode(
                self._heads,
                self._tails,
                self._words,
                ids[i : i + _CHUNK],
                scratch,
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
