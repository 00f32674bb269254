"""Equal-info windows of more than 16 bits as tokens."""

import keras

from keras_nc.tokenizers.live_window_scheme import LiveWindowScheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer


@keras.saving.register_keras_serializable(package="keras_nc")
class LiveWindowTokenizer(SchemeTokenizer):
    """Tokenizer of equal-info windows of 24 to 128 bits, M1 in the loop.

    The windows of the paper (arXiv 2404.03626, section 3.3) for which no table
    is small enough: the entropy model runs while coding. Any bytes are encoded
    and decoded exactly, **by the same software on the same hardware**: both
    ends must compute the same probabilities, bit for bit. Decoding with another
    model is refused by its fingerprint. A result that differs all the same is
    refused by the checksum: each document ends with the CRC-32 of its bytes,
    in `32 / N` tokens, most significant piece first.

    An id is 3 + a piece of N bits, most significant first. With `W` = 24 and
    `N` = 16 tokens cross windows, and the last piece of a document's windows
    is padded with zero bits.

    Args:
        model: An `EntropyModel` that can be saved: a `ByteLMModel`,
            `NGramModel` or `UnigramModel`.
        window_bits: int. `W`: 24, 32, 40, 48, 56, 64 or 128.
        token_bits: int. `N`: 8, or 16 if that divides `W` or `W` is 24.
        cache: A `keras_nc.coding.PrefixCache`, or `None`: frequencies of
            prefixes for which the model need not be asked.
        checksum: bool. Whether documents end with a checksum. Rows that are
            cut can only be decoded without.
        verify: bool. Whether to decode at once what was encoded, and compare.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `LiveWindowScheme` for `max_window_bytes` and
            `batch_size`, and `SchemeTokenizer`.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"to be or not to be")
    >>> tokenizer = LiveWindowTokenizer(model, window_bits=32, token_bits=8)
    >>> ids = tokenizer("to be")  # a window and a checksum, 4 ids each
    >>> ids.shape, tokenizer.detokenize(ids)
    ((8,), b'to be')
    """

    scheme_cls = LiveWindowScheme

    def whole_length(self):
        """Ids of the whole windows that fit `sequence_length`."""
        return self.scheme.whole_length(self.sequence_length)
