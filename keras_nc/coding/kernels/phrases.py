"""Numba kernels of the trie of phrases.

A phrase is a window of several words. All phrases form a trie over words. A
node is an int: the node of a single word is the number of the word, from 1 on;
longer beginnings of phrases have larger nodes. Node 0 is the start, and word 0
is in no phrase.

Words are read one by one by the automaton of Aho and Corasick ("Efficient
string matching", 1975). The state after a word is the longest beginning of a
phrase that ends with this word. From it, links lead to all phrases that end
with the word.
"""

import numpy as np

from keras_nc.coding.kernels import inline
from keras_nc.coding.kernels import jit

LONGEST = 255  # words of a phrase: no window has more bytes

#: Columns of the table of nodes.
FAIL = 0  # the longest shorter node that the node ends with and that longer
# phrases begin with, or 0
PHRASE = 1  # the longest phrase that the node ends with: a node, or 0
NEXT = 2  # the longest of these that is shorter than the node, or 0
ID, COST = 3, 4  # of the node, if it is a phrase, else 0
WORDS = 5  # number of words
CONTINUES = 6  # whether longer phrases begin with the node
COLUMNS = 7


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
        The trie, a tuple of three arrays. The first is a hash table of edges,
        uint64 of shape (slots, 2). A slot holds an edge's key, with the parent
        node in the upper half and the word in the lower half, and the child.
        The second has the nodes, int32 of shape (nodes, COLUMNS). The third is
        the filter of `is_bond`, uint64.
    """
    capacity = 64
    while capacity < 2 * (words.size - ids.size):
        capacity *= 2
    edges = np.zeros((capacity, 2), np.uint64)
    bonds = np.zeros(capacity // 8, np.uint64)
    nodes = np.zeros((num_words + 1 + words.size, COLUMNS), np.int32)
    nodes[1 : num_words + 1, WORDS] = 1
    parents = np.zeros(nodes.shape[0], np.int32)
    last = np.zeros(nodes.shape[0], np.int32)
    fails = np.zeros(nodes.shape[0], np.int32)
    size = num_words + 1
    for p in range(ids.size):
        node = np.int64(words[offsets[p]])
        for k in range(offsets[p] + 1, offsets[p + 1]):
            slot = find_slot(edges, node, words[k])
            if edges[slot, 0] == 0:
                edges[slot, 0] = _key(node, words[k])
                edges[slot, 1] = size
                nodes[node, CONTINUES] = 1
                nodes[size, WORDS] = nodes[node, WORDS] + 1
                parents[size] = node
                last[size] = words[k]
                size += 1
            node = np.int64(edges[slot, 1])
            at, bit = _bond(bonds, words[k - 1], words[k])
            bonds[at] |= np.uint64(1) << bit
        nodes[node, ID] = ids[p]
        nodes[node, COST] = costs[p]
    nodes = nodes[:size].copy()
    trie = edges, nodes, bonds
    # Links lead to shorter nodes, so fill these first.
    for node in np.argsort(nodes[:, WORDS], kind="mergesort"):
        if parents[node]:
            fails[node] = next_node(
                trie, nodes[parents[node], FAIL], last[node]
            )
        fail = np.int64(fails[node])
        nodes[node, NEXT] = nodes[fail, PHRASE]
        nodes[node, PHRASE] = node if nodes[node, ID] else nodes[node, NEXT]
        nodes[node, FAIL] = (
            fail if nodes[fail, CONTINUES] else nodes[fail, FAIL]
        )
    return trie


@inline
def is_bond(bonds, word, after):
    """Return whether a phrase may have these two words in a row.

    0 is certain. 1 is right most of the time: the filter lets some pairs pass
    that no phrase has.
    """
    at, bit = _bond(bonds, word, after)
    return (bonds[at] >> bit) & np.uint64(1)


@inline
def _bond(bonds, word, after):
    """Return the place and the bit of two words in the filter."""
    h = _hash(word, after)
    at = (h >> np.uint64(38)) & np.uint64(bonds.size - 1)
    return at, (h >> np.uint64(32)) & np.uint64(63)


@inline
def _hash(node, word):
    # Two products that do not wait for each other.
    h = np.uint64(node) * np.uint64(0x9E3779B97F4A7C15)
    return h + np.uint64(word) * np.uint64(0xD6E8FEB86659FD93)


@inline
def first_slot(node, word, end):
    """Return the first slot where an edge may be, given the last slot."""
    return (_hash(node, word) >> np.uint64(36)) & end


@inline
def _key(node, word):
    return np.uint64(node) << np.uint64(32) | np.uint64(word)


@inline
def find_slot(edges, node, word):
    """Return the slot of an edge, or the free slot where it belongs."""
    end = np.uint64(edges.shape[0] - 1)
    key = _key(node, word)
    at = first_slot(node, word, end)
    while edges[at, 0] != 0 and edges[at, 0] != key:
        at = (at + np.uint64(1)) & end
    return at


@inline
def next_node(trie, node, word):
    """Return the longest beginning of a phrase after one more word."""
    edges, nodes, _ = trie
    while node:
        child = edges[find_slot(edges, node, word), 1]
        if child:
            return np.int64(child)
        node = np.int64(nodes[node, FAIL])
    return np.int64(word)


@jit
def other_cost(words, costs, trie, banned, best):
    """Return the least cost of some words without the phrase `banned`, an id.

    Args:
        words: int32 of shape (n,), as phrases number them.
        costs: int32 of shape (n,), of each word cut by itself.
        trie: see `build_phrases`.
        banned: int.
        best: int64 of shape (n + 1,), is overwritten.
    """
    _, nodes, _ = trie
    best[0] = 0
    node = np.int64(0)
    for j in range(words.size):
        word = np.int64(words[j])
        node = next_node(trie, node, word) if word else 0
        least = best[j] + np.int64(costs[j])
        phrase = nodes[node, PHRASE]
        while phrase:
            i = j + 1 - nodes[phrase, WORDS]
            if nodes[phrase, ID] != banned:
                least = min(least, best[i] + np.int64(nodes[phrase, COST]))
            phrase = nodes[phrase, NEXT]
        best[j + 1] = least
    return best[words.size]


@jit
def find_alive(n, words, trie, alive):
    """Find where phrases begin that may continue after n words.

    Args:
        n: int.
        words: int32 of shape (n,), the words as phrases number them.
        trie: see `build_phrases`.
        alive: int32 of shape (n + 1,), is filled: 1 if a phrase that begins
            at word j may continue after the n words; 2 if that is possible only
            with another last word; else 0.
    """
    nodes = trie[1]
    alive[: n + 1] = 0
    alive[n] = 1
    node = np.int64(0)
    for j in range(max(0, n - LONGEST), n):
        if j == n - 1:
            _mark(n - 1, node, nodes, 2, alive)
        node = next_node(trie, node, np.int64(words[j])) if words[j] else 0
    _mark(n, node, nodes, 1, alive)


@jit
def _mark(n, node, nodes, value, alive):
    """Mark where unfinished phrases begin that reach up to word n."""
    while node:
        if nodes[node, CONTINUES]:
            alive[n - nodes[node, WORDS]] = value
        node = np.int64(nodes[node, FAIL])
