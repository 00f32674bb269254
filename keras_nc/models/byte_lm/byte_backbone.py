"""The body of M1."""

import keras

from keras_nc.models.decoder_backbone import DecoderBackbone
from keras_nc.models.presets import BYTE_PRESETS
from keras_nc.models.presets import register_presets

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


register_presets(BYTE_PRESETS, ByteBackbone)
