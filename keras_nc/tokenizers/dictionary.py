"""Tokens of a dictionary: byte strings, the longest that fits first."""

import itertools
import operator

import keras

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Codebook
from keras_nc.tokenizers.equal_info import EqualInfoScheme
from keras_nc.tokenizers.text import to_documents
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
from keras_nc.tokenizers.tokenizer import register_scheme


@register_scheme
class DictionaryScheme(EqualInfoScheme):
    """Byte strings chosen by their frequency, in the table of a codebook.

    No entropy model is behind it, but what encodes is the same: a table of
    byte strings with all single bytes, ids in lexicographic order. So
    everything that codebooks can do, prompts included, works here, too.
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

    def __init__(
        self, codebook=None, sequence_length=None, scheme=None, **kwargs
    ):
        super().__init__(
            scheme or DictionaryScheme(codebook),
            sequence_length=sequence_length,
            **kwargs,
        )

    @classmethod
    def from_words(cls, words, vocabulary_size, **kwargs):
        """Make a tokenizer of byte strings.

        Args:
            words: Iterable of different `bytes` or `str`, all 256 single bytes
                included.
            vocabulary_size: int. A power of two from 512 to 65,536, special
                ids included; ids that are left over stand for nothing.
            **kwargs: See the class.

        Returns:
            A `DictionaryTokenizer`.

        Raises:
            ValueError: If the size is no such power of two, or the words do
                not all differ, lack a byte, or are too many or too long.
        """
        vocabulary_size = check_vocabulary_size(vocabulary_size)
        words = sorted(to_documents(words)[0])
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
    """Give a dictionary's size as an int, or raise a ValueError."""
    vocabulary_size = operator.index(vocabulary_size)
    if vocabulary_size not in [2**bits for bits in range(9, 17)]:
        raise ValueError(
            "`vocabulary_size` must be a power of two from 512 to 65,536. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    return vocabulary_size


def _find_fault(words, most):
    """What keeps sorted words from being a dictionary, or `None`."""
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
