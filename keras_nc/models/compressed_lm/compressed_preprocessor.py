"""The preprocessor of M2."""

import keras

from keras_nc.models.compressed_lm.compressed_backbone import CompressedBackbone
from keras_nc.models.compressed_lm.compressed_tokenizer import (
    CompressedTokenizer,
)
from keras_nc.models.preprocessor import DecoderCausalLMPreprocessor
from keras_nc.tokenizers import SchemeTokenizer


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedCausalLMPreprocessor(DecoderCausalLMPreprocessor):
    """Text to packed tokens of compressed text.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`, which is kept as it
            is, or a `Scheme`.
        sequence_length: int. Tokens per example; the paper's M2 has 512.
        **kwargs: See `DecoderCausalLMPreprocessor`.
    """

    backbone_cls = CompressedBackbone
    tokenizer_cls = CompressedTokenizer

    def __init__(self, tokenizer, sequence_length=512, **kwargs):
        if not isinstance(tokenizer, SchemeTokenizer):
            tokenizer = CompressedTokenizer(tokenizer)
        super().__init__(tokenizer, sequence_length, **kwargs)
