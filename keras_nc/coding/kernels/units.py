"""Numba kernels that count strings in words, and uses of windows."""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit
from keras_nc.coding.kernels.phrases import COST
from keras_nc.coding.kernels.phrases import ID
from keras_nc.coding.kernels.phrases import NEXT
from keras_nc.coding.kernels.phrases import PHRASE
from keras_nc.coding.kernels.phrases import WORDS
from keras_nc.coding.kernels.phrases import first_slot
from keras_nc.coding.kernels.phrases import next_node
from keras_nc.coding.kernels.phrases import other_cost
from keras_nc.coding.kernels.trie import IS_WINDOW
from keras_nc.coding.kernels.trie import step
from keras_nc.coding.kernels.word_cache import prefetch

MOST = 1 << 30  # no word costs more
NO_WAY = 1 << 40  # the cost if there is no way to cut, above all others


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
def count_parts(
    cells, id_of_slot, costs, letters, starts, lengths, word_uses, uses, tables
):
    """Cut each word by itself in all ways, and add up the uses of windows.

    Args:
        cells: see `Trie`.
        id_of_slot: see `Trie`.
        costs: uint16, of windows, by id.
        letters: uint8, the distinct words, joined.
        starts: int64 of shape (words,), where they begin.
        lengths: int64 of shape (words,), at most 255.
        word_uses: int64 of shape (words,), in units of 2^-20.
        uses: int64, by id, in the same units; is added to.
        tables: see `_sum_tables` of `coding.units`.

    Returns:
        The cost of each word by the sum of all its cuts' probabilities, int32
        of shape (words,).
    """
    least_of, share_of = tables
    word_costs = np.zeros(starts.size, np.int32)
    rest = np.empty(256, np.int64)  # cost from a byte to the end of the word
    given = np.empty(256, np.int64)  # uses of a cut before a byte
    edges = np.empty(257, np.int64)
    ids = np.empty(1 << 16, np.int32)
    ends = np.empty(1 << 16, np.int32)
    shares = np.empty(1 << 16, np.int64)
    for word in range(starts.size):
        n = np.int64(lengths[word])
        rest[n] = 0
        e = 0
        for j in range(n - 1, -1, -1):
            edges[j + 1] = e
            rest[j] = NO_WAY
            t = np.uint64(0)
            cell = np.uint32(0)  # the start: its base is 0
            for k in range(j, n):
                t, cell = step(cells, cell, letters[starts[word] + k])
                if not cell:
                    break
                if cell & np.uint32(IS_WINDOW):
                    ids[e] = id_of_slot[t]
                    ends[e] = k + 1
                    cost = rest[k + 1] + np.int64(costs[ids[e]])
                    rest[j] = _add(rest[j], cost, least_of)
                    e += 1
        edges[0] = e
        word_costs[word] = min(max(rest[0], 0), MOST)
        if not word_uses[word]:
            continue
        given[1 : n + 1] = 0
        given[0] = word_uses[word] >> 10  # products must fit 63 bits
        for j in range(n):
            first = edges[j + 1]
            for e in range(first, edges[j]):
                cost = rest[ends[e]] + np.int64(costs[ids[e]])
                shares[e - first] = _share(cost - rest[j], share_of)
            _spread(given[j], shares, edges[j] - first)
            for e in range(first, edges[j]):
                given[ends[e]] += shares[e - first]
                uses[ids[e]] += shares[e - first] << 10
    return word_costs


