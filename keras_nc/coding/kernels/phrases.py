"""Numba kernels that find the cheapest cut of numbered words into phrases.

A phrase is a window of several words. All phrases form a trie over words. A
node is an int32: the node of a single word is the number of the word, from 1
on; longer beginnings of phrases have larger nodes. Word 0 is in no phrase. A
hash table holds the edges of the trie. Its rows are int32s:

    parent node, word, child node, id of the phrase (0 if it is none), cost
"""

import numpy as np

from keras_nc.coding.kernels import jit

UNREACHED = np.iinfo(np.int64).max
LONGEST = 255  # words of a phrase: no window has more bytes


@jit
def build_phrases(words, offsets, ids, costs, num_words):
    """Build the trie of phrases.

    Args:
        words: int32, the words of all phrases, numbered from 1 to `num_words`.
        offsets: int64 of shape (phrases + 1,).
        ids: int32 of shape (phrases,), from 1 on.
        costs: int32 of shape (phrases,).
        num_words: int.

    Returns:
        The trie, a tuple: the hash table, int32 of shape (slots, 5); whether
        phrases go on after each node, uint8 of shape (nodes,); and the filter
        of `is_bond`, uint64.
    """
    capacity = 64
    while capacity < 2 * words.size:
        capacity *= 2
    edges = np.zeros((capacity, 5), np.int32)
    bonds = np.zeros(capacity // 8, np.uint64)
    continues = np.zeros(num_words + 1 + words.size, np.uint8)
    nodes = num_words + 1
    for p in range(ids.size):
        node = words[offsets[p]]
        slot = np.int64(0)
        for k in range(offsets[p] + 1, offsets[p + 1]):
            slot = _find(edges, node, words[k])
            if edges[slot, 0] == 0:
                edges[slot, 0] = node
                edges[slot, 1] = words[k]
                edges[slot, 2] = nodes
                continues[node] = 1
                nodes += 1
            node = edges[slot, 2]
            at, bit = _bond(bonds, words[k - 1], words[k])
            bonds[at] |= np.uint64(1) << bit
        edges[slot, 3] = ids[p]
        edges[slot, 4] = costs[p]
    return edges, continues[:nodes].copy(), bonds


@jit
def is_bond(bonds, word, after):
    """Return 0 if no phrase has these two words in a row, else mostly 1.

    Both words must be in phrases.
    """
    at, bit = _bond(bonds, word, after)
    return (bonds[at] >> bit) & np.uint64(1)


@jit
def _hash(node, word):
    # Two products that do not wait for each other.
    h = np.uint64(node) * np.uint64(0x9E3779B97F4A7C15)
    return h + np.uint64(word) * np.uint64(0xD6E8FEB86659FD93)


@jit
def _bond(bonds, word, after):
    """Return the place and the bit of two words in the filter."""
    h = _hash(word, after)
    at = (h >> np.uint64(38)) & np.uint64(bonds.size - 1)
    return at, (h >> np.uint64(32)) & np.uint64(63)


@jit
def _find(edges, node, word):
    """Return the slot of an edge, or the free slot where it belongs."""
    last = np.uint64(edges.shape[0] - 1)
    at = (_hash(node, word) >> np.uint64(36)) & last
    while edges[at, 0] != 0:
        if edges[at, 0] == node and edges[at, 1] == word:
            break
        at = (at + np.uint64(1)) & last
    return np.int64(at)


@jit
def _next_slot(trie, node, before, word):
    """Return the slot of an edge, or -1 if there is none.

    `before` is the last word of the node.
    """
    edges, _, bonds = trie
    if not is_bond(bonds, before, word):
        return np.int64(-1)
    slot = _find(edges, node, word)
    return slot if edges[slot, 0] else np.int64(-1)


@jit
def cut_words(n, words, costs, trie, best, back, back_ids):
    """Find the cheapest cuts of the beginnings of n words.

    Args:
        n: int.
        words: int32 of shape (n,), the words as phrases number them.
        costs: int32 of shape (n,), of each word cut by itself.
        trie: see `build_phrases`.
        best: int64 of shape (n + 1,), is filled: the cost of the first j words.
        back: int32 of shape (n + 1,), is filled: where their last part begins.
        back_ids: int32 of shape (n + 1,), is filled: the id of that phrase, or
            0 for a word by itself.
    """
    edges = trie[0]
    best[1 : n + 1] = UNREACHED
    best[0] = 0
    for i in range(n):
        cost = best[i] + np.int64(costs[i])
        if cost < best[i + 1]:
            best[i + 1] = cost
            back[i + 1] = i
            back_ids[i + 1] = 0
        node = words[i]
        for j in range(i + 1, n if node else 0):
            slot = _next_slot(trie, node, words[j - 1], words[j])
            if slot < 0:
                break
            phrase = edges[slot, 3]
            if phrase:
                cost = best[i] + np.int64(edges[slot, 4])
                if cost < best[j + 1]:
                    best[j + 1] = cost
                    back[j + 1] = i
                    back_ids[j + 1] = phrase
            node = edges[slot, 2]


@jit
def find_alive(n, words, trie, alive):
    """Find where phrases begin that may go on after n words.

    Args:
        n: int.
        words: int32 of shape (n,), the words as phrases number them.
        trie: see `build_phrases`.
        alive: int32 of shape (n + 1,), is filled: 1 if a phrase that begins
            at word j may go on after the n words; 2 if it may, were the last
            word another one; else 0.
    """
    edges, continues, _ = trie
    alive[: n + 1] = 0
    alive[n] = 1
    for i in range(max(0, n - LONGEST), n):
        node = words[i]
        j = i + 1
        while j < n - 1 and continues[node]:
            slot = _next_slot(trie, node, words[j - 1], words[j])
            if slot < 0:
                break
            node = edges[slot, 2]
            j += 1
        else:
            if not continues[node]:
                continue
            if j == n:
                alive[i] = 1
                continue
            alive[i] = 2
            slot = _next_slot(trie, node, words[j - 1], words[j])
            if slot >= 0 and continues[edges[slot, 2]]:
                alive[i] = 1


@jit
def other_cost(words, costs, trie, banned, best):
    """Return the least cost of some words without the phrase `banned`."""
    edges = trie[0]
    n = words.size
    best[1 : n + 1] = UNREACHED
    best[0] = 0
    for i in range(n):
        best[i + 1] = min(best[i + 1], best[i] + np.int64(costs[i]))
        node = words[i]
        for j in range(i + 1, n):
            slot = _next_slot(trie, node, words[j - 1], words[j])
            if slot < 0:
                break
            if edges[slot, 3] and edges[slot, 3] != banned:
                cost = best[i] + np.int64(edges[slot, 4])
                best[j + 1] = min(best[j + 1], cost)
            node = edges[slot, 2]
    return best[n]
