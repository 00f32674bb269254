"""A baseline: SentencePiece that keeps every byte, and its training."""

import dataclasses
import io
import operator
import re
from types import NoneType

import keras

from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import iterate_documents
from keras_nc.tokenizers.pieces import PieceScheme
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

MODEL_TYPES = ("unigram", "bpe")
#: SentencePiece silently skips longer sentences.
MAX_SENTENCE_CHARACTERS = 1024

#: SentencePiece writes a space as this character. Text that holds the character
#: would come back with spaces.
SPACE_MARK = "\u2581"

#: Types of pieces in the file of a model.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
#: Types of models in it.
UNIGRAM, BPE, WORD, CHAR = range(1, 5)


@register_scheme
class SentencePieceScheme(PieceScheme):
    """Pieces of a SentencePiece model, and byte pieces for text it would lose.

    SentencePiece takes Unicode text. Invalid UTF-8, NUL and SentencePiece's
    space mark become byte pieces, so any bytes round-trip. The model must keep
    all other text as it is.

    Args:
        proto: See `SentencePieceTokenizer`; `None` until assets are loaded.
        vocabulary_size: int. Only without a proto: its future size.
        proto_fingerprint: str. Only without a proto: its future fingerprint.

    Raises:
        ValueError: If the model does not keep text as it is.
    """

    name = "sentencepiece"
    file_assets = ["sentencepiece.model"]
    content_name = "SentencePiece model"
    fingerprint_key = "proto_fingerprint"
    lost = re.compile(f"([\ud800-\udfff\x00{SPACE_MARK}]+)")

    def __init__(
        self, proto=None, *, vocabulary_size=None, proto_fingerprint=None
    ):
        if not isinstance(proto, (bytes, bytearray, memoryview, NoneType)):
            raise TypeError(
                "`proto` must be a serialized SentencePiece model, bytes. "
                f"Received: {type(proto).__name__}. Pass what its file holds, "
                "as in `pathlib.Path(path).read_bytes()`."
            )
        proto = None if proto is None else bytes(proto)
        super().__init__(proto, vocabulary_size, proto_fingerprint)

    def read(self, content):
        """Load the model; see `PieceScheme.read`."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            model = describe(content)
            processor.LoadFromSerializedProto(content)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                "`proto` must be a serialized SentencePiece model. Received: "
                f"{len(content)} bytes that are not one ({error}). Read the "
                "`.model` file that SentencePiece wrote."
            ) from error
        pieces, byte_ids = [], {}
        for i, (piece, kind) in enumerate(model.pieces):
            if kind == BYTE:
                piece = bytes([int(piece[3:-1], 16)])
                byte_ids[piece[0]] = i
            elif kind in (CONTROL, UNKNOWN):
                piece = b""
            elif model.escape_whitespaces:
                piece = piece.replace(SPACE_MARK.encode(), b" ")
            pieces.append(piece)
        special = (
            processor.pad_id(),
            processor.bos_id(),
            processor.eos_id(),
            processor.unk_id(),
        )
        if special != (0, 1, 2, 3) or len(byte_ids) != 256:
            raise ValueError(
                "The SentencePiece model must have pad_id=0, bos_id=1, "
                "eos_id=2, unk_id=3 and byte_fallback=True. Received: "
                f"{special} and {len(byte_ids)} byte pieces. Train it so, or "
                "use `train_sentencepiece`."
            )
        change = what_changes_text(model)
        if change:
            raise ValueError(
                "The SentencePiece model must keep text as it is. Received: "
                f"a model that {change}. Train it with "
                'normalization_rule_name="identity", add_dummy_prefix=False '
                "and remove_extra_whitespaces=False, or use "
                "`train_sentencepiece`."
            )
        self._processor = processor
        return pieces, [byte_ids[byte] for byte in range(256)]

    @property
    def proto(self):
        """The serialized model. Raises an error if it is not loaded yet."""
        return self.content

    @property
    def processor(self):
        """A `SentencePieceProcessor` with this model.

        Each access gives a new object, so changes to it do not affect the
        scheme.
        """
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(self.content)
        return processor

    def encode_texts(self, texts):
        """Encode with SentencePiece."""
        return [self._processor.encode(text, out_type=int) for text in texts]


def what_changes_text(model):
    """Say how a model changes text.

    Args:
        model: A `ModelDescription`.

    Returns:
        str, such as `"drops spaces"`; `None` if the model keeps text as it is.
    """
    if model.has_map:
        return f"maps characters to others (normalization {model.normalizer!r})"
    if model.has_decoding_map:
        return "maps characters to others when it decodes (denormalization)"
    if model.add_dummy_prefix:
        return "adds a space to every text (add_dummy_prefix)"
    if model.remove_extra_whitespaces:
        return "drops spaces (remove_extra_whitespaces)"
    if model.model_type == WORD:
        return "knows whole words only (model_type 'word')"
    usable = {p for p, kind in model.pieces if kind in (NORMAL, USER_DEFINED)}
    if model.escape_whitespaces and SPACE_MARK.encode() not in usable:
        return (
            "has no piece for a space (pass required_chars="
            f"{SPACE_MARK!r} to its training)"
        )
    return None


@keras.saving.register_keras_serializable(package="keras_nc")
class SentencePieceTokenizer(SchemeTokenizer):
    """Tokenizer of SentencePiece pieces that keeps every byte.

    Make one with `train_sentencepiece`.

    Args:
        proto: bytes. A serialized SentencePiece model, trained with
            `byte_fallback=True`, `normalization_rule_name="identity"`,
            `add_dummy_prefix=False`, `remove_extra_whitespaces=False`,
            `pad_id=0`, `bos_id=1`, `eos_id=2` and `unk_id=3`.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.
    """

    scheme_cls = SentencePieceScheme


def train_sentencepiece(documents, vocabulary_size, model_type="unigram"):
    """Train a SentencePiece model on documents.

    The model has byte fallback and no normalization, and pieces may be
    whitespace only. So it is lossless, and strong on text with indents and
    blank lines.

    Args:
        documents: `str` or `bytes`, or an iterable of them. Invalid UTF-8 is
            skipped.
        vocabulary_size: int. Number of ids, the 256 bytes and special ids
            included.
        model_type: str. `"unigram"` or `"bpe"`.

    Returns:
        A `SentencePieceTokenizer`.

    Raises:
        ValueError: If the type is unknown, or SentencePiece finds no
            vocabulary of this size in the text.

    Example:
    >>> text = b"She sells sea shells by the sea shore. " * 20
    >>> tokenizer = train_sentencepiece([text], 290, model_type="bpe")
    >>> tokenizer.detokenize(tokenizer("sea shore"))
    b'sea shore'
    """
    import sentencepiece

    model_type = as_choice("model_type", model_type, MODEL_TYPES)
    vocabulary_size = operator.index(vocabulary_size)
    proto = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(documents),
            model_writer=proto,
            model_type=model_type,
            vocab_size=vocabulary_size,
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            # Require a piece for the space, even if the text has no space.
            required_chars=SPACE_MARK,
            max_sentence_length=4 * MAX_SENTENCE_CHARACTERS,  # in bytes
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            "SentencePiece must find all pieces in the text. Received: "
            f"vocabulary_size={vocabulary_size} ({error}). Ask for another "
            "`vocabulary_size`, or give more text."
        ) from error
    return SentencePieceTokenizer(proto.getvalue())


def _sentences(documents):
    """Yield lines, cut to a length that SentencePiece does not skip."""
    for document in iterate_documents(documents):
        text = document.decode("utf-8", errors="ignore").replace("\0", "")
        for line in text.splitlines():
            for start in range(0, len(line), MAX_SENTENCE_CHARACTERS):
                yield line[start : start + MAX_SENTENCE_CHARACTERS]


# === The file of a model ===

# It is a `ModelProto` of SentencePiece, in the wire format of Protocol Buffers:
# each field is a number, a type and a value. Only a dozen fields matter here,
# so the `protobuf` package is not needed. The numbers and defaults are those of
# `sentencepiece_model.proto`.


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The properties of a model that decide whether text round-trips.

    Attributes:
        pieces: A list by id of pairs: the bytes of a piece, and its type.
        model_type: int. `UNIGRAM`, `BPE`, `WORD` or `CHAR`.
        normalizer: str. Name of the normalization rule.
        has_map: bool. Whether text is mapped before it is cut.
        has_decoding_map: bool. Whether text is mapped after decoding.
        add_dummy_prefix: bool. Whether a space is put before a text.
        remove_extra_whitespaces: bool. Whether spaces are dropped.
        escape_whitespaces: bool. Whether a space is written as U+2581.
    """

    pieces: list
    model_type: int
    normalizer: str
    has_map: bool
    has_decoding_map: bool
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool


