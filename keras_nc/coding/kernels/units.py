"""Numba kernels that count strings inside words and runs of words."""

import numpy as np

from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.likely import common_ancestor
from keras_nc.coding.kernels.likely import make_tables
from keras_nc.coding.kernels.likely import relax
from keras_nc.coding.kernels.phrases import cut_words
from keras_nc.coding.kernels.phrases import find_alive
from keras_nc.coding.kernels.phrases import other_cost
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step

BLOCK = 1 << 14  # words of the first block
MOST = 1 << 30  # no word costs more


@jit
def make_suffixes(text, starts, lengths, counts, longest):
    """Return the suffixes of words.

    Args:
        text: uint8 of shape (L,).
        starts: int64 of shape (words,), where the words begin.
        lengths: int64 of shape (words,).
        counts: int64 of shape (words,).
        longest: int, at most 24: bytes of a suffix that matter.

    Returns:
        Where each suffix begins, its bytes up to `longest`, the count of its
        word, and its first 24 bytes as numbers, uint64 of shape (3, suffixes).
    """
    size = lengths.sum()
    places = np.empty(size, np.int64)
    sizes = np.empty(size, np.int64)
    weights = np.empty(size, np.int64)
    keys = np.zeros((3, size), np.uint64)
    n = 0
    for word in range(starts.size):
        for i in range(lengths[word]):
            places[n] = starts[word] + i
            sizes[n] = min(lengths[word] - i, longest)
            weights[n] = counts[word]
            for k in range(sizes[n]):
                byte = np.uint64(text[places[n] + k])
                shift = np.uint64(56 - 8 * (k & 7))
                keys[k >> 3, n] |= byte << shift
            n += 1
    return places, sizes, weights, keys


@jit
def count_substrings(text, places, sizes, weights, length):
    """Count the substrings of one length in sorted suffixes.

    Returns a place of each substring that occurs twice or more, in
    lexicographic order, and its uses.
    """
    found = np.empty(places.size, np.int64)
    uses = np.empty(places.size, np.int64)
    n = 0
    previous = np.int64(-1)
    for k in range(places.size):
        if sizes[k] < length:
            continue
        same = previous >= 0
        for i in range(length):
            if not same:
                break
            same = text[previous + i] == text[places[k] + i]
        if not same:
            if n == 0 or uses[n - 1] > 1:
                n += 1
            found[n - 1] = places[k]
            uses[n - 1] = 0
        previous = places[k]
        uses[n - 1] += weights[k]
    if n and uses[n - 1] < 2:
        n -= 1
    return found[:n].copy(), uses[:n].copy()


@jit
def count_runs(
    sequence, lengths, is_mark, runs, longer, count, longest, most_words,
    known, part, parts,
):  # fmt: skip
    """Count the runs of `count` words, or those of one part of them.

    A run has two runs of one word less: at its first and at its second word.
    Their numbers are its key, which decides its part.

    Args:
        sequence: int32, words from 1 on, with a 0 after each document.
        lengths: int64 of shape (words + 1,).
        is_mark: bool of shape (words + 1,): a single byte of punctuation. After
            another one, it does not count as a word.
        runs: int32, the number of the run of one word less that begins at each
            word, -1 if there is none or it occurs once.
        longer: int32, which gets the same for the longer runs.
        count: int, words of a run.
        longest: int, bytes of a run.
        most_words: int, words of a run, without marks after marks.
        known: int, the first number to give.
        part: int, the part to count.
        parts: int, how many parts there are.

    Returns:
        Where each run that occurs twice or more begins first, ascending, its
        bytes, and its uses.
    """
    capacity = np.int64(1 << 12)
    keys = np.zeros(capacity, np.uint64)
    table = np.full(capacity, -1, np.int32)
    firsts = np.empty(capacity, np.int64)
    uses = np.zeros(capacity, np.int64)
    sizes = np.empty(capacity, np.int64)
    found = 0
    for i in range(sequence.size - count):
        if runs[i] < 0 or runs[i + 1] < 0:
            continue
        key = np.uint64(runs[i]) << np.uint64(32) | np.uint64(runs[i + 1])
        if parts > 1 and np.int64(_mix(key) >> np.uint64(40)) % parts != part:
            continue
        words = 1
        size = lengths[sequence[i]]
        for k in range(i + 1, i + count):
            size += lengths[sequence[k]]
            words += not (is_mark[sequence[k]] and is_mark[sequence[k - 1]])
        if size > longest or words > most_words:
            continue
        if 2 * found == capacity:
            old_keys, old_table = keys, table
            capacity *= 2
            keys = np.zeros(capacity, np.uint64)
            table = np.full(capacity, -1, np.int32)
            for slot in range(old_table.size):
                if old_table[slot] >= 0:
                    at = _find_pair(keys, table, old_keys[slot])
                    keys[at] = old_keys[slot]
                    table[at] = old_table[slot]
            firsts = np.concatenate((firsts, np.empty_like(firsts)))
            uses = np.concatenate((uses, np.zeros_like(uses)))
            sizes = np.concatenate((sizes, np.empty_like(sizes)))
        at = _find_pair(keys, table, key)
        if table[at] < 0:
            keys[at] = key
            table[at] = found
            firsts[found] = i
            sizes[found] = size
            found += 1
        longer[i] = -2 - table[at]
        uses[table[at]] += 1
    numbers = np.empty(found, np.int32)
    n = 0
    for run in range(found):
        numbers[run] = -1
        if uses[run] > 1:
            numbers[run] = known + n
            firsts[n] = firsts[run]
            uses[n] = uses[run]
            sizes[n] = sizes[run]
            n += 1
    for i in range(sequence.size):
        if longer[i] < -1:
            longer[i] = numbers[-2 - longer[i]]
    return firsts[:n].copy(), sizes[:n].copy(), uses[:n].copy()


