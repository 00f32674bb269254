"""Candidates for windows: strings inside words, and phrases.

A phrase is a run of 2 to 5 words, where a run of punctuation or line ends
counts as one.
"""

import itertools

import numpy as np

from keras_nc.coding.word_text import Vocabulary
from keras_nc.coding.word_text import WordText
from keras_nc.progress import ProgressLine

LONGEST_PART = 24  # bytes of a string inside a word
MOST_WORDS = 5  # words of a phrase
MOST_LETTERS = 1 << 23  # bytes of distinct words in which strings are counted
FIRST_WORDS = 1 << 18  # words of the beginning whose runs are counted first
GROWTH = 4  # of this beginning
PIECE_WORDS = 1 << 20  # words that are read between two reports of progress
#: Runs that are counted in one table. More runs need more passes over the text
#: instead of more memory.
RUNS_OF_A_TABLE = 1 << 23
PLACES = 1 << 22  # words that are hashed at a time
_ODD = 0x9E3779B97F4A7C15  # multiplier of the hash


class CandidateText:
    """A text, and the strings of a model, as numbered words.

    Args:
        text: a `WordText`.
        prior: see `choose_windows`. Its strings are numbered like documents
            after the text, but are not counted.

    Attributes:
        prior: the same.
        letters: uint8, the distinct words of both, joined.
        starts: int64 of shape (words,), where each distinct word begins.
        lengths: int64 of shape (words,), bytes of each distinct word.
        sequence: int32, see `WordText`.
        folder: see `WordText`.
    """

    def __init__(self, text, prior):
        self.prior = prior
        self.sequence = text.sequence
        self.folder = text.folder
        strings = WordText.from_documents(list(prior))
        numbers = np.zeros(0, np.int64)
        arrays = text.letters, text.lengths, text.counts
        if prior:
            words = Vocabulary()
            words.add(*arrays)
            numbers = words.add(
                strings.letters, strings.lengths, np.zeros_like(strings.counts)
            )
            arrays = words.arrays
        self.letters, self.lengths, self._counts = arrays
        num_bytes = int((self.lengths * self._counts).sum())
        self._bytes_of_word = num_bytes / max(1, text.sequence.size)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self._tail = np.append(0, numbers + 1)[strings.sequence]
        ends = np.flatnonzero(self._tail == 0)
        self._prior_begins = np.append(-1, ends)[:-1] + 1
        self._prior_words = ends - self._prior_begins

    def count_parts(self, most, longest):
        """Count the strings of 2 or more bytes inside words.

        Args:
            most: int, how many strings to return.
            longest: int, bytes of a string.

        Returns:
            The strings with the largest uses times (bytes - 1), int64 of shape
            (strings, 4): where a string begins in the letters, its bytes, its
            words (1), and its uses.
        """
        from keras_nc.coding.kernels import units

        # Text without word boundaries may be one distinct word: bound the work.
        order = np.argsort(-self._counts, kind="stable")
        letters = np.cumsum(self.lengths[order])
        order = order[: np.searchsorted(letters, MOST_LETTERS, side="right")]
        places, sizes, weights, keys = units.make_suffixes(
            self.letters,
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
                self.letters, places, sizes, weights, length
            )
            table = np.stack(
                [found, *np.broadcast_arrays(length, 1, found)[:2], uses], 1
            )
            tables.append(best(table, most))
        return best(np.concatenate(tables), most)

    def count_phrases(self, most, longest, progress=False):
        """Count runs of several words, as `count_parts` does strings.

        The first column has where a run begins in the sequence.

        The beginning of the text is counted first, then `GROWTH` times more
        each time. A run saves at least as much in all of the text as in its
        beginning. So a run that saves less than the `most` best of the
        beginning cannot be among the best of the text.
        """
        # In a phrase, a byte of punctuation after another one is not counted as
        # a word of its own.
        first = self.letters[self.starts]
        is_mark = (self.lengths == 1) & ~_is_word_byte()[first]
        is_mark &= first != ord(" ")
        words = np.append(0, self.lengths), np.append(False, is_mark)
        found = np.zeros((0, 4), np.int64)
        sizes = _growing_sizes(self.sequence.size)
        total = 2 * sum(map(self.bytes_of, sizes))
        with ProgressLine("Counting phrases", progress, total) as line:
            for size in sizes:
                least = 0
                if found.shape[0] == most:
                    least = int((found[:, 3] * (found[:, 1] - 1)).min())
                found = self._count_runs(
                    size, words, most, longest, least, line
                )
        return found

    def _count_runs(self, size, words, most, longest, least, line):
        """Return the best runs among those that begin in the first words.

        Args:
            size: int, how many words.
            words: what kernels need to know of words; see `kernels.runs`.
            most: see `count_parts`.
            longest: the same.
            least: int, bytes that the runs save at least.
            line: a `ProgressLine`.
        """
        from keras_nc.coding.kernels import runs

        settings = (
            *words,
            np.append(0, self._counts) < runs.fewest_uses(least, longest),
            longest,
            MOST_WORDS,
            runs.make_counters(size),
        )
        pieces = [
            (begin, min(begin + PIECE_WORDS, size))
            for begin in range(0, size, PIECE_WORDS)
        ]
        for begin, end in pieces:
            runs.sketch_runs(self.sequence, begin, end, *settings)
            line.update(self.bytes_of(end - begin))
        tables = []
        parts = 1
        while len(tables) < parts:
            table = np.zeros((1 << 12, 4), np.uint64)
            known = 0
            for begin, end in pieces:
                table, known = runs.count_runs(
                    self.sequence, begin, end, *settings, least, len(tables),
                    parts, table, known, RUNS_OF_A_TABLE,
                )  # fmt: skip
                line.update(self.bytes_of(end - begin))
                if known < 0:  # too many
                    # What was done is done again, in twice as many parts.
                    line.total += self.bytes_of(
                        len(tables) * size + end + parts * size
                    )
                    tables = []
                    parts *= 2
                    break
            else:
                tables.append(_best_runs(runs.runs_of(table, least), most))
        return _best_runs(np.concatenate(tables), most)

    def bytes_of(self, words):
        """Return about how many bytes some words of the sequence have."""
        return round(words * self._bytes_of_word)

    def add_prior(self, candidates, phrases):
        """Add the strings of the prior that are not among the candidates.

        Args:
            candidates: int64 of shape (strings, 4), see `count_parts`.
            phrases: bool, whether strings of several words are added.

        Returns:
            The candidates, and after them those added, with 0 uses.
        """
        known = set(self.strings_of(candidates))
        rows = []
        for string, begin, words in zip(
            self.prior,
            self._prior_begins.tolist(),
            self._prior_words.tolist(),
            strict=True,
        ):
            wanted = len(string) > 1 and (phrases or words == 1)
            if not wanted or string in known:
                continue
            if words == 1:
                place = int(self.starts[self._tail[begin] - 1])
            else:
                place = self.sequence.size + begin
            rows.append((place, len(string), words, 0))
        added = np.array(rows, np.int64).reshape(-1, 4)
        return np.concatenate([candidates, added])

    def different_places(self, length, most):
        """Yield pieces of the text that differ in their words.

        A piece is a word and the next bytes. It is yielded where its words
        occur for the first time.

        Args:
            length: int, bytes of a piece after its first word.
            most: int, how many pieces to yield. If there are fewer, they
                contain every string of up to `length` bytes of the text.

        Yields:
            Bytes.
        """
        known = np.zeros(0, np.uint64)
        words = length + 1  # a string may begin inside the first word
        for start in range(0, self.sequence.size, PLACES):
            part = self.sequence[start : start + PLACES + words]
            hashes = np.append(part, np.zeros(words, np.int32)).astype("u8")
            reach = 1
            while reach < words:
                hashes[:-reach] += hashes[reach:] * np.uint64(_ODD)
                hashes ^= hashes >> np.uint64(29)
                hashes *= np.uint64(_ODD)
                reach *= 2
            found, places = np.unique(hashes[:PLACES], return_index=True)
            places = np.sort(places[~np.isin(found, known)])
            known = np.union1d(known, found)
            for place in places[:most].tolist():
                row = part[place : place + words]
                row = row[: np.append(row, 0).argmin()] - 1
                piece = b"".join(
                    self.letters[self.starts[w] :][: self.lengths[w]].tobytes()
                    for w in row.tolist()
                )
                yield piece[: self.lengths[row[0]] + length] if piece else b""
            most -= places.size
            if most <= 0:
                return

    def strings_of(self, candidates):
        """Return the bytes of candidates, a list."""
        chosen = candidates[candidates[:, 2] > 1]
        words, offsets = self.words_of(chosen[:, 0], chosen[:, 2])
        sizes = self.lengths[words - 1]
        ends = np.append(0, np.cumsum(sizes))
        places = np.repeat(self.starts[words - 1] - ends[:-1], sizes)
        joined = self.letters[places + np.arange(places.size)].tobytes()
        bounds = itertools.pairwise(ends[offsets].tolist())
        phrases = (joined[i:j] for i, j in bounds)
        return [
            next(phrases)
            if count > 1
            else self.letters[begin : begin + length].tobytes()
            for begin, length, count in candidates[:, :3].tolist()
        ]

    def words_of(self, begins, counts):
        """Return the words of phrases and their offsets.

        Args:
            begins: int64, where the phrases begin in the sequence. Numbers from
                its end on are places among the strings of the prior.
            counts: int64, how many words each phrase has.

        Returns:
            Numbers of words, int32, and int64 of shape (phrases + 1,).
        """
        offsets = np.append(0, np.cumsum(counts))
        steps = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        at = np.repeat(begins, counts) + steps
        words = np.empty(at.size, np.int32)
        given = at < self.sequence.size
        words[given] = self.sequence[at[given]]
        words[~given] = self._tail[at[~given] - self.sequence.size]
        return words, offsets


def _growing_sizes(size):
    """Return how many words each stage counts; the last is `size`."""
    sizes = [size]
    while sizes[-1] > FIRST_WORDS:
        sizes.append(-(-sizes[-1] // GROWTH))
    return sizes[::-1]


def _best_runs(runs, most):
    """Return the best runs, those of fewer words first, as they occur."""
    return best(runs[np.lexsort([runs[:, 0], runs[:, 2]])], most)


def best(candidates, most):
    """Return the `most` candidates that save most bytes, in their order."""
    saved = candidates[:, 3] * (candidates[:, 1] - 1)
    order = np.argsort(-saved, kind="stable")[:most]
    return candidates[np.sort(order)]


def _is_word_byte():
    """Return which bytes are word bytes, bool of shape (256,)."""
    from keras_nc.coding.kernels.words import WORD
    from keras_nc.coding.kernels.words import classify

    return np.array([classify(np.uint8(b)) == WORD for b in range(256)])
