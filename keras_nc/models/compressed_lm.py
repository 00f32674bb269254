"""M2: a language model over compressed text."""

import keras

from keras_nc.models.backbone import DecoderBackbone
from keras_nc.models.causal_lm import DecoderCausalLM
from keras_nc.models.preprocessor import DecoderCausalLMPreprocessor
from keras_nc.presets import COMPRESSED_LMS
from keras_nc.tokenizers import SchemeTokenizer
from keras_nc.tokenizers.presets import register_presets


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedBackbone(DecoderBackbone):
    """The decoder over tokens of compressed text.

    Args:
        vocabulary_size: int. The tokenizer's `vocabulary_size()`.
        **kwargs: See `DecoderBackbone`.

    Example:
    >>> backbone = CompressedBackbone(
    ...     4096, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> backbone.token_embedding.input_dim
    4096
    """


register_presets(COMPRESSED_LMS, CompressedBackbone)


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedTokenizer(SchemeTokenizer):
    """The tokenizer of a `CompressedBackbone`, with any scheme.

    keras-hub needs one tokenizer class per backbone class, so the configuration
    of this class holds the scheme (equal-info windows, bytes, SentencePiece).

    Args:
        scheme: A tokenizer of `keras_nc.tokenizers`, a `Scheme`, or a scheme's
            configuration.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> CompressedTokenizer(ByteTokenizer())("hi").tolist()
    [107, 108]
    """

    backbone_cls = CompressedBackbone

    def __init__(self, scheme, sequence_length=None, **kwargs):
        if isinstance(scheme, SchemeTokenizer):
            scheme = scheme.scheme
        super().__init__(
            scheme=scheme, sequence_length=sequence_length, **kwargs
        )


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedCausalLMPreprocessor(DecoderCausalLMPreprocessor):
    """Turn text into packed ids for M2, or prompts for exact generation.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`, which is used
            unchanged, or a `Scheme`.
        sequence_length: int. Tokens per example; the paper's M2 has 512.
        **kwargs: See `DecoderCausalLMPreprocessor`.
    """

    backbone_cls = CompressedBackbone
    tokenizer_cls = CompressedTokenizer

    def __init__(self, tokenizer, sequence_length=512, **kwargs):
        if not isinstance(tokenizer, SchemeTokenizer):
            tokenizer = CompressedTokenizer(tokenizer)
        super().__init__(tokenizer, sequence_length, **kwargs)


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
