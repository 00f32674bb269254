"""Windows of words and phrases, chosen by likelihood.

The text is cut in all ways, each as probable as its windows are. Then the
windows that are needed least are dropped. SentencePiece chooses the pieces of
its unigram models in this way (Kudo, 2018); phrases are ours.

The text is read once. After that, all work is on its distinct words, on the
sequence of their numbers, and on groups of words.
"""

import concurrent.futures
import functools
import os
import threading

import numpy as np

from keras_nc.coding import group_counts
from keras_nc.coding.candidates import LONGEST_PART
from keras_nc.coding.candidates import CandidateText
from keras_nc.coding.candidates import best
from keras_nc.coding.trie import Trie
from keras_nc.coding.trie import window_starts
from keras_nc.coding.window_choice import CANDIDATES
from keras_nc.coding.window_choice import COST_BITS
from keras_nc.coding.window_choice import SHRINK
from keras_nc.coding.window_choice import window_costs
from keras_nc.coding.word_text import HEAD_BYTES
from keras_nc.coding.word_text import WordText
from keras_nc.progress import ProgressLine
from keras_nc.progress import ignore

ROUNDS = 3  # of expectation maximization; one less after windows are dropped
FIRST_BITS = 16  # the cost of each window in the first round
USE_BITS = 20  # uses are summed in units of 2^-20
MOST_THREADS = 4  # each needs 8 bytes for each distinct word and window
THREAD_VOCABULARY = 1 << 17  # distinct words that a thread counts at a time


def choose_windows(
    text, size, *, phrases, prune, price, longest, prior, progress
):
    """Choose windows for the parse `likely_words`.

    Args:
        text: list of documents (bytes), or a `WordText`.
        size: how many windows to choose, at least 256.
        phrases: bool, whether windows of several words are candidates.
        prune: `"likelihood"` drops the windows whose absence costs the fewest
            bits, `"bytes"` those that save the fewest bytes. `None` takes the
            candidates that save most bytes, if each use counts.
        price: bits that every window costs on top of its `-log2 p`.
        longest: bytes that a window has at most.
        prior: dict from strings to their uses in a text that was not given, by
            a model. They are candidates, too, and count as if it were given.
        progress: bool, whether to show progress on terminals.

    Returns:
        A list of bytes in lexicographic order, and their costs, uint16.

    Raises:
        ValueError: if the text has fewer different strings.
    """
    if not isinstance(text, WordText):
        text = WordText.from_documents(text)
    head = text.head + b"".join(prior)
    text = CandidateText(text, prior)
    times = CANDIDATES if prune else 1
    candidates = text.count_parts(times * size, min(longest, LONGEST_PART))
    tables = [candidates]
    if phrases:
        tables.append(text.count_phrases(times * size, longest, progress))
    candidates = text.add_prior(np.concatenate(tables), phrases)
    if not prune:
        candidates = best(candidates, size - 256)
    windows = Windows(text, candidates)
    sizes = [len(windows)]
    while sizes[-1] > size:
        sizes.append(max(size, int(sizes[-1] * SHRINK)))
    passes = 1 + ROUNDS + (ROUNDS - 1) * (len(sizes) - 1)
    total = passes * text.bytes_of(text.sequence.size)
    with ProgressLine("Choosing windows", progress, total) as line:
        for kept in sizes[1:]:
            chances = windows.count_uses(price, line.update)
            windows = windows.keep(kept, *chances, prune)
        uses, _, _ = windows.count_uses(price, line.update)
    uses = dict(zip(windows.strings, uses[1:].tolist(), strict=True))
    chosen = _fill(list(uses), size, head[:HEAD_BYTES], text, longest)
    uses = np.array([uses.get(window, 0) for window in chosen])
    return chosen, window_costs(uses, np.ones(size, bool), price)


