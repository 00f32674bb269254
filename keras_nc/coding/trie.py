"""The tables of a codebook: to encode, to decode, and to search windows."""

import bisect
import io

import numpy as np

from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.parses import PARSES

_CHUNK = 1 << 14  # ids decoded at a time


class Trie:
    """Tables of windows for any parse; see `kernels.trie`.

    Args:
        lengths: bytes of each id's window, uint8 of shape (V,), 0 for an id
            without a window.
        content: all windows in the order of their ids, which is lexicographic,
            uint8.

    Raises:
        ValueError: if there are too many windows.
    """

    def __init__(self, lengths, content):
        from keras_nc.coding.kernels import trie as kernels

        self._kernels = kernels
        starts = window_starts(lengths)
        states = kernels.count_states(lengths, starts, content)
        self.lengths = lengths
        self.cells, id_of_slot, self.extends = kernels.build(
            lengths, starts, content, states
        )
        if self.cells.size > kernels.MAX_SLOTS:
            raise ValueError(
                "Windows must have fewer than about 4 million different "
                f"prefixes. Received: {states}. Use shorter windows."
            )
        dtype = np.uint16 if len(lengths) <= 1 << 16 else np.int32
        self.id_of_slot = id_of_slot.astype(dtype)
        #: Whether all prefixes of windows are windows.
        self.is_closed = states == np.count_nonzero(lengths)
        # For decoding: all windows in a row, padded so that whole blocks can be
        # read, and where each begins. 2^16 windows of 255 bytes fit 24 bits.
        room = np.zeros(kernels.BLOCK, np.uint8)
        self.content = np.concatenate([content, room])
        self._word_tables = None, None
        self.places = (starts << 8 | lengths).astype(np.uint32)

    def word_tables(self, costs):
        """Return what the parse `likely_words` reads, made at first use.

        Args:
            costs: uint16 of shape (V,), the same array in each call.

        Returns:
            `WordTables`.

        Raises:
            ValueError: if there are too many windows.
        """
        if self.id_of_slot.dtype != np.uint16:
            raise ValueError(
                "The parse 'likely_words' takes at most 65,535 windows. "
                f"Received: {np.count_nonzero(self.lengths)}. Pruning windows "
                "of any strings starts with four times as many as there are "
                "codes: use another parse, or `prune=False`."
            )
        known_costs, tables = self._word_tables
        if known_costs is not costs:
            tables = WordTables(self, costs)
            self._word_tables = costs, tables
        return tables

    def encode(self, text, offsets, parse=PARSES["greedy"], costs=None):
        """Cut each document into windows.

        Args:
            text: uint8 of shape (L,), all documents joined.
            offsets: int64 of shape (documents + 1,).
            parse: a `Parse`.
            costs: uint16 of shape (V,), if the parse weighs windows.

        Returns:
            Ids, an integer array of shape (T,), and their offsets, int64 of
            shape (documents + 1,).
        """
        marks = parse.mark(text, offsets)
        ids, id_offsets, _ = self._encode(text, offsets, parse, costs, marks)
        return ids, id_offsets

    def encode_part(self, text, parse, costs, marks):
        """Encode the prefix whose windows later bytes cannot change.

        Args:
            text: uint8 of shape (L,).
            parse: a `Parse`.
            costs: see `encode`.
            marks: what `parse.mark` gives for the text.

        Returns:
            Ids of the prefix, and how many bytes they stand for.
        """
        offsets = np.array([0, text.size], np.int64)
        ids, _, opened = self._encode(text, offsets, parse, costs, marks)
        return ids, text.size if opened < 0 else int(opened)

    def _encode(self, text, offsets, parse, costs, marks):
        ids = np.empty(text.size, self.id_of_slot.dtype)
        id_offsets = np.empty(offsets.size, np.int64)
        n, opened = parse.run(
            self, costs, marks, text, offsets, ids, id_offsets
        )
        ids.resize(n, refcheck=False)  # frees the rest without a copy
        return ids, id_offsets, opened

    def decode(self, ids):
        """Return the bytes of ids.

        Args:
            ids: uint16 of shape (T,), all below V.

        Returns:
            bytes, or `None` if an id has no window, and the position of the
            first such id, or -1.
        """
        size = min(ids.size, _CHUNK) * int(self.lengths.max())
        # This small buffer stays in the CPU cache. BytesIO returns its buffer
        # without a copy.
        scratch = np.empty(size + self._kernels.BLOCK, np.uint8)
        text = io.BytesIO()
        for i in range(0, ids.size, _CHUNK):
            n = self._kernels.decode(
                self.content, self.places, ids[i : i + _CHUNK], scratch
            )
            if n < 0:
                return None, i - 1 - n
            text.write(scratch[:n])
        return text.getvalue(), -1