def describe(proto):
    """Read a serialized model.

    Args:
        proto: bytes.

    Returns:
        A `ModelDescription`.

    Raises:
        ValueError: If the bytes are not a message.
    """
    model = _fields(proto)
    trainer = _fields(_message(model, 2))
    normalizer = _fields(_message(model, 3))
    pieces = []
    for piece in model.get(1, []):
        fields = _fields(piece)
        pieces.append((_last(fields, 1, b""), _last(fields, 3, NORMAL)))
    return ModelDescription(
        pieces=pieces,
        model_type=_last(trainer, 3, UNIGRAM),
        normalizer=_last(normalizer, 1, b"").decode(errors="replace"),
        has_map=bool(_last(normalizer, 2, b"")),
        has_decoding_map=bool(_last(_fields(_message(model, 5)), 2, b"")),
        add_dummy_prefix=bool(_last(normalizer, 3, 1)),
        remove_extra_whitespaces=bool(_last(normalizer, 4, 1)),
        escape_whitespaces=bool(_last(normalizer, 5, 1)),
    )


def _last(fields, number, default):
    """Return the value of a field: the last one of the right type wins."""
    values = fields.get(number, [])
    values = [value for value in values if type(value) is type(default)]
    return values[-1] if values else default


def _message(fields, number):
    """Return the message in a field, joined if it comes in several parts."""
    return b"".join(v for v in fields.get(number, []) if type(v) is bytes)


def _fields(data):
    """Return integers and bytes by field number; skip other numbers."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = bytes(data[at : at + size]), at + size
        elif kind in (1, 5):  # numbers of 8 and 4 bytes
            value, at = None, at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field of type {kind}")
        if at > len(data):
            raise ValueError("a field that is cut")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data, at):
    """Return an integer in groups of 7 bits, lowest first, and its end."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("an integer that is cut")
