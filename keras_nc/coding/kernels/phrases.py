"""Numba kernels that find the cheapest cut of numbered words into phrases.

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

UNREACHED = np.iinfo(np.int64).max
LONGEST = 255  # words of a phrase: no window has more bytes

#: Columns of the table of nodes.
FAIL = 0  # the longest beginning of a phrase that the node ends with
PHRASE = 1  # the longest phrase that ends here: a node, or 0
NEXT = 2  # the longest shorter phrase that the node ends with, or 0
ID, COST = 3, 4  # of the phrase, if the node is one, else 0
WORDS = 5  # number of words
CONTINUES = 6  # whether phrases go on after the node
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
        uint64 of shape (slots, 2): one number with the parent node in its upper
        and the word in its lower half, and the child node. Then the nodes,
        int32 of shape (nodes, COLUMNS), and the filter of `is_bond`, uint64.
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
    size = num_words + 1
    for p in range(ids.size):
        node = np.int64(words[offsets[p]])
        for k in range(offsets[p] + 1, offsets[p + 1]):
            slot = _find(edges, node, words[k])
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
            fail = np.int64(nodes[parents[node], FAIL])
            nodes[node, FAIL] = next_node(trie, fail, last[node])
        nodes[node, NEXT] = nodes[nodes[node, FAIL], PHRASE]
        nodes[node, PHRASE] = node if nodes[node, ID] else nodes[node, NEXT]
    return trie


@inline
def is_bond(bonds, word, after):
    """Return whether a phrase may have these two words in a row.

    0 is certain. 1 is mostly right: the filter may be wrong. Both words must be
    in phrases.
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
def _key(node, word):
    return np.uint64(node) << np.uint64(32) | np.uint64(word)


@inline
def _find(edges, node, word):
    """Return the slot of an edge, or the free slot where it belongs."""
    end = np.uint64(edges.shape[0] - 1)
    key = _key(node, word)
    at = (_hash(node, word) >> np.uint64(36)) & end
    while edges[at, 0] != 0 and edges[at, 0] != key:
        at = (at + np.uint64(1)) & end
    return at


@inline
def next_node(trie, node, word):
    """Return the longest beginning of a phrase after one more word."""
    edges, nodes, _ = trie
    while node:
        child = edges[_find(edges, node, word), 1]
        if child:
            return np.int64(child)
        node = np.int64(nodes[node, FAIL])
    return np.int64(word)


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
            Of equally good parts this is the longest.
        back_ids: int32 of shape (n + 1,), is filled: the id of that phrase, or
            0 for a word by itself.
    """
    _cut(n, words, costs, trie, 0, best, back, back_ids)


@jit
def other_cost(words, costs, trie, banned, best):
    """Return the least cost of some words without the phrase `banned`, an id.

    `best` is int64 of shape (n + 1,) and is overwritten.
    """
    back = np.empty(words.size + 1, np.int32)
    _cut(words.size, words, costs, trie, banned, best, back, back)
    return best[words.size]


@inline
def _cut(n, words, costs, trie, banned, best, back, back_ids):
    _, nodes, bonds = trie
    best[0] = 0
    node = np.int64(0)
    for j in range(n):
        word = np.int64(words[j])
        if node and word and is_bond(bonds, words[j - 1], word):
            node = next_node(trie, node, word)
        else:
            node = word
        least = UNREACHED
        start = j
        least_id = np.int32(0)
        phrase = nodes[node, PHRASE]
        while phrase:
            i = j + 1 - nodes[phrase, WORDS]
            cost = best[i] + np.int64(nodes[phrase, COST])
            if cost < least and nodes[phrase, ID] != banned:
                least = cost
                start = i
                least_id = nodes[phrase, ID]
            phrase = nodes[phrase, NEXT]
        cost = best[j] + np.int64(costs[j])
        if cost < least:
            least = cost
            start = j
            least_id = np.int32(0)
        best[j + 1] = least
        back[j + 1] = start
        back_ids[j + 1] = least_id


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