@jit
def count_cuts(sequence, longest, word_costs, phrases, word_uses, uses, tables):
    """Cut groups of words in all ways; add up the uses of phrases and words.

    Args:
        sequence: int32, groups; see `WordGroups`.
        longest: int, words of the longest group.
        word_costs: int32 of shape (words + 1,).
        phrases: see `kernels.phrases.build_phrases`.
        word_uses: int64 of shape (words + 1,), in units of 2^-20; is added to.
        uses: int64, by the ids of phrases, in the same units; is added to.
        tables: see `_sum_tables` of `coding.units`.
    """
    least_of, share_of = tables
    edges, nodes, _ = phrases
    end = np.uint64(edges.shape[0] - 1)
    # The cost of the first words, and the uses of a cut after them.
    sums = np.zeros(longest + 1, np.int64)
    given = np.empty(longest + 1, np.int64)
    # The longest phrase that ends with a word, and offsets of all of them.
    ends = np.empty(longest, np.int64)
    offsets = np.zeros(longest + 1, np.int64)
    # Their costs from the start of the group, the words before them, their ids.
    found = np.empty((longest, 3), np.int64)
    shares = np.empty(257, np.int64)
    i = 0
    while i < sequence.size:
        group_uses = np.int64(sequence[i])
        i += 1
        # Each loop over the words fetches what the next one reads.
        n = 0
        while sequence[i + n]:
            if n:
                last, word = sequence[i + n - 1], sequence[i + n]
                prefetch(edges, np.int64(first_slot(last, word, end)))
            n += 1
        node = np.int64(0)
        for k in range(n):
            node = next_node(phrases, node, np.int64(sequence[i + k]))
            ends[k] = node
            prefetch(nodes, node)
        for k in range(n):
            ends[k] = nodes[ends[k], PHRASE]
            prefetch(nodes, ends[k])
        e = 0
        for k in range(n):
            offsets[k] = e
            word = np.int64(sequence[i + k])
            least = sums[k] + np.int64(word_costs[word])
            phrase = ends[k]
            if e + 256 > found.shape[0]:
                found = np.concatenate((found, np.empty_like(found)))
            while phrase:
                start = k + 1 - nodes[phrase, WORDS]
                found[e, 0] = sums[start] + np.int64(nodes[phrase, COST])
                found[e, 1] = start
                found[e, 2] = nodes[phrase, ID]
                least = _add(least, found[e, 0], least_of)
                e += 1
                phrase = np.int64(nodes[phrase, NEXT])
            sums[k + 1] = least
        offsets[n] = e
        given[:n] = 0
        given[n] = 1 << 20
        for k in range(n - 1, -1, -1):
            if not given[k + 1]:
                continue
            word = np.int64(sequence[i + k])
            first = offsets[k]
            others = offsets[k + 1] - first
            if not others:
                given[k] += given[k + 1]
                word_uses[word] += given[k + 1] * group_uses
                continue
            cost = sums[k] + np.int64(word_costs[word])
            shares[0] = _share(cost - sums[k + 1], share_of)
            for m in range(others):
                cost = found[first + m, 0]
                shares[m + 1] = _share(cost - sums[k + 1], share_of)
            _spread(given[k + 1], shares, others + 1)
            given[k] += shares[0]
            word_uses[word] += shares[0] * group_uses
            for m in range(others):
                given[found[first + m, 1]] += shares[m + 1]
                uses[found[first + m, 2]] += shares[m + 1] * group_uses
        i += n + 1


@inline
def _add(a, b, least_of):
    """Return the cost of the sum of two probabilities, given their costs."""
    apart = abs(a - b)
    if apart < least_of.size:
        return min(a, b) - np.int64(least_of[apart])
    return min(a, b)


@inline
def _share(cost, share_of):
    """Return the probability that belongs to a cost, in units of 2^-20."""
    cost = max(cost, 0)
    return np.int64(share_of[cost]) if cost < share_of.size else np.int64(0)


@inline
def _spread(amount, shares, size):
    """Divide an amount in proportion to the first shares, in place.

    The largest share gets what rounding leaves, so the parts sum to the amount.
    """
    total = np.uint64(0)
    best = 0
    for k in range(size):
        total += np.uint64(shares[k])
        if shares[k] > shares[best]:
            best = k
    left = amount
    if total:
        for k in range(size):
            product = np.uint64(amount) * np.uint64(shares[k])
            shares[k] = np.int64(product // total)
            left -= shares[k]
    shares[best] += left


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
