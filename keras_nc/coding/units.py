"""Windows of words and phrases, chosen by likelihood.

A word, here, is what lies between two boundaries of `mark_words`. Candidates
are strings inside one word, and phrases: runs of 2 to 5 words, where a run of
punctuation or line ends counts as one. The text is cut by the parse
`likely_words`, and the windows that are needed least are dropped. This is how
SentencePiece chooses the pieces of its unigram models (Kudo, 2018); phrases are
ours.

The text is read once. After that, all work is on its distinct words and on the
sequence of their numbers.
"""

import numpy as np

from keras_nc.coding.inputs import join_documents
from keras_nc.coding.prune import CANDIDATES
from keras_nc.coding.prune import SHRINK
from keras_nc.coding.prune import window_costs
from keras_nc.coding.trie import Trie
from keras_nc.coding.trie import window_starts

LONGEST_PART = 24  # bytes of a string inside a word
MOST_WORDS = 5  # words of a phrase
LONGEST_WORD = 255  # bytes; longer words are read as several
MOST_LETTERS = 1 << 23  # bytes of distinct words in which strings are counted
ROUNDS = 2  # parses with new costs before uses are counted


def choose_windows(documents, size, *, phrases, prune, price, longest, prior):
    """Choose windows for the parse `likely_words`.

    Args:
        documents: list of documents (bytes).
        size: how many windows to choose, at least 256.
        phrases: bool, whether windows of several words are candidates.
        prune: `"likelihood"` drops the windows whose absence costs the fewest
            bits, `"bytes"` those that save the fewest bytes. `None` takes the
            candidates that save most bytes, if each use counts.
        price: bits that every window costs beside its `-log2 p`.
        longest: bytes that a window has at most.
        prior: dict from strings to their uses in a text that was not given, by
            a model. They are candidates, too, and count as if it were given.

    Returns:
        A list of bytes in lexicographic order, and their costs, uint16.

    Raises:
        ValueError: if the text has fewer different strings.
    """
    text = WordText(documents, prior)
    times = CANDIDATES if prune else 1
    candidates = text.count_parts(times * size, min(longest, LONGEST_PART))
    tables = [candidates]
    if phrases:
        tables.append(text.count_phrases(times * size, longest))
    candidates = text.add_prior(np.concatenate(tables), phrases)
    if not prune:
        candidates = _best(candidates, size - 256)
    windows = Windows(text, candidates)
    while len(windows) > size:
        uses, costs = windows.count_uses(price)
        kept = max(size, int(len(windows) * SHRINK))
        windows = windows.keep(kept, uses, costs, prune)
    uses, _ = windows.count_uses(price)
    uses = dict(zip(windows.strings, uses[1:].tolist(), strict=True))
    chosen = _fill(list(uses), size, documents + list(prior), longest)
    uses = np.array([uses.get(window, 0) for window in chosen])
    return chosen, window_costs(uses, np.ones(size, bool), price)