class WordTables:
    """What the parse `likely_words` reads.

    Args:
        trie: the `Trie` of all windows.
        costs: uint16 of shape (V,).

    Attributes:
        tries: what single words are cut with, `kernels.word_cuts.Tries`.
        phrases: the trie of windows of several words; see
            `kernels.phrases.build_phrases`.
        steps: the same for lookups; see `kernels.phrase_cuts.make_steps`.
    """

    def __init__(self, trie, costs):
        from keras_nc.coding.kernels.phrase_cuts import make_steps
        from keras_nc.coding.kernels.phrases import build_phrases
        from keras_nc.coding.kernels.word_cache import filter_words
        from keras_nc.coding.kernels.word_cuts import Tries
        from keras_nc.coding.kernels.words import mark_words
        from keras_nc.coding.kernels.words import number_words

        lengths = trie.lengths
        bounds = np.append(0, np.cumsum(lengths, dtype=np.int64))
        content = trie.content[: bounds[-1]]
        marks = mark_words(content, bounds)
        inner = np.append(0, np.cumsum(marks, dtype=np.int64))
        boundaries = inner[bounds[1:]] - inner[bounds[:-1]]
        ids = np.flatnonzero(boundaries > 1).astype(np.int32)
        parts = [content[bounds[i] : bounds[i + 1]] for i in ids.tolist()]
        text = np.concatenate([*parts, np.zeros(0, np.uint8)])
        offsets = np.append(0, np.cumsum(lengths[ids], dtype=np.int64))
        sequence, begins, sizes, _ = number_words(
            text, offsets, mark_words(text, offsets), 255
        )
        words = [
            text[begin : begin + size].tobytes()
            for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)
        ]
        order = sorted(range(len(words)), key=words.__getitem__)
        numbers = np.zeros(len(words) + 1, np.int32)  # the last is for -1
        numbers[order] = np.arange(1, len(words) + 1)
        self.phrases = build_phrases(
            numbers[sequence[sequence >= 0]],
            np.append(0, np.cumsum(boundaries[ids])),
            ids,
            costs[ids].astype(np.int32),
            len(words),
        )
        self.steps = make_steps(self.phrases)
        # The ids of this trie are the numbers of the words.
        own_lengths = np.array([0] + [len(words[k]) for k in order], np.uint8)
        own_content = np.frombuffer(b"".join(sorted(words)), np.uint8)
        own = Trie(own_lengths, own_content)
        values = costs[trie.id_of_slot].astype(np.uint64) << 16
        self.tries = Tries(
            windows=(values | trie.id_of_slot) << 32 | trie.cells,
            least_cost=np.uint64(costs[lengths > 0].min()),
            word_cells=own.cells,
            word_of_slot=own.id_of_slot,
            word_filter=filter_words(
                own_content, np.cumsum(own_lengths, dtype=np.int64)
            ),
            content=trie.content,
            places=trie.places,
        )
        self._caches = []

    def take_cache(self):
        """Return how words were cut, for one thread."""
        from keras_nc.coding.kernels.word_cache import make_cache

        try:
            return self._caches.pop()
        except IndexError:
            return make_cache()

    def give_cache(self, cache):
        """Take it back for later calls."""
        self._caches.append(cache)


class WindowIndex:
    """Windows in lexicographic order, to search for them and their prefixes.

    Args:
        lengths: bytes of each id's window, 0 for none, uint8.
        content: all windows in the order of their ids, uint8.
    """

    def __init__(self, lengths, content):
        self._ids = np.flatnonzero(lengths).tolist()
        self._windows = split_windows(lengths, content)
        self._end = len(lengths)
        self._longest = int(lengths.max())

    def find(self, window):
        """Return the id of a window, or `None`; see `Codebook.find`."""
        at = bisect.bisect_left(self._windows, window)
        found = at < len(self._windows) and self._windows[at] == window
        return self._ids[at] if found else None

    def prefix_range(self, prefix):
        """Return the interval of ids; see `Codebook.prefix_range`."""
        if not prefix:
            return NUM_SPECIAL, self._end
        first = bisect.bisect_left(self._windows, prefix)
        # This is longer than any window, so it sorts after all extensions.
        last = bisect.bisect_left(self._windows, prefix + b"\xff" * 256)
        if first == last:
            return 0, 0
        high = self._ids[last] if last < len(self._ids) else self._end
        return self._ids[first], high

    def find_next_codes(self, parse, remainder, marks):
        """Find the windows that may come next; see `Prompt.next_codes`.

        Args:
            parse: a `Parse`.
            remainder: bytes.
            marks: word boundaries of the remainder, uint8, or `None` if the
                parse does not use them.

        Returns:
            A list of `(low, high, others)`.
        """
        next_codes = [(0, 0, [])] * len(remainder)
        begins = {0}  # bytes at which a window may begin
        for at in range(len(remainder)):
            if at not in begins:
                continue
            left = remainder[at:]
            lengths = range(1, min(len(left), self._longest + 1))
            found = [(n, self.find(left[:n])) for n in lengths]
            ends = parse.early_ends(
                [(n, i) for n, i in found if i is not None],
                None if marks is None else marks[at:],
                self.find(left) is not None,
            )
            begins.update(at + n for n, _ in ends)
            low, high = self.prefix_range(left)
            next_codes[at] = low, high, [i for _, i in ends]
        return next_codes


def window_starts(lengths):
    """Return where each window begins in the content, int64 of shape (V,)."""
    starts = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def split_windows(lengths, content):
    """Return the windows as a list of bytes, in the order of their ids."""
    joined = content.tobytes()
    windows = []
    end = 0
    for length in lengths[lengths > 0].tolist():
        windows.append(joined[end : end + length])
        end += length
    return windows
