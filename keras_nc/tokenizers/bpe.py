"""Byte-level BPE of the `tokenizers` library as a baseline."""

import itertools
import json
import re

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.tokenizers.piece_scheme import PieceScheme
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
class BPEScheme(PieceScheme):
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
    content_name = "BPE model"
    fingerprint_key = "model_fingerprint"

    def __init__(
        self, model=None, vocabulary_size=None, model_fingerprint=None
    ):
        content = None if model is None else model.encode()
        super().__init__(content, vocabulary_size, model_fingerprint)

    def read(self, content):
        """The library's vocabulary, behind the special ids."""
        import tokenizers

        model = content.decode()
        try:
            config = json.loads(model)
            self._tokenizer = tokenizers.Tokenizer.from_str(model)
        except Exception as error:  # the library raises no narrower class
            raise ValueError(
                "`model` must be a tokenizer in the JSON of the `tokenizers` "
                f"library. Received: {len(model)} characters that it refuses "
                f"({error}). Make it with `train_bpe`."
            ) from error
        pieces = _table(config)
        self._byte_ids = [0] * 256
        for i, piece in enumerate(pieces):
            if len(piece) == 1:
                self._byte_ids[piece[0]] = i
        return pieces

    @property
    def model(self):
        """The model's JSON; an error if it is not loaded yet."""
        return self.content.decode()

    @property
    def tokenizer(self):
        """The library's own object; an error if it is not loaded yet."""
        self.require(self._content, self.content_name)
        return self._tokenizer

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
