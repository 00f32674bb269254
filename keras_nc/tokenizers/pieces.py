"""Schemes whose ids are the pieces of a subword model."""

import abc
import itertools
import operator
import os
import re

import numpy as np

from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import check_fingerprint
from keras_nc.tokenizers.scheme import ids_of_bytes
from keras_nc.tokenizers.scheme import refuse_token


class PieceScheme(Scheme):
    """A scheme over the subword model of a library, stored in one file.

    Every id stands for the bytes of its piece, or is special. The library
    accepts only valid Unicode, and may not reproduce all of it. Text that it
    refuses or would change is encoded in single bytes, so any bytes round-trip.

    Args:
        content: bytes. The file of the subword model; `None` until assets are
            loaded.
        vocabulary_size: int. Only without content: its future size.
        fingerprint: str. Only without content: its future fingerprint.
    """

    #: How errors name the content of the file.
    content_name = "subword model"
    #: The name of the fingerprint in the configuration.
    fingerprint_key = "fingerprint"
    #: Matches, in one group, runs of characters that the library must not see.
    #: Invalid UTF-8 becomes lone surrogates, which no valid text holds.
    lost = re.compile("([\ud800-\udfff]+)")

    def __init__(self, content, vocabulary_size, fingerprint):
        if vocabulary_size is not None:
            vocabulary_size = operator.index(vocabulary_size)
        self._vocabulary_size = vocabulary_size
        self._expected = fingerprint
        self._content = None
        if content is not None:
            self._load(content)

    def _load(self, content):
        self._pieces, self._byte_ids = self.read(content)
        # If a single byte has two ids, text prefers the later one.
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        self._content = content
        self._vocabulary_size = len(self._pieces)

    @abc.abstractmethod
    def read(self, content):
        """Load a subword model.

        Args:
            content: bytes of the file.

        Returns:
            A pair: the pieces, a list of bytes by id, empty for special ids;
            and the ids of the 256 single bytes, a list.

        Raises:
            ValueError: If the model does not keep text as it is.
        """

    @abc.abstractmethod
    def encode_texts(self, texts):
        """Encode valid text with the library.

        Args:
            texts: A list of `str`.

        Returns:
            A list of lists of ids, one for each text.
        """

    @property
    def content(self):
        """Content of the file, bytes. Raises an error if not loaded yet."""
        return self.require(self._content, self.content_name)

    @property
    def vocabulary_size(self):
        """Number of pieces and special ids."""
        return self._vocabulary_size

    @property
    def fingerprint(self):
        """Hex digest of the file."""
        return fingerprint_of(self.content)

    @property
    def layout(self):
        """The `TokenLayout`: every id that stands for bytes is a code."""
        lengths = self.require(self.token_lengths, self.content_name)
        return TokenLayout.one_token(lengths > 0)

    @property
    def token_lengths(self):
        """Number of bytes of every piece; `None` before the file is loaded."""
        if self._content is None:
            return None
        return np.array([len(piece) for piece in self._pieces], dtype="int32")

    def encode_batch(self, documents):
        """Encode with the library; encode what it would change as bytes."""
        self.require(self._content, self.content_name)
        parts = [
            re.split(self.lost, document.decode(errors="surrogateescape"))
            for document in map(bytes, documents)
        ]
        # Splitting by one group alternates: parts at even places are valid
        # text.
        valid = [text for row in parts for text in row[::2] if text]
        encoded = iter(self.encode_texts(valid))
        rows = []
        for row in parts:
            ids = []
            for i, text in enumerate(row):
                raw = text.encode(errors="surrogateescape")
                if i % 2:
                    ids += self._in_bytes(raw)
                elif text:
                    found = next(encoded)
                    kept = b"".join([self._pieces[k] for k in found]) == raw
                    ids += found if kept else self._in_bytes(raw)
            rows.append(ids)
        ids = np.array(list(itertools.chain(*rows)), dtype="int32")
        return ids, np.cumsum([0, *map(len, rows)], dtype="int64")

    def _in_bytes(self, raw):
        return [self._byte_ids[byte] for byte in raw]

    def decode(self, ids, skip_special=False):
        """Look up every piece."""
        lengths = self.require(self.token_lengths, self.content_name)
        ids = ids_of_bytes(ids, lengths, skip_special)
        return b"".join([self._pieces[i] for i in ids.tolist()])

    def token_bytes(self, token_id):
        """Return a piece, by a look-up."""
        self.require(self._content, self.content_name)
        piece = self._pieces[token_id]
        return piece or super().token_bytes(token_id)

    def token_id(self, token):
        """Return the id of a piece, by a look-up."""
        self.require(self._content, self.content_name)
        if not token or token not in self._ids:
            refuse_token(token)
        return self._ids[token]

    def get_config(self):
        """Return the vocabulary's size and a fingerprint."""
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
        check_fingerprint(path, self._expected, fingerprint_of(content))
        self._load(content)
