"""The preprocessor of M1."""

import keras

from keras_nc.models.byte_lm.byte_backbone import ByteBackbone
from keras_nc.models.byte_lm.byte_tokenizer import ByteLMTokenizer
from keras_nc.models.preprocessor import DecoderCausalLMPreprocessor


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteCausalLMPreprocessor(DecoderCausalLMPreprocessor):
    """Text to packed bytes.

    Args:
        tokenizer: A `ByteLMTokenizer`, made if `None`.
        sequence_length: int. Tokens per example; the paper's M1 has 1,024.
        **kwargs: See `DecoderCausalLMPreprocessor`.

    Example:
    >>> preprocessor = ByteCausalLMPreprocessor(sequence_length=4)
    >>> x, y, weight = preprocessor("hi")
    >>> [int(i) for i in x["token_ids"]], [int(i) for i in y]
    ([1, 107, 108, 2], [107, 108, 2, 0])
    """

    backbone_cls = ByteBackbone
    tokenizer_cls = ByteLMTokenizer

    def __init__(self, tokenizer=None, sequence_length=1024, **kwargs):
        super().__init__(
            tokenizer or ByteLMTokenizer(), sequence_length, **kwargs
        )
