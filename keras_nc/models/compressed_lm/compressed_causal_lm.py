"""M2: the language model over compressed text."""

import keras

from keras_nc.models.causal_lm import DecoderCausalLM
from keras_nc.models.compressed_lm.compressed_backbone import CompressedBackbone
from keras_nc.models.compressed_lm.compressed_preprocessor import (
    CompressedCausalLMPreprocessor,
)


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedCausalLM(DecoderCausalLM):
    """A language model over tokens of compressed text: M2.

    Args:
        backbone: A `CompressedBackbone`.
        preprocessor: A `CompressedCausalLMPreprocessor` or `None`.
        **kwargs: See `DecoderCausalLM`.

    Example:
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.entropy_models import UnigramModel
    >>> from keras_nc.tokenizers import EqualInfoTokenizer
    >>> codebook = Codebook.paper(
    ...     UnigramModel.from_text(b"to be or not to be"), window_bits=10
    ... )
    >>> preprocessor = CompressedCausalLMPreprocessor(
    ...     EqualInfoTokenizer(codebook), sequence_length=16
    ... )
    >>> backbone = CompressedBackbone(
    ...     1024, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> causal_lm = CompressedCausalLM(backbone, preprocessor)
    >>> causal_lm.generate(b"to b").startswith(b"to b")
    True
    """

    backbone_cls = CompressedBackbone
    preprocessor_cls = CompressedCausalLMPreprocessor
