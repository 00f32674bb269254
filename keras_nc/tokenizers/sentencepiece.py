"""SentencePiece as a baseline that keeps every byte."""

import itertools
import re

import keras
import numpy as np

from keras_nc.tokenizers.piece_scheme import PieceScheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
from keras_nc.tokenizers.tokenizer import register_scheme

#: SentencePiece writes a space as this character, so text that holds it would
#: come back with spaces.
SPACE_MARK = "\u2581"
#: Runs of characters that SentencePiece would not give back.
LOST = re.compile(f"([\ud800-\udfff\x00{SPACE_MARK}]+)")


@register_scheme
class SentencePieceScheme(PieceScheme):
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
    content_name = "SentencePiece model"
    fingerprint_key = "proto_fingerprint"

    def __init__(
        self, proto=None, vocabulary_size=None, proto_fingerprint=None
    ):
        super().__init__(proto, vocabulary_size, proto_fingerprint)

    def read(self, content):
        """The pieces of SentencePiece, whose special ids are ours."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(content)
        except RuntimeError as error:
            raise ValueError(
                "`proto` must be a serialized SentencePiece model. Received: "
                f"{len(content)} bytes that SentencePiece refuses ({error})."
            ) from error
        self._processor = processor
        pieces, self._byte_ids = self._table(processor)
        return pieces

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
        return self.content

    @property
    def processor(self):
        """The library's own object; an error if it is not loaded yet."""
        self.require(self._content, self.content_name)
        return self._processor

    def encode_batch(self, documents):
        """SentencePiece on what it keeps, byte pieces for the rest."""
        self.require(self._content, self.content_name)
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
