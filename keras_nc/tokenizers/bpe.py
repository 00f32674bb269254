"""Byte-level BPE of the `tokenizers` library as a baseline."""

import hashlib
import itertools
import json
import os
import re

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.atomic import atomic_file
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import ids_of_bytes
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
from keras_nc.tokenizers.tokenizer import register_scheme

#: What invalid UTF-8 becomes in a `str`; the library takes valid text only.
INVALID = re.compile("([\ud800-\udfff]+)")


def _byte_characters():
    """The character that stands for each byte inside the library.

    Bytes that are printable in Latin-1 stand for themselves; the others get
    the characters from 256 on, in their order.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = itertools.count(256)
    return [chr(b if b in printable else next(others)) for b in range(256)]


BYTE_OF_CHARACTER = {c: byte for byte, c in enumerate(_byte_characters())}


@register_scheme
class BPEScheme(Scheme):
    """Merges of pairs of bytes; any bytes are encoded and come back.

    Invalid UTF-8, which the library does not take, goes into single bytes.
    An id is 3 + the library's.

    Args:
        model: str. A byte-level BPE in the library's JSON, see `train_bpe`.
            `None` until assets are loaded.
        vocabulary_size: int. Only without a model: what it will have.
        model_fingerprint: str. Only without a model: what it will have.

    Raises:
        ValueError: If the model does not keep text as it is.
    """

    name = "bpe"
    file_assets = ["bpe.json"]

    def __init__(
        self, model=None, vocabulary_size=None, model_fingerprint=None
    ):
        self._vocabulary_size = vocabulary_size
        self._expected = model_fingerprint
        self._model = None
        if model is not None:
            self._load(model)

    def _load(self, model):
        import tokenizers

        try:
            config = json.loads(model)
            self._tokenizer = tokenizers.Tokenizer.from_str(model)
        except Exception as error:  # the library raises no narrower class
            raise ValueError(
                "`model` must be a tokenizer in the JSON of the `tokenizers` "
                f"library. Received: {len(model)} characters that it refuses "
                f"({error}). Make it with `train_bpe`."
            ) from error
        self._pieces = _table(config)
        self._byte_ids = [0] * 256
        for i, piece in enumerate(self._pieces):
            if len(piece) == 1:
                self._byte_ids[piece[0]] = i
        self._model = model
        self._vocabulary_size = len(self._pieces)

    @property
    def model(self):
        """The model's JSON; an error if it is not loaded yet."""
        return self.require(self._model, "BPE model")

    @property
    def tokenizer(self):
        """The library's own object; an error if it is not loaded yet."""
        self.require(self._model, "BPE model")
        return self._tokenizer

    @property
    def vocabulary_size(self):
        """Number of pieces and special ids."""
        return self._vocabulary_size

    @property
    def fingerprint(self):
        """Hex digest of the model."""
        return hashlib.sha256(self.model.encode()).hexdigest()

    @property
    def layout(self):
        """Every id but the special ones is a code."""
        lengths = self.require(self.token_lengths, "BPE model")
        return TokenLayout.one_token(lengths > 0)

    @property
    def token_lengths(self):
        """Bytes of every piece."""
        if self._model is None:
            return None
        return np.array([len(piece) for piece in self._pieces], dtype="int32")

    def encode_batch(self, documents):
        """The library on valid text, single bytes for the rest."""
        encode = self.tokenizer.encode_batch_fast
        # Invalid bytes become lone surrogates, which no valid text holds.
        parts = [
            re.split(INVALID, bytes(document).decode(errors="surrogateescape"))
            for document in documents
        ]
        # Splitting by one group alternates: even places are valid text.
        valid = [text for row in parts for text in row[::2]]
        encodings = iter(encode(valid))
        rows = []
        for row in parts:
            ids = []
            for i, text in enumerate(row):
                if i % 2:
                    raw = text.encode(errors="surrogateescape")
                    ids += [self._byte_ids[byte] for byte in raw]
                else:
                    ids += [NUM_SPECIAL + k for k in next(encodings).ids]
            rows.append(ids)
        ids = np.array(list(itertools.chain(*rows)), dtype="int32")
        return ids, np.cumsum([0, *map(len, rows)], dtype="int64")

    def decode(self, ids, skip_special=False):
        """A look-up per piece."""
        lengths = self.require(self.token_lengths, "BPE model")
        ids = ids_of_bytes(ids, lengths, skip_special)
        return b"".join([self._pieces[i] for i in ids.tolist()])

    def get_config(self):
        """The vocabulary size and a fingerprint; the model is an asset."""
        return {
            "name": self.name,
            "vocabulary_size": self._vocabulary_size,
            "model_fingerprint": self._expected or self.fingerprint,
        }

    def save_assets(self, directory):
        """Write the model."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self.model.encode())

    def load_assets(self, directory):
        """Read the model and check that it is the expected one."""
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
        self._load(content.decode())


def _table(config):
    """Bytes of every id, special ids included; refuses what loses text."""
    split = config.get("pre_tokenizer") or {}
    model = config["model"]
    exact = (
        model["type"] == "BPE"
        and split.get("type") == "ByteLevel"
        and not split["add_prefix_space"]
        and not config.get("normalizer")
        and not config.get("post_processor")
        and not config.get("added_tokens")
        and not config.get("truncation")
        and not config.get("padding")
    )
    vocabulary = model["vocab"] if exact else {}
    if not BYTE_OF_CHARACTER.keys() <= vocabulary.keys():
        raise ValueError(
            "The model must be a BPE over all 256 bytes, without special "
            "tokens, with a byte-level pre-tokenizer that adds no space and "
            "nothing else that changes text. Received: another model of type "
            f"{model['type']!r}. Make it with `train_bpe`."
        )
    pieces = [b""] * (NUM_SPECIAL + len(vocabulary))
    for piece, i in vocabulary.items():
        pieces[NUM_SPECIAL + i] = bytes(BYTE_OF_CHARACTER[c] for c in piece)
    return pieces


@keras.saving.register_keras_serializable(package="keras_nc")
class BPETokenizer(SchemeTokenizer):
    """Tokenizer of byte-level BPE; make one with `train_bpe`.

    Args:
        model: str. A byte-level BPE in the JSON of the `tokenizers` library.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.
    """

    scheme_cls = BPEScheme

    def __init__(self, model=None, sequence_length=None, scheme=None, **kwargs):
        super().__init__(
            scheme or BPEScheme(model),
            sequence_length=sequence_length,
            **kwargs,
        )