class WordText:
    """A text as a sequence of numbered words.

    Args:
        documents: list of documents (bytes).
        prior: see `choose_windows`.

    Attributes:
        prior: the same.
        text: uint8 of shape (L,), all documents joined.
        starts: int64 of shape (words,), where each distinct word begins.
        lengths: int64 of shape (words,), bytes of each distinct word.
        sequence: int32, the number of each word, from 1 on, with a 0 after
            each document.
        size: int, how much of the sequence is text.
    """

    def __init__(self, documents, prior):
        from keras_nc.coding.kernels.word_boundaries import mark_words
        from keras_nc.coding.kernels.words import number_words

        #: The strings of the prior follow as documents, but are not counted.
        self.prior = prior
        self.text, offsets = join_documents([*documents, *prior])
        marks = mark_words(self.text, offsets)
        self.sequence, self.starts, self.lengths, _ = number_words(
            self.text, offsets, marks, LONGEST_WORD
        )
        self.sequence += 1
        ends = np.flatnonzero(self.sequence == 0)
        self.size = ends[len(documents) - 1] + 1 if documents else 0
        self._counts = np.bincount(
            self.sequence[: self.size], minlength=len(self.starts) + 1
        )[1:]
        self._prior_begins = offsets[len(documents) : -1]
        self._prior_words = np.diff(ends, prepend=-1)[len(documents) :] - 1

    def count_parts(self, most, longest):
        """Count the strings of 2 or more bytes inside words.

        Args:
            most: int, how many strings to return.
            longest: int, bytes of a string.

        Returns:
            The strings that save most bytes if each use counts, int64 of shape
            (strings, 4): where a string begins in the text, its bytes, its
            words (1), and its uses.
        """
        from keras_nc.coding.kernels import units

        # Without words, all of the text may be distinct: bound the work.
        order = np.argsort(-self._counts, kind="stable")
        letters = np.cumsum(self.lengths[order])
        order = order[: np.searchsorted(letters, MOST_LETTERS, side="right")]
        places, sizes, weights, keys = units.make_suffixes(
            self.text,
            self.starts[order],
            self.lengths[order],
            self._counts[order],
            longest,
        )
        order = np.lexsort([sizes, *keys[::-1]])
        places, sizes, weights = (
            array[order] for array in (places, sizes, weights)
        )
        tables = [np.zeros((0, 4), np.int64)]
        for length in range(2, longest + 1):
            found, uses = units.count_substrings(
                self.text, places, sizes, weights, length
            )
            table = np.stack(
                [found, *np.broadcast_arrays(length, 1, found)[:2], uses], 1
            )
            tables.append(_best(table, most))
        return _best(np.concatenate(tables), most)

    def count_phrases(self, most, longest):
        """Count runs of several words, as `count_parts` does strings."""
        from keras_nc.coding.kernels import units

        sequence = self.sequence[: self.size]
        sizes = np.append(0, self.lengths)[sequence]
        ends = np.cumsum(sizes)
        # A byte of punctuation after another one is no word of its own.
        first = np.append(0, self.text[self.starts])[sequence]
        single = (sizes == 1) & ~_is_word_byte()[first] & (first != ord(" "))
        joins = single[1:] & single[:-1]
        words = np.cumsum(~np.append(False, joins))
        runs = sequence - 1  # -1 after documents
        tables = [np.zeros((0, 4), np.int64)]
        places = np.flatnonzero(runs >= 0)
        count = 1
        while places.size:
            count += 1
            places = places[places < sequence.size - count]
            last = places + count - 1
            fits = (
                (runs[places] >= 0)
                & (runs[places + 1] >= 0)
                & (words[last] - words[places] < MOST_WORDS)
                & (ends[last] - ends[places] + sizes[places] <= longest)
            )
            places = places[fits]
            firsts, uses = units.count_pairs(places, runs)
            lengths = ends[firsts + count - 1] - ends[firsts] + sizes[firsts]
            begins = ends[firsts] - sizes[firsts]
            table = np.stack(
                [begins, lengths, np.full_like(begins, count), uses], 1
            )
            tables.append(_best(table, most))
        return _best(np.concatenate(tables), most)

    def add_prior(self, candidates, phrases):
        """Add the strings of the prior that are not among the candidates.

        Args:
            candidates: int64 of shape (strings, 4), see `count_parts`.
            phrases: bool, whether strings of several words are added.
        """
        known = set(self.strings_of(candidates))
        rows = [
            (begin, len(string), words, 0)
            for string, begin, words in zip(
                self.prior,
                self._prior_begins.tolist(),
                self._prior_words.tolist(),
                strict=True,
            )
            if len(string) > 1
            and (phrases or words == 1)
            and string not in known
        ]
        added = np.array(rows, np.int64).reshape(-1, 4)
        return np.concatenate([candidates, added])

    def strings_of(self, candidates):
        """Return the bytes of candidates, a list."""
        return [
            self.text[begin : begin + length].tobytes()
            for begin, length in candidates[:, :2].tolist()
        ]

    def words_of(self, begins, counts):
        """Return the words of phrases and their offsets.

        Args:
            begins: int64, where the phrases begin in the text.
            counts: int64, their words.

        Returns:
            Numbers of words, int32, and int64 of shape (phrases + 1,).
        """
        sizes = np.append(0, self.lengths)[self.sequence]
        # The word after byte `begin`; a 0 has no bytes and comes before it.
        at = np.searchsorted(np.cumsum(sizes), begins, side="right")
        offsets = np.append(0, np.cumsum(counts))
        steps = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return self.sequence[np.repeat(at, counts) + steps], offsets


