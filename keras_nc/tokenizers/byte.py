"""Bytes as tokens: id = 3 + byte."""

import os

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import check_rule
from keras_nc.tokenizers.scheme import ids_of_bytes
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer


@register_scheme
class ByteScheme(Scheme):
    """One token per byte: the tokens of M1, and the paper's first baseline."""

    name = "bytes"
    # keras-hub presets need an asset. Loading checks its content.
    file_assets = ["byte_scheme.txt"]
    _asset = "id = 3 + byte; 0 pad, 1 start, 2 end\n"

    @property
    def vocabulary_size(self):
        """Number of ids: 256 bytes and the special ids."""
        return NUM_SPECIAL + 256

    @property
    def fingerprint(self):
        """Hex digest of the rule."""
        return fingerprint_of(self._asset)

    @property
    def layout(self):
        """The `TokenLayout`: every id except the special ones is a code."""
        return TokenLayout.one_token(self.token_lengths > 0)

    @property
    def token_lengths(self):
        """Number of bytes of every id: 1, or 0 for special ids."""
        lengths = np.ones(self.vocabulary_size, dtype="int32")
        lengths[:NUM_SPECIAL] = 0
        return lengths

    def encode_batch(self, documents):
        """Add 3 to every byte."""
        lengths = [len(document) for document in documents]
        ids = np.frombuffer(b"".join(documents), dtype="uint8")
        offsets = np.cumsum([0, *lengths], dtype="int64")
        return ids.astype("int32") + NUM_SPECIAL, offsets

    def encode_joined(self, text, offsets):
        """Add 3 to every byte."""
        return text.astype("int32") + NUM_SPECIAL, offsets

    def decode(self, ids, skip_special=False):
        """Subtract 3 from every id."""
        ids = ids_of_bytes(ids, self.token_lengths, skip_special)
        return (ids - NUM_SPECIAL).astype("uint8").tobytes()

    def save_assets(self, directory):
        """Write the rule."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self._asset.encode())

    def load_assets(self, directory):
        """Check that the file holds this rule."""
        path = os.path.join(directory, self.file_assets[0])
        check_rule(path, self._asset.encode())


@keras.saving.register_keras_serializable(package="keras_nc")
class ByteTokenizer(SchemeTokenizer):
    """Tokenizer of bytes: id = 3 + byte.

    Args:
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> tokenizer = ByteTokenizer()
    >>> tokenizer("hi").tolist()
    [107, 108]
    >>> tokenizer.detokenize([107, 108])
    b'hi'
    """

    scheme_cls = ByteScheme
