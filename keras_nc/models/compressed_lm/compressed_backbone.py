"""The body of M2."""

import keras

from keras_nc.models.decoder_backbone import DecoderBackbone
from keras_nc.models.presets import COMPRESSED_PRESETS
from keras_nc.models.presets import register_presets


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


register_presets(COMPRESSED_PRESETS, CompressedBackbone)
