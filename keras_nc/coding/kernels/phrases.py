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
from keras_nc.coding.kernels.word_cuts import COST as WORD_COST
from keras_nc.coding.kernels.word_cuts import COST_BITS as WORD_COST_BITS
from keras_nc.coding.kernels.word_cuts import prefetch

UNREACHED = np.iinfo(np.int64).max
LONGEST = 255  # words of a phrase: no window has more bytes

#: Columns of the table of nodes.
FAIL = 0  # the longest beginning of a phrase that the node ends with
PHRASE = 1  # the longest phrase that the node ends with: a node, or 0
NEXT = 2  # the longest of these that is shorter than the node, or 0
ID, COST = 3, 4  # of the node, if it is a phrase, else 0
WORDS = 5  # number of words
CONTINUES = 6  # whether longer phrases begin with the node
COLUMNS = 7

#: Where the parts of an edge's value begin; see `_edge_value`.
_GOES_ON, _CHILD = np.uint64(32), np.uint64(33)
# Unsigned indices save a check for negative ones.
_ONE = np.uint64(1)
_PHRASE, _COST = np.uint64(0xFFFFFFFF), np.uint64(0xFFFF)

#: See `find_phrases` and `join_phrases`. They take at most MOST_WORDS words, of
#: at most as many bytes. A byte costs less than 2^16, so a cost needs 30 bits.
NEAR = 4
NONE = np.uint64(1 << 62)
COST_AT, START_AT = np.uint64(30), np.uint64(16)
MOST_WORDS = 1 << 14


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
        node in the upper half and the word in the lower half, and its value;
        see `_edge_value`. The second has the nodes, int32 of shape (nodes,
        COLUMNS). The third is the filter of `is_bond`, uint64.
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
                edges[slot, 1] = np.uint64(size) << _CHILD
                nodes[node, CONTINUES] = 1
                nodes[size, WORDS] = nodes[node, WORDS] + 1
                parents[size] = node
                last[size] = words[k]
                size += 1
            node = np.int64(edges[slot, 1] >> _CHILD)
            at, bit = _bond(bonds, words[k - 1], words[k])
            bonds[at] |= np.uint64(1) << bit
        nodes[node, ID] = ids[p]
        nodes[node, COST] = costs[p]
    nodes = nodes[:size].copy()
    trie = edges, nodes, bonds
    for slot in range(capacity):
        if edges[slot, 0]:
            edges[slot, 1] = _edge_value(nodes, edges[slot, 1] >> _CHILD)
    # Links lead to shorter nodes, so fill these first.
    for node in np.argsort(nodes[:, WORDS], kind="mergesort"):
        if parents[node]:
            fail = np.int64(nodes[parents[node], FAIL])
            nodes[node, FAIL] = next_node(trie, fail, last[node])
        nodes[node, NEXT] = nodes[nodes[node, FAIL], PHRASE]
        nodes[node, PHRASE] = node if nodes[node, ID] else nodes[node, NEXT]
    return trie


@inline
def _edge_value(nodes, child):
    """Return the value of an edge: all that lookups need, in one number.

    The lowest 16 bits are the child's cost as a phrase, the next 16 its id. One
    bit says whether longer phrases begin with the child. The rest is the child.
    Ids may need more bits while a codebook is built: then read `nodes`.
    """
    node = nodes[child]
    return (
        child << _CHILD
        | np.uint64(node[CONTINUES]) << _GOES_ON
        | np.uint64(node[ID] & 0xFFFF) << np.uint64(16)
        | np.uint64(node[COST])
    )


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
def _find(edges, node, word):
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
        child = edges[_find(edges, node, word), 1] >> _CHILD
        if child:
            return np.int64(child)
        node = np.int64(nodes[node, FAIL])
    return np.int64(word)


