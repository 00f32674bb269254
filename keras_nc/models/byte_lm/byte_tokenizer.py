"""The tokenizer of M1's presets."""

import keras

from keras_nc.models.byte_lm.byte_backbone import ByteBackbone
from keras_nc.tokenizers import ByteTokenizer


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteLMTokenizer(ByteTokenizer):
    """`ByteTokenizer`, found by `from_preset` for `ByteBackbone`."""

    backbone_cls = ByteBackbone
