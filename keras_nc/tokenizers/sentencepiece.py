"""SentencePiece as a baseline that keeps every byte."""

import hashlib
import itertools
import os
import re

import keras
import numpy as np

from keras_nc.coding.atomic import atomic_file
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import ids_of_bytes
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
from keras_nc.tokenizers.tokenizer import register_scheme

#: SentencePiece writes a space as this character, so text that holds it would
#: come back with spaces.
SPACE_MARK = "\u2581"
#: Runs of characters that SentencePiece would not give back.
LOST = re.compile(f"([\ud800-\udfff\x00{SPACE_MARK}]+)")


@register_scheme
class SentencePieceScheme(Scheme):
    """Pieces of a SentencePiece model, and bytes where it would lose some.

    SentencePiece takes Unicode text. What it cannot give back (invalid UTF-8,
    NUL, its own mark for a space) goes into byte pieces here, so that any bytes
    round-trip. The model must be trained to keep text as it is.

    Args:
        proto: bytes. A serialized SentencePiece model, trained with
            `byte_fallback=True`, `normalization_rule_name="identity"`,
            `add_dummy_prefix=False`, `remove_extra_whitespaces=False`,
            `pad_id=0`, `bos_id=1`, `eos_id=2` and `unk_id=3`. `None` until
            assets are loaded.
        vocabulary_size: int. Only without a proto: what it will have.
        proto_fingerprint: str. Only without a proto: what it will have.

    Raises:
        ValueError: If the model does not keep text as it is.
    """

    name = "sentencepiece"
    file_assets = ["sentencepiece.model"]

    def __init__(
        self, proto=None, vocabulary_size=None, proto_fingerprint=None
    ):
        self._vocabulary_size = vocabulary_size
        self._expected = proto_fingerprint
        self._proto = None
        if proto is not None:
            self._load(proto)

    def _load(self, proto):
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(proto)
        except RuntimeError as error:
            raise ValueError(
                "`proto` must be a serialized SentencePiece model. Received: "
                f"{len(proto)} bytes that SentencePiece refuses ({error})."
            ) from error
        self._processor = processor
        self._pieces, self._byte_ids = self._table(processor)
        self._proto = proto
        self._vocabulary_size = len(self._pieces)

    @staticmethod
    def _table(processor):
        """Bytes of every id, and the ids of the 256 byte pieces."""
        pieces, byte_ids = [], {}
        for i in range(processor.get_piece_size()):
            piece = processor.id_to_piece(i)
            if processor.is_byte(i):
                pieces.append(bytes([int(piece[3:-1], 16)]))
                byte_ids[pieces[-1][0]] = i
            elif processor.is_control(i) or processor.is_unknown(i):
                pieces.append(b"")
            else:
                pieces.append(piece.replace(SPACE_MARK, " ").encode())
        special = (
            processor.pad_id(),
            processor.bos_id(),
            processor.eos_id(),
            processor.unk_id(),
        )
        probe = "  a\tb \n  c "
        kept = b"".join(pieces[i] for i in processor.encode(probe))
        if special != (0, 1, 2, 3) or len(byte_ids) != 256:
            raise ValueError(
                "The SentencePiece model must have pad_id=0, bos_id=1, "
                "eos_id=2, unk_id=3 and byte_fallback=True. Received: "
                f"{special} and {len(byte_ids)} byte pieces. Train it so."
            )
        if kept != probe.encode():
            raise ValueError(
                "The SentencePiece model must keep text as it is: it gave "
                f"{kept!r} for {probe!r}. Train it with "
                'normalization_rule_name="identity", add_dummy_prefix=False '
                "and remove_extra_whitespaces=False."
            )
        return pieces, [byte_ids[byte] for byte in range(256)]

    @property
    def proto(self):
        """The serialized model; an error if it is not loaded yet."""
        return self.require(self._proto, "SentencePiece model")

    @property
    def processor(self):
        """The library's own object; an error if it is not loaded yet."""
        self.require(self._proto, "SentencePiece model")
        return self._processor

    @property
    def vocabulary_size(self):
        """Number of pieces, special ids included."""
        return self._vocabulary_size

    @property
    def fingerprint(self):
        """Hex digest of the model."""
        return hashlib.sha256(self.proto).hexdigest()

    @property
    def layout(self):
        """Every piece that stands for bytes is a code."""
        return TokenLayout.one_token(
            self.require(self.token_lengths, "SentencePiece model") > 0
        )

    @property
    def token_lengths(self):
        """Bytes of every piece."""
        if self._proto is None:
            return None
        return np.array([len(piece) for piece in self._pieces], dtype="int32")

    def encode_batch(self, documents):
        """SentencePiece on what it keeps, byte pieces for the rest."""
        self.require(self._proto, "SentencePiece model")
        encoded = [self._encode(document) for document in documents]
        ids = np.array(list(itertools.chain(*encoded)), dtype="int32")
        lengths = [len(row) for row in encoded]
        return ids, np.cumsum([0, *lengths], dtype="int64")

    def _encode(self, document):
        ids = []
        # Invalid bytes become lone surrogates, which no valid text holds.
        text = bytes(document).decode("utf-8", errors="surrogateescape")
        for piece in re.split(LOST, text):
            if re.fullmatch(LOST, piece):
                raw = piece.encode("utf-8", errors="surrogateescape")
                ids.extend(self._byte_ids[byte] for byte in raw)
            elif piece:
                ids.extend(self._processor.encode(piece))
        return ids

    def decode(self, ids, skip_special=False):
        """A look-up per piece."""
        lengths = self.require(self.token_lengths, "SentencePiece model")
        ids = ids_of_bytes(ids, lengths, skip_special)
        return b"".join([self._pieces[i] for i in ids.tolist()])

    def get_config(self):
        """The vocabulary size and a fingerprint; the model is an asset."""
        return {
            "name": self.name,
            "vocabulary_size": self._vocabulary_size,
            "proto_fingerprint": self._expected or self.fingerprint,
        }

    def save_assets(self, directory):
        """Write the model."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self.proto)

    def load_assets(self, directory):
        """Read the model."""
        path = os.path.join(directory, self.file_assets[0])
        with open(path, "rb") as file:
            proto = file.read()
        found = hashlib.sha256(proto).hexdigest()
        if self._expected not in (None, found):
            raise ValueError(
                f"{path} must be the model that the configuration names, with "
                f"fingerprint {self._expected}. Received: a file with "
                f"fingerprint {found}. Restore the file that was saved with "
                "the configuration."
            )
        self._load(proto)


@keras.saving.register_keras_serializable(package="keras_nc")
class SentencePieceTokenizer(SchemeTokenizer):
    """Tokenizer of SentencePiece pieces that keeps every byte.

    Args:
        proto: bytes. A serialized model; see `SentencePieceScheme` for how it
            must be trained.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.
    """

    scheme_cls = SentencePieceScheme

    def __init__(self, proto=None, sequence_length=None, scheme=None, **kwargs):
        super().__init__(
            scheme or SentencePieceScheme(proto),
            sequence_length=sequence_length,
            **kwargs,
        )
