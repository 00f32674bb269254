"""M1: the language model over bytes."""

import keras

from keras_nc.models.byte_lm.byte_backbone import ByteBackbone
from keras_nc.models.byte_lm.byte_preprocessor import ByteCausalLMPreprocessor
from keras_nc.models.causal_lm import DecoderCausalLM


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