@jit
def find_phrases(n, words, trie, lists, near, heads, far, parts):
    """Find all phrases in a block of words.

    The first pass finds the phrases of two words, the next those of three, and
    so on. So the lookups of one pass do not wait for each other, and each row
    of the hash table is fetched before it is read.

    Args:
        n: int.
        words: int32 of shape (n,), the words as phrases number them.
        trie: see `build_phrases`.
        lists: four arrays of shape (n,) to work in: three of uint64, a uint8.
        near: uint64 of shape (n * NEAR,), is filled: for each word the phrases
            of 2 to NEAR + 1 words that begin with it, or NONE. A phrase is one
            number, with its cost from bit COST_AT on, and its id below.
        heads: int32 of shape (n,), is filled: 1 plus the index in `far` of a
            longer phrase that begins with the word, or 0.
        far: uint64, is filled with the longer phrases.
        parts: int32 of shape (phrases, 2), is filled: for each phrase in `far`,
            its number of words, and 1 plus the index of another one that begins
            with the same word, or 0.

    Returns:
        The number of longer phrases, or -1 if they do not fit in `far`.
    """
    edges, _, bonds = trie
    firsts, keys, places, joins = lists
    end = np.uint64(edges.shape[0] - 1)
    for k in range(n * NEAR):
        near[k] = NONE
    for k in range(n):
        heads[k] = 0
    count = np.uint64(0)
    for k in range(np.uint64(n - 1)):
        word, after = words[k], words[k + _ONE]
        both = np.uint64((word != 0) & (after != 0))
        joins[k] = is_bond(bonds, word, after) & both
        firsts[count] = k
        keys[count] = _key(word, after)
        places[count] = first_slot(word, after, end)
        count += joins[k]
    joins[n - 1] = 0
    for m in range(count):
        prefetch(edges, places[m])
    longer = 0
    size = np.uint64(2)
    while count:
        left = np.uint64(0)
        for m in range(count):
            k, key, place = firsts[m], keys[m], places[m]
            while edges[place, 0] != key and edges[place, 0] != 0:
                place = (place + _ONE) & end
            # The value of a free place is 0.
            value = edges[place, 1]
            phrase = value & _PHRASE
            found = (phrase & _COST) << COST_AT | phrase >> np.uint64(16)
            if size < NEAR + 2:
                at = k * np.uint64(NEAR) + size - np.uint64(2)
                near[at] = found if phrase else NONE
            elif phrase:
                if longer == far.size:
                    return -1
                far[longer] = found
                parts[longer, 0] = size
                parts[longer, 1] = heads[k]
                longer += 1
                heads[k] = longer
            child = value >> _CHILD
            goes_on = (value >> _GOES_ON) & joins[k + size - _ONE]
            firsts[left] = k
            keys[left] = _key(child, words[k + size])
            places[left] = first_slot(child, words[k + size], end)
            prefetch(edges, places[left])
            left += goes_on & _ONE
        count = left
        size += _ONE
    return longer


@jit
def join_phrases(n, values, near, heads, far, parts, best):
    """Find the cheapest cuts of the beginnings of n words.

    Args:
        n: int, at most MOST_WORDS.
        values: uint64 of shape (n,), of words; see `kernels.word_cuts`.
        near: see `find_phrases`.
        heads: the same.
        far: the same.
        parts: the same.
        best: uint64 of shape (n + NEAR + 1,), is filled. `best[j]` describes
            the best cut of the first j words. From bit COST_AT on, it has the
            cost. From bit START_AT on, it has the place where the last part
            begins. The lowest bits are the id of this part if it is a phrase,
            else 0. So the least number is the cheapest cut and, of several,
            the one with the earliest start of its last part.
    """
    for j in range(n + NEAR + 1):
        best[j] = NONE
    best[0] = 0
    for k in range(np.uint64(n)):
        before = (best[k] >> COST_AT << COST_AT) | k << START_AT
        own = (values[k] >> WORD_COST & WORD_COST_BITS) << COST_AT
        best[k + _ONE] = min(best[k + _ONE], before + own)
        for m in range(np.uint64(NEAR)):
            j = k + m + np.uint64(2)
            best[j] = min(best[j], before + near[k * np.uint64(NEAR) + m])
        phrase = heads[k]
        while phrase:
            j = k + np.uint64(parts[phrase - 1, 0])
            best[j] = min(best[j], before + far[phrase - 1])
            phrase = parts[phrase - 1, 1]


@jit
def cut_words(n, words, costs, trie, best, back, back_ids):
    """Find the cheapest cuts of the beginnings of n words.

    Args:
        n: int.
        words: int32 of shape (n,), the words as phrases number them.
        costs: int32 of shape (n,), of each word cut by itself.
        trie: see `build_phrases`.
        best: int64 of shape (n + 1,), is filled: at j, the least cost of the
            first j words.
        back: int32 of shape (n + 1,), is filled: where the last part of this
            cut begins. Of equally good parts, it is the longest.
        back_ids: int32 of shape (n + 1,), is filled: the id of this part if it
            is a phrase, or 0 if it is a word by itself.
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
