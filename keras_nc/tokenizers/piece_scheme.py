"""Schemes whose ids are the pieces of a subword model, kept in one file."""

import abc
import hashlib
import os

import numpy as np

from keras_nc.coding.atomic import atomic_file
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import ids_of_bytes


class PieceScheme(Scheme):
    """Every id stands for some bytes, its piece, or is special.

    Args:
        content: bytes. The file of the subword model; `None` until assets are
            loaded.
        vocabulary_size: int. Only without content: what it will be.
        fingerprint: str. Only without content: what it will be.
    """

    #: What the file holds, in errors.
    content_name = "subword model"
    #: What the configuration calls the fingerprint.
    fingerprint_key = "fingerprint"

    def __init__(self, content, vocabulary_size, fingerprint):
        self._vocabulary_size = vocabulary_size
        self._expected = fingerprint
        self._content = None
        if content is not None:
            self._load(content)

    def _load(self, content):
        self._pieces = self.read(content)
        self._content = content
        self._vocabulary_size = len(self._pieces)

    @abc.abstractmethod
    def read(self, content):
        """Take a subword model, and give its pieces.

        Args:
            content: bytes of the file.

        Returns:
            A list of bytes by id, empty for special ids.

        Raises:
            ValueError: If the model does not keep text as it is.
        """

    @property
    def content(self):
        """Bytes of the file; an error if it is not loaded yet."""
        return self.require(self._content, self.content_name)

    @property
    def vocabulary_size(self):
        """Number of pieces and special ids."""
        return self._vocabulary_size

    @property
    def fingerprint(self):
        """Hex digest of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def layout(self):
        """Every id that stands for bytes is a code."""
        lengths = self.require(self.token_lengths, self.content_name)
        return TokenLayout.one_token(lengths > 0)

    @property
    def token_lengths(self):
        """Bytes of every piece."""
        if self._content is None:
            return None
        return np.array([len(piece) for piece in self._pieces], dtype="int32")

    def decode(self, ids, skip_special=False):
        """A look-up per piece."""
        lengths = self.require(self.token_lengths, self.content_name)
        ids = ids_of_bytes(ids, lengths, skip_special)
        return b"".join([self._pieces[i] for i in ids.tolist()])

    def get_config(self):
        """The vocabulary size and a fingerprint; the file is an asset."""
        return {
            "name": self.name,
            "vocabulary_size": self._vocabulary_size,
            self.fingerprint_key: self._expected or self.fingerprint,
        }

    def save_assets(self, directory):
        """Write the file."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self.content)

    def load_assets(self, directory):
        """Read the file and check that it is the expected one."""
        path = os.path.join(directory, self.file_assets[0])
        with open(path, "rb") as file:
            content = file.read()
        found = hashlib.sha256(content).hexdigest()
        if self._expected not in (None, found):
            raise ValueError(
                f"{path} must be the model that the configuration names, with "
                f"fingerprint {self._expected}. Received: a file with "
                f"fingerprint {found}. Restore the file that was saved with "
                "the configuration."
            )
        self._load(content)
