"""The tokenizer of M2's presets."""

import keras

from keras_nc.models.compressed_lm.compressed_backbone import CompressedBackbone
from keras_nc.tokenizers import SchemeTokenizer


@keras.saving.register_keras_serializable(package="keras_nc")
class CompressedTokenizer(SchemeTokenizer):
    """Any scheme, found by `from_preset` for `CompressedBackbone`.

    keras-hub wants one tokenizer class per backbone class, so this one carries
    its scheme (equal-info windows, bytes, SentencePiece) in its configuration.

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