class Windows:
    """Windows of words and phrases, with their uses and costs.

    Args:
        text: a `CandidateText`.
        candidates: int64 of shape (strings, 4), as its `count_parts` returns
            them. The 256 single bytes are windows, too.
        uses: int64, by id: the last known uses, from before windows were
            dropped; `None` at first.
        groups: the `WordGroups` of the text, for at least these phrases; `None`
            at first.
    """

    def __init__(self, text, candidates, uses=None, groups=None):
        self._text = text
        self._uses = uses
        self._groups = groups or group_counts.WordGroups.of_text(text)
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

    def count_uses(self, price, progress=ignore):
        """Count uses over all cuts of the text, and update the costs.

        This is expectation maximization: a cut is as probable as its costs say,
        uses are sums of probabilities, and the next costs follow from them.

        Args:
            price: bits that every window costs on top of its `-log2 p`.
            progress: function to call with bytes of the text that are done.
                Each round counts as the whole text. So does the first split
                into groups.

        Returns:
            Uses (int64), costs (uint16), and the cost of the best other
            segmentation of each window (int64), by id.
        """
        text = self._text
        used = np.append(False, np.ones(len(self), bool))
        uses = self._uses
        for round_ in range(ROUNDS if uses is None else ROUNDS - 1):
            if uses is None:
                costs = used * np.uint16(FIRST_BITS << COST_BITS)
            else:
                costs = window_costs(uses, used, price)
            phrases = self._build_phrases(costs)
            if round_ == 0:
                self._groups = self._groups.split(phrases[2], progress)
            uses = np.zeros(len(used), np.int64)
            word_uses = self._groups.singles << USE_BITS
            # Without uses, this gives only the costs.
            word_costs = self._count_parts(
                costs, np.zeros_like(word_uses), uses
            )
            _count_cuts(
                self._groups.sequence, word_costs, phrases, word_uses, uses
            )
            self._count_parts(costs, word_uses, uses)
            uses = (uses + (1 << USE_BITS - 1) >> USE_BITS) + self._prior_uses
            progress(text.bytes_of(text.sequence.size))
        others = self._costs_without(costs, word_costs, phrases)
        return uses, costs, others

    def keep(self, size, uses, costs, others, prune):
        """Return the windows without those that are needed least.

        A window that is not used costs nothing if it is dropped. Otherwise its
        uses are cut the best other way. Ties keep the shorter, then the smaller
        window. Single bytes are never dropped.

        Args:
            size: how many to keep.
            uses: see `count_uses`.
            costs: see `count_uses`.
            others: see `count_uses`.
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
            losses = uses * (others - costs)
        rows = np.concatenate([[-1], self._rows, self._phrases])
        ids = np.flatnonzero(rows >= 0)
        strings = [self.strings[i - 1] for i in ids.tolist()]
        order = sorted(
            range(len(ids)),
            key=lambda k: (-losses[ids[k]], lengths[ids[k]], strings[k]),
        )
        kept = np.sort(rows[ids[order[: size - 256]]])
        return Windows(
            self._text,
            self._candidates[kept],
            uses[(rows < 0) | np.isin(rows, kept)],
            self._groups,
        )

    def _count_parts(self, costs, word_uses, uses):
        """Call the kernel of this name in threads; return the words' costs."""
        from keras_nc.coding.kernels import units

        text, trie, tables = self._text, self._trie, _sum_tables()
        word_costs = np.zeros(text.starts.size + 1, np.int32)

        def count(part, sums):
            word_costs[1:][part] = units.count_parts(
                trie.cells, trie.id_of_slot, costs, text.letters,
                text.starts[part], text.lengths[part], word_uses[1:][part],
                sums, tables,
            )  # fmt: skip

        begins = range(0, text.starts.size, THREAD_VOCABULARY)
        _sum_in_threads(
            count, [slice(i, i + THREAD_VOCABULARY) for i in begins], uses
        )
        return word_costs

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

    def _build_phrases(self, costs):
        from keras_nc.coding.kernels.phrases import build_phrases

        return build_phrases(
            self._words,
            self._offsets,
            self._ids,
            costs[self._ids].astype(np.int32),
            self._text.starts.size,
        )

    def _costs_without(self, costs, word_costs, phrases):
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
            self._words, self._offsets, self._ids, word_costs, phrases
        )
        return np.concatenate([own, of_phrases])


def _count_cuts(groups, word_costs, phrases, word_uses, uses):
    """Call the kernel of this name in threads."""
    from keras_nc.coding.kernels import units

    tables = _sum_tables()

    def count(piece, *sums):
        units.count_cuts(
            piece, group_counts.LONGEST, word_costs, phrases, *sums, tables
        )

    pieces = list(group_counts.split_groups(groups))
    _sum_in_threads(count, pieces, word_uses, uses)


def _sum_in_threads(count, pieces, *totals):
    """Add up in threads what a function counts in pieces.

    Counts are integers, so their sums do not depend on the threads.

    Args:
        count: function that takes a piece and arrays like the totals, to which
            it adds.
        pieces: list.
        totals: arrays, to which the sums are added.
    """
    lock = threading.Lock()
    pieces = pieces[::-1]

    def work():
        sums = [np.zeros_like(total) for total in totals]
        while True:
            with lock:
                if not pieces:
                    return sums
                piece = pieces.pop()
            count(piece, *sums)

    threads = min(os.cpu_count() or 1, MOST_THREADS, max(1, len(pieces)))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(work) for _ in range(threads)]:
                for total, sums in zip(totals, future.result(), strict=True):
                    total += sums
        finally:
            pieces.clear()  # after Ctrl-C, each thread ends with its piece


@functools.cache
def _sum_tables():
    """Return tables to add probabilities that are given as costs.

    Costs are in units of 2^-10 bits. The tables are rounded to integers, so
    sums are the same on every machine. They end where their values become 0.

    Returns:
        Two int32 arrays. For the difference of two costs: how far the cost of
        the sum is below the smaller cost. For a cost: its probability, in units
        of 2^-20.
    """
    bits = np.arange((USE_BITS + 1) << COST_BITS) / (1 << COST_BITS)
    less = np.rint(np.log2(1 + 2.0**-bits) * (1 << COST_BITS)).astype(np.int32)
    shares = np.rint(2.0 ** (USE_BITS - bits)).astype(np.int32)
    return less[: np.count_nonzero(less)], shares[: np.count_nonzero(shares)]


def _fill(windows, size, head, text, longest):
    """Add strings of any kind to windows if a text has too few words.

    They come from the beginning of the text, or from all of it if the beginning
    has too few.
    """
    known = set(windows)
    if len(known) < size:
        _add_strings(known, size, [head], longest)
    if len(known) < size:
        pieces = text.different_places(longest, size)
        _add_strings(known, size, list(pieces), longest)
    if len(known) == size:
        return sorted(known)
    raise ValueError(
        f"A codebook of {size:,} windows needs a text with as many different "
        f"strings. Received: a text with {len(known):,} of at most {longest} "
        "bytes, all single bytes included. Use more text or smaller "
        "`window_bits`."
    )


def _add_strings(known, size, pieces, longest):
    """Add strings of some pieces of text to a set, shorter ones first."""
    for length in range(2, longest + 1):
        found = {
            piece[i : i + length]
            for piece in pieces
            for i in range(len(piece) - length + 1)
        }
        known.update(sorted(found - known)[: size - len(known)])
        if len(known) == size:
            return