class Windows:
    """Windows of words and phrases, with what their uses tell.

    Args:
        text: a `WordText`.
        candidates: int64 of shape (strings, 4), as `WordText.count_parts`
            returns them. The 256 single bytes are windows, too.
    """

    def __init__(self, text, candidates):
        self._text = text
        self._candidates = candidates
        part = candidates[:, 2] == 1
        parts = [bytes([b]) for b in range(256)]
        parts += text.strings_of(candidates[part])
        #: The candidate of each part, -1 for a single byte.
        rows = np.append(np.full(256, -1), np.flatnonzero(part))
        order = sorted(range(len(parts)), key=parts.__getitem__)
        self._rows = rows[order]
        self._content = b"".join([parts[k] for k in order])
        # In a trie, id 0 means no window.
        self._lengths = np.array([0] + [len(parts[k]) for k in order], np.uint8)
        self._trie = Trie(self._lengths, np.frombuffer(self._content, np.uint8))
        self._phrases = np.flatnonzero(~part)
        chosen = candidates[self._phrases]
        self._words, self._offsets = text.words_of(chosen[:, 0], chosen[:, 2])
        #: The windows by id, from 1 on. Phrases have the ids after the parts.
        self.strings = [parts[k] for k in order] + text.strings_of(chosen)
        self._ids = np.arange(chosen.shape[0], dtype=np.int32) + np.int32(
            len(self._lengths)
        )

        self._prior_uses = self._count_prior()

    def __len__(self):
        return 256 + len(self._candidates)

    def count_uses(self, price):
        """Cut the text several times.

        Args:
            price: bits that every window costs beside its `-log2 p`.

        Returns:
            Uses (int64) and costs (int64), by id.
        """
        from keras_nc.coding.kernels import units

        text = self._text
        size = len(self._lengths) + len(self._ids)
        used = np.ones(size, bool)
        used[0] = False
        costs = used.astype(np.uint16)
        for more in range(ROUNDS, -1, -1):
            word_costs, phrases = self._cost(costs)
            uses = np.zeros(size, np.int64)
            word_uses = np.zeros(text.starts.size + 1, np.int64)
            units.count_cuts(
                text.sequence[: text.size],
                word_costs,
                phrases,
                word_uses,
                uses,
            )
            units.count_parts(
                self._trie.cells,
                self._trie.id_of_slot,
                costs,
                text.text,
                text.starts,
                text.lengths,
                word_uses[1:],
                uses,
            )
            uses += self._prior_uses
            if more:
                costs = window_costs(uses, used, price)
        return uses, costs

    def keep(self, size, uses, costs, prune):
        """Return the windows without those that are needed least.

        A window that is not used costs nothing if it is dropped. Otherwise its
        uses are cut the best other way. Ties keep the shorter, then the smaller
        window. Single bytes are never dropped.

        Args:
            size: how many to keep.
            uses: see `count_uses`.
            costs: see `count_uses`.
            prune: see `choose_windows`.

        Returns:
            `Windows`.
        """
        lengths = np.zeros(len(costs), np.int64)
        lengths[: len(self._lengths)] = self._lengths
        lengths[self._ids] = self._candidates[self._phrases, 1]
        if prune == "bytes":
            losses = uses * (lengths - 1)
        else:
            losses = uses * (self._costs_without(costs) - costs)
        rows = np.concatenate([[-1], self._rows, self._phrases])
        ids = np.flatnonzero(rows >= 0)
        strings = [self.strings[i - 1] for i in ids.tolist()]
        order = sorted(
            range(len(ids)),
            key=lambda k: (-losses[ids[k]], lengths[ids[k]], strings[k]),
        )
        kept = np.sort(rows[ids[order[: size - 256]]])
        return Windows(self._text, self._candidates[kept])

    def _count_prior(self):
        """Return the uses of windows in the text of the prior, by id.

        A window is used where its bytes are, unless they begin a longer window.
        """
        uses = np.zeros(len(self.strings) + 1)
        if not self._text.prior:
            return uses.astype(np.int64)
        longer = []  # windows that begin the next one, shortest first
        order = range(len(self.strings))
        for i in sorted(order, key=self.strings.__getitem__):
            string = self.strings[i]
            while longer and not string.startswith(self.strings[longer[-1]]):
                longer.pop()
            places = self._text.prior.get(string, 0)
            uses[i + 1] += places
            if longer:
                uses[longer[-1] + 1] -= places
            longer.append(i)
        return np.rint(uses.clip(0)).astype(np.int64)

    def _cost(self, costs):
        from keras_nc.coding.kernels import phrases
        from keras_nc.coding.kernels import units

        text = self._text
        word_costs = units.cost_words(
            self._trie.cells,
            self._trie.id_of_slot,
            costs,
            text.text,
            text.starts,
            text.lengths,
        )
        trie = phrases.build_phrases(
            self._words,
            self._offsets,
            self._ids,
            costs[self._ids].astype(np.int32),
            text.starts.size,
        )
        return np.append(np.int32(0), word_costs), trie

    def _costs_without(self, costs):
        """Return the cost of the best other segmentation, int64, by id."""
        from keras_nc.coding.kernels import units

        own = units.cost_without(
            self._trie.cells,
            self._trie.id_of_slot,
            costs,
            window_starts(self._lengths),
            self._lengths,
            np.frombuffer(self._content, np.uint8),
        )
        of_phrases = units.phrase_cost_without(
            self._words, self._offsets, self._ids, *self._cost(costs)
        )
        return np.concatenate([own, of_phrases])


def _best(candidates, most):
    """Return the candidates that save most bytes, in their order."""
    saved = candidates[:, 3] * (candidates[:, 1] - 1)
    order = np.argsort(-saved, kind="stable")[:most]
    return candidates[np.sort(order)]


def _is_word_byte():
    """Return which bytes are word bytes, bool of shape (256,)."""
    from keras_nc.coding.kernels.word_boundaries import WORD
    from keras_nc.coding.kernels.word_boundaries import classify

    return np.array([classify(np.uint8(b)) == WORD for b in range(256)])


def _fill(windows, size, documents, longest):
    """Add strings of any kind to windows if a text has too few words.

    They come from the beginning of the text, shorter ones first.
    """
    known = set(windows)
    if len(known) == size:
        return sorted(known)
    text = b"".join(documents)[: 1 << 20]
    for length in range(2, longest + 1):
        found = {text[i : i + length] for i in range(len(text) - length + 1)}
        added = sorted(found - known)[: size - len(known)]
        known.update(added)
        if len(known) == size:
            return sorted(known)
    raise ValueError(
        f"A codebook of {size:,} windows needs a text with as many different "
        f"strings. Received: a text with {len(known):,}, all single bytes "
        "included. Use more text or smaller `window_bits`."
    )
