"""A dictionary of frequent byte strings, and its training.

This is the simplest strong baseline: encoding takes the longest match.
"""

import itertools
import operator

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Codebook
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.trie import Trie
from keras_nc.tokenizers.equal_info import EqualInfoScheme
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: How much the dictionary may grow in a round. A round counts the strings of
#: the round before. Smaller steps gain less than 1% and take twice as long.
GROWTH = 1.5
REFINING_ROUNDS = 4


@register_scheme
class DictionaryScheme(EqualInfoScheme):
    """Byte strings chosen by their frequency, in the table of a codebook.

    There is no entropy model, but the table is that of a codebook: byte strings
    in lexicographic order, including all single bytes. So everything that
    codebooks can do works here too, such as continuing prompts.
    """

    name = "dictionary"
    file_assets = ["dictionary.npz"]


@keras.saving.register_keras_serializable(package="keras_nc")
class DictionaryTokenizer(SchemeTokenizer):
    """Tokenizer of a dictionary; make one with `train_dictionary`.

    Args:
        codebook: A `keras_nc.coding.Codebook` of the strings.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> words = [bytes([byte]) for byte in range(256)] + [b"sea", b"shells"]
    >>> tokenizer = DictionaryTokenizer.from_words(words, 512)
    >>> [tokenizer.id_to_token(i) for i in tokenizer("seashells")]
    [b'sea', b'shells']
    """

    scheme_cls = DictionaryScheme

    @classmethod
    def from_words(cls, words, vocabulary_size, **kwargs):
        """Make a tokenizer of byte strings.

        Args:
            words: Iterable of different `bytes` or `str`, all 256 single bytes
                included.
            vocabulary_size: int. A power of two from 512 to 65,536, special ids
                included. Unused ids stand for nothing.
            **kwargs: See the class.

        Returns:
            A `DictionaryTokenizer`.

        Raises:
            ValueError: If the size is not such a power of two; or if words
                repeat, lack a single byte, or are too many or too long.
        """
        vocabulary_size = check_vocabulary_size(vocabulary_size)
        words = sorted(as_documents(words))
        fault = _find_fault(words, vocabulary_size - NUM_SPECIAL)
        if fault:
            raise ValueError(
                "A dictionary must have different words of 1 to 255 bytes, "
                "all 256 single bytes among them, and at most "
                f"vocabulary_size - {NUM_SPECIAL}. Received: {fault}. Make "
                "one with `train_dictionary`."
            )
        codebook = Codebook(
            dict(enumerate(words, NUM_SPECIAL)),
            window_bits=(vocabulary_size - 1).bit_length(),
            max_window_bytes=max(map(len, words)),
            allocation="frequency",
        )
        return cls(codebook, **kwargs)

    @property
    def codebook(self):
        """The `keras_nc.coding.Codebook`."""
        return self.scheme.codebook


def check_vocabulary_size(vocabulary_size):
    """Return a dictionary's size as an int, or raise a ValueError."""
    vocabulary_size = operator.index(vocabulary_size)
    if vocabulary_size not in [2**bits for bits in range(9, 17)]:
        raise ValueError(
            "`vocabulary_size` must be a power of two from 512 to 65,536. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    return vocabulary_size


def _find_fault(words, most):
    """Return why sorted words are not a dictionary, or `None`."""
    for word, following in itertools.pairwise(words):
        if word == following:
            return f"{word!r} twice"
    lengths = [len(word) for word in words]
    if lengths.count(1) != 256:
        return f"{lengths.count(1)} single bytes"
    if min(lengths) < 1 or max(lengths) > 255:
        return f"words of {min(lengths)} to {max(lengths)} bytes"
    if len(words) > most:
        return f"{len(words):,} words for {most:,} ids"
    return None


def train_dictionary(documents, vocabulary_size=65_536, max_token_bytes=64):
    """Choose byte strings that cut documents into few tokens.

    The dictionary starts with the 256 bytes. Each round encodes the text, and
    counts strings and pairs of adjacent strings. Adding a pair saves one token
    per occurrence; dropping a string costs about one token per use. So each
    round adds the most frequent pairs, and drops strings that are rarer. The
    last rounds only replace strings. All counts are integers, so equal text
    gives equal dictionaries.

    Args:
        documents: `str` or `bytes`, any bytes, or an iterable of them.
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
    text, offsets = join_documents(documents)
    words = [bytes([byte]) for byte in range(256)]
    for size in _sizes(vocabulary_size - NUM_SPECIAL):
        words = _improve(words, size, text, offsets, max_token_bytes)
    return DictionaryTokenizer.from_words(words, vocabulary_size)


def _sizes(last):
    """Return the largest number of strings after each round."""
    sizes = [256]
    while sizes[-1] < last:
        sizes.append(min(last, int(sizes[-1] * GROWTH)))
    return sizes[1:] + [last] * REFINING_ROUNDS


def _improve(words, size, text, offsets, max_bytes):
    """Do one round: add frequent pairs, and drop rarer strings."""
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
        if word in known:  # the text was cut differently there
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
    """Return pairs of adjacent strings as `(left, right, count)`.

    The most frequent come first; ties are in lexicographic order.
    """
    left, right = places[:-1], places[1:]
    sizes = lengths.astype(np.int32)
    allowed = sizes[left] + sizes[right] <= max_bytes
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
