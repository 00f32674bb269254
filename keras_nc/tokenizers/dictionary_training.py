"""A dictionary of frequent byte strings: the plainest strong baseline."""

import operator

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding._text import join_documents
from keras_nc.coding.trie import Trie
from keras_nc.tokenizers.dictionary import DictionaryTokenizer
from keras_nc.tokenizers.dictionary import check_vocabulary_size

#: Counts are those of one round's parse, so few strings may join in a round;
#: smaller steps gain less than 1% and take twice as long.
GROWTH = 1.5
REFINING_ROUNDS = 4


def train_dictionary(documents, vocabulary_size=65_536, max_token_bytes=64):
    """Choose byte strings that cut documents into few tokens.

    The dictionary begins with the 256 bytes. A round cuts the text, longest
    string first, and counts strings and pairs of neighbours. A pair that
    becomes a string saves as many tokens as it occurs; a string that goes
    costs about as many as it was used. So the most frequent pairs come in, and
    rarer strings give way to them, down to the last rounds, which only swap.
    All is decided in integers: equal text gives equal dictionaries.

    Args:
        documents: Iterable of bytes, any bytes.
        vocabulary_size: int. Ids, special ones included: a power of two from
            512 to 65,536.
        max_token_bytes: int. Bytes that a string has at most, 1 to 255.

    Returns:
        A `DictionaryTokenizer`. With little text, not every id is used.

    Raises:
        ValueError: If an argument is out of range.

    Example:
    >>> text = b"She sells sea shells by the sea shore. " * 20
    >>> tokenizer = train_dictionary([text], 512)
    >>> assert tokenizer.detokenize(tokenizer("sea shore")) == b"sea shore"
    """
    vocabulary_size = check_vocabulary_size(vocabulary_size)
    max_token_bytes = operator.index(max_token_bytes)
    if not 1 <= max_token_bytes <= 255:
        raise ValueError(
            "`max_token_bytes` must be from 1 to 255. Received: "
            f"max_token_bytes={max_token_bytes}"
        )
    text, offsets = join_documents(list(documents))
    words = [bytes([byte]) for byte in range(256)]
    for size in _sizes(vocabulary_size - NUM_SPECIAL):
        words = _improve(words, size, text, offsets, max_token_bytes)
    return DictionaryTokenizer.from_words(words, vocabulary_size)


def _sizes(last):
    """How many strings each round may leave."""
    sizes = [256]
    while sizes[-1] < last:
        sizes.append(min(last, int(sizes[-1] * GROWTH)))
    return sizes[1:] + [last] * REFINING_ROUNDS


def _improve(words, size, text, offsets, max_bytes):
    """One round: frequent pairs come in, rarer strings give way to them."""
    lengths = np.array([len(word) for word in words], np.uint8)
    table = np.concatenate([np.zeros(NUM_SPECIAL, np.uint8), lengths])
    trie = Trie(table, np.frombuffer(b"".join(words), np.uint8))
    ids, id_offsets = trie.encode(text, offsets)
    places = ids - ids.dtype.type(NUM_SPECIAL)
    uses = np.bincount(places, minlength=len(words))
    # Single bytes stay, so that any bytes can be encoded.
    long = np.flatnonzero(lengths > 1)
    rarest = iter(long[np.argsort(uses[long], kind="stable")].tolist())
    candidates = _frequent_pairs(places, id_offsets, lengths, max_bytes, size)
    known, dropped, added = set(words), set(), []
    for left, right, count in candidates:
        word = words[left] + words[right]
        if word in known:  # the parse reached it by another way
            continue
        if len(added) >= size - len(words):
            place = next(rarest, None)
            if place is None or uses[place] >= count:
                break
            dropped.add(place)
        known.add(word)
        added.append(word)
    kept = [word for i, word in enumerate(words) if i not in dropped]
    return sorted(kept + added)


def _frequent_pairs(places, offsets, lengths, max_bytes, limit):
    """Pairs of neighbours in one document, `(left, right, count)`s.

    The most frequent first; ties in lexicographic order.
    """
    left, right = places[:-1], places[1:]
    whole = lengths.astype(np.int32)
    allowed = whole[left] + whole[right] <= max_bytes
    # No pair crosses from one document to the next.
    ends = offsets[(offsets > 0) & (offsets < len(places))]
    allowed[ends - 1] = False
    pairs = (left.astype(np.uint32) << 16 | right)[allowed]
    pairs.sort()
    firsts = np.flatnonzero(np.diff(pairs, prepend=~pairs[:1]))
    counts = np.diff(firsts, append=pairs.size)
    best = np.argsort(-counts, kind="stable")[:limit]
    best = best[counts[best] > 1]
    pairs = pairs[firsts[best]]
    columns = (pairs >> 16, pairs & 0xFFFF, counts[best])
    return zip(*(column.tolist() for column in columns), strict=True)
