"""A baseline: SentencePiece that keeps every byte, and its training."""

import io
import operator
import re
from types import NoneType

import keras

from keras_nc.coding.inputs import iterate_documents
from keras_nc.tokenizers._sentencepiece_proto import BYTE
from keras_nc.tokenizers._sentencepiece_proto import CONTROL
from keras_nc.tokenizers._sentencepiece_proto import NORMAL
from keras_nc.tokenizers._sentencepiece_proto import UNKNOWN
from keras_nc.tokenizers._sentencepiece_proto import USER_DEFINED
from keras_nc.tokenizers._sentencepiece_proto import WORD
from keras_nc.tokenizers._sentencepiece_proto import describe
from keras_nc.tokenizers.pieces import PieceScheme
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

MODEL_TYPES = ("unigram", "bpe")
#: SentencePiece silently skips longer sentences.
MAX_SENTENCE_CHARACTERS = 1024

#: SentencePiece writes a space as this character. Text that holds the character
#: would come back with spaces.
SPACE_MARK = "\u2581"


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
                f"{len(content)} bytes that are none ({error}). Read the "
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

    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"`model_type` must be one of {MODEL_TYPES}. "
            f"Received: model_type={model_type!r}"
        )
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
            f"SentencePiece finds no {vocabulary_size:,} pieces in this text "
            f"({error}). Ask for another `vocabulary_size`, or give more text."
        ) from error
    return SentencePieceTokenizer(proto.getvalue())


def _sentences(documents):
    """Yield lines, cut to a length that SentencePiece does not skip."""
    for document in iterate_documents(documents):
        text = document.decode("utf-8", errors="ignore").replace("\0", "")
        for line in text.splitlines():
            for start in range(0, len(line), MAX_SENTENCE_CHARACTERS):
                yield line[start : start + MAX_SENTENCE_CHARACTERS]
