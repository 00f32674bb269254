"""M1: a language model over bytes, which drives the coding."""

import keras

from keras_nc.models.backbone import DecoderBackbone
from keras_nc.models.causal_lm import DecoderCausalLM
from keras_nc.models.preprocessor import DecoderCausalLMPreprocessor
from keras_nc.presets import BYTE_LMS
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers.presets import register_presets

#: 256 bytes and three special ids.
BYTE_VOCABULARY_SIZE = 259


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteBackbone(DecoderBackbone):
    """The decoder over bytes.

    Args:
        vocabulary_size: int. 259: 256 bytes and three special ids.
        **kwargs: See `DecoderBackbone`.

    Example:
    >>> import numpy as np
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> ids = np.array([[1, 107, 108]])
    >>> hidden = backbone({"token_ids": ids, "padding_mask": ids > 0})
    >>> tuple(hidden.shape)
    (1, 3, 8)
    """

    def __init__(self, vocabulary_size=BYTE_VOCABULARY_SIZE, **kwargs):
        if kwargs.get("embedding", "plain") != "plain":
            raise ValueError(
                "Single bytes have no n-grams in common, so M1 has a plain "
                f"table. Received: embedding={kwargs['embedding']!r}. Leave it "
                "out, or use a `CompressedBackbone`."
            )
        if vocabulary_size != BYTE_VOCABULARY_SIZE:
            raise ValueError(
                f"Bytes have {BYTE_VOCABULARY_SIZE} ids. Received: "
                f"vocabulary_size={vocabulary_size}. Leave it out, or use a "
                "`CompressedBackbone`."
            )
        super().__init__(vocabulary_size, **kwargs)

    @classmethod
    def from_size(cls, size, vocabulary_size=BYTE_VOCABULARY_SIZE, **kwargs):
        """Create an untrained M1; see `DecoderBackbone.from_size`."""
        return super().from_size(size, vocabulary_size, **kwargs)


register_presets(BYTE_LMS, ByteBackbone)


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteLMTokenizer(ByteTokenizer):
    """`ByteTokenizer`, found by `from_preset` for `ByteBackbone`."""

    backbone_cls = ByteBackbone


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteCausalLMPreprocessor(DecoderCausalLMPreprocessor):
    """Text to packed bytes.

    Args:
        tokenizer: A `ByteLMTokenizer`; a new one if `None`.
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


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteCausalLM(DecoderCausalLM):
    """A byte-level language model: M1, and the paper's byte baseline.

    Args:
        backbone: A `ByteBackbone`.
        preprocessor: A `ByteCausalLMPreprocessor` or `None`.
        **kwargs: See `DecoderCausalLM`.

    Example:
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> causal_lm = ByteCausalLM(backbone, ByteCausalLMPreprocessor())
    >>> causal_lm.generate("Once upon", max_length=16).startswith("Once upon")
    True
    """

    backbone_cls = ByteBackbone
    preprocessor_cls = ByteCausalLMPreprocessor