@jit
def _mix(key):
    h = key * np.uint64(0x9E3779B97F4A7C15)
    return h ^ h >> np.uint64(32)


@jit
def _find_pair(keys, table, key):
    at = np.int64(_mix(key) & np.uint64(table.size - 1))
    while table[at] >= 0 and keys[at] != key:
        at = (at + 1) & (table.size - 1)
    return at


@jit
def cut_alone(cells, id_of_slot, costs, letters, starts, lengths):
    """Cut each word by itself.

    Returns:
        The least costs, int32 of shape (words + 1,), words from 1 on; and the
        windows: word i has the ids `[cuts[i], cuts[i + 1])`, in no order, with
        `cuts` int64 of shape (words + 2,) and all ids, int32.
    """
    word_costs = np.zeros(starts.size + 1, np.int32)
    cuts = np.zeros(starts.size + 2, np.int64)
    ids = np.empty(lengths.sum(), np.int32)
    best, back, back_ids, alive = make_tables(max(1, lengths.max()))
    no_marks = np.zeros(0, np.uint8)
    written = 0
    for word in range(starts.size):
        n = lengths[word]
        relax(cells, id_of_slot, costs, no_marks, letters, starts[word], n,
              starts[word] + n, best, back, back_ids, alive)  # fmt: skip
        word_costs[word + 1] = min(best[n], MOST)
        at = np.int64(n)
        while at > 0:
            ids[written] = back_ids[at]
            written += 1
            at = np.int64(back[at])
        cuts[word + 2] = written
    return word_costs, cuts, ids[:written].copy()


@jit
def count_parts(cuts, ids, word_uses, uses):
    """Add the uses of windows in words that are cut by themselves."""
    for word in range(word_uses.size):
        for k in range(cuts[word], cuts[word + 1]):
            uses[ids[k]] += word_uses[word]


@jit
def count_cuts(sequence, word_costs, phrases, word_uses, uses):
    """Cut documents of words; add the uses of phrases and of single words.

    Args:
        sequence: int32, words from 1 on, with a 0 after each document.
        word_costs: int32 of shape (words + 1,).
        phrases: see `kernels.phrases.build_phrases`.
        word_uses: int64 of shape (words + 1,).
        uses: int64, by the ids of phrases.
    """
    size = BLOCK
    best, back, back_ids, alive = _make_cuts(size)
    costs = np.empty(size, np.int32)
    i = 0
    while i < sequence.size:
        n = 0
        while n < size and sequence[i + n]:
            costs[n] = word_costs[sequence[i + n]]
            n += 1
        words = sequence[i : i + n]
        cut_words(n, words, costs, phrases, best, back, back_ids)
        at = np.int64(n)
        if sequence[i + n]:
            find_alive(n, words, phrases, alive)
            at = np.int64(common_ancestor(back, alive[: n + 1] == 1, n))
            if at == 0:
                size *= 2
                best, back, back_ids, alive = _make_cuts(size)
                costs = np.empty(size, np.int32)
                continue
        i += at if sequence[i + n] else n + 1
        while at > 0:
            if back_ids[at]:
                uses[back_ids[at]] += 1
            else:
                word_uses[words[at - 1]] += 1
            at = np.int64(back[at])


@jit
def _make_cuts(size):
    return (
        np.empty(size + 1, np.int64),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(size + 1, np.int32),
    )


@jit
def cost_without(cells, id_of_slot, costs, starts, lengths, content):
    """Return the cost of the best other segmentation of each window, int64.

    Windows are given by id, as in a `Trie`. The result is 0 for an id without
    a window and for single bytes.
    """
    costs_without = np.zeros(lengths.size, np.int64)
    best = np.empty(256, np.int64)
    for i in range(lengths.size):
        n = np.int64(lengths[i])
        if n < 2:
            continue
        best[1 : n + 1] = np.iinfo(np.int64).max
        best[0] = 0
        for j in range(n):
            t = np.uint64(0)
            cell = np.uint32(0)  # the start: its base is 0
            for k in range(j, n):
                t, cell = step(cells, cell, content[starts[i] + k])
                if not cell:
                    break
                window = id_of_slot[t]
                if cell & np.uint32(IS_WINDOW) and window != i:
                    cost = best[j] + np.int64(costs[window])
                    best[k + 1] = min(best[k + 1], cost)
        costs_without[i] = best[n]
    return costs_without


@jit
def phrase_cost_without(words, offsets, ids, word_costs, phrases):
    """Return the cost of the best other segmentation of each phrase, int64."""
    longest = np.int64(0)
    for p in range(ids.size):
        longest = max(longest, offsets[p + 1] - offsets[p])
    best = np.empty(longest + 1, np.int64)
    costs = np.empty(ids.size, np.int64)
    for p in range(ids.size):
        own = words[offsets[p] : offsets[p + 1]]
        costs[p] = other_cost(own, word_costs[own], phrases, ids[p], best)
    return costs
