"""Byte-level BPE of the `tokenizers` library as a baseline."""

import collections
import itertools
import json
from types import NoneType

import keras

from keras_nc.coding import NUM_SPECIAL
from keras_nc.tokenizers.piece_scheme import PieceScheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
from keras_nc.tokenizers.tokenizer import register_scheme

#: What else in a file may change text or ids, and how.
CHANGES = {
    "normalizer": "changes text before it is cut",
    "post_processor": "adds ids to those of a text",
    "added_tokens": "takes parts of a text for special tokens",
    "truncation": "cuts long texts off",
    "padding": "adds ids to short texts",
}


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
        if not isinstance(model, (str, bytes, NoneType)):
            raise TypeError(
                "`model` must be the JSON text of a tokenizer, a `str`. "
                f"Received: {type(model).__name__}. Pass what its file holds, "
                "or `json.dumps(model)`."
            )
        if isinstance(model, str):
            # What has no UTF-8 is refused with the rest that is no JSON.
            model = model.encode(errors="surrogatepass")
        super().__init__(model, vocabulary_size, model_fingerprint)

    def read(self, content):
        """Load the library's vocabulary, and put it behind the special ids."""
        import tokenizers

        try:
            model = content.decode()
            config = json.loads(model, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            self._refuse_file(content, error)
        change = what_changes_text(config)
        if change:
            raise ValueError(
                "The model must be a byte-level BPE that keeps text as it is. "
                f"Received: {change}. Make it with `train_bpe`."
            )
        try:
            tokenizer = tokenizers.Tokenizer.from_str(model)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            self._refuse_file(content, error)
        if not isinstance(tokenizer.model, tokenizers.models.BPE):
            self._refuse_file(content, type(tokenizer.model).__name__)
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        pieces = _pieces(vocabulary)
        self._tokenizer = tokenizer
        return pieces, [NUM_SPECIAL + vocabulary[c] for c in BYTE_OF_CHARACTER]

    @staticmethod
    def _refuse_file(content, error):
        raise ValueError(
            "`model` must be a BPE in the JSON of the `tokenizers` "
            f"library. Received: {len(content)} bytes that are none "
            f"({error}). Make it with `train_bpe`."
        )

    @property
    def model(self):
        """The model's JSON; an error if it is not loaded yet."""
        return self.content.decode()

    @property
    def tokenizer(self):
        """An object of the library's own with this model.

        It is a new one each time: who changes it does not change the scheme.
        """
        import tokenizers

        return tokenizers.Tokenizer.from_str(self.model)

    def encode_texts(self, texts):
        """Encode with the library, many texts at once."""
        encodings = self._tokenizer.encode_batch_fast(
            texts, add_special_tokens=False
        )
        return [[NUM_SPECIAL + k for k in found.ids] for found in encodings]


def _unique(pairs):
    """A JSON object whose names are all different."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = collections.Counter(name for name, _ in pairs)
        name, _ = counts.most_common(1)[0]
        raise ValueError(f"the name {name!r} twice in one object")
    return found


def what_changes_text(config):
    """Say why a model might not give text back, or not always the same ids.

    Args:
        config: What a file of the `tokenizers` library holds.

    Returns:
        str, or `None` if nothing in it changes text.
    """
    if not isinstance(config, dict) or not isinstance(
        config.get("model"), dict
    ):
        return "JSON that describes no tokenizer"
    model = config["model"]
    if model.get("type", "BPE") != "BPE":
        return f"a model of the type {model['type']!r}"
    if model.get("dropout"):
        return (
            f"`dropout` of {model['dropout']!r}, which cuts a text differently "
            "each time"
        )
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            return f"a `{key}` of {model[key]!r}, which is no part of the text"
    for key, why in CHANGES.items():
        # The last step of GPT-2's files changes no ids, only offsets.
        if config.get(key) and not (
            key == "post_processor" and _type(config[key]) == "ByteLevel"
        ):
            return f"a model with {key!r}, which {why}"
    split = config.get("pre_tokenizer")
    if _type(split) != "ByteLevel":
        return f"a pre-tokenizer {_type(split)!r}, which is not 'ByteLevel'"
    if split.get("add_prefix_space", True):
        return "`add_prefix_space`, which adds a space to every text"
    return None


def _type(part):
    return part.get("type") if isinstance(part, dict) else None


def _pieces(vocabulary):
    """Bytes of every id, special ids included.

    Args:
        vocabulary: A dict from pieces, `str`, to ids, as the library has it.
    """
    pieces = [None] * len(vocabulary)
    by_id = sorted((i, piece) for piece, i in vocabulary.items())
    for i, piece in by_id:
        try:
            found = bytes(BYTE_OF_CHARACTER[c] for c in piece)
        except KeyError as error:
            raise ValueError(
                "Pieces must be written in the characters that stand for "
                f"bytes. Received: the piece {piece!r}, with {error}. Make the "
                "model with `train_bpe`."
            ) from None
        if i >= len(pieces) or pieces[i] is not None:
            raise ValueError(
                f"The {len(pieces):,} pieces must have the ids from 0 to "
                f"{len(pieces) - 1:,}, each once. Received: id {i} for "
                f"{found!r}. Make the model with `train_bpe`."
            )
        pieces[i] = found
    missing = {bytes([byte]) for byte in range(256)} - set(pieces)
    if missing:
        raise ValueError(
            "A byte-level BPE must have a piece for each of the 256 bytes. "
            f"Received: none for {min(missing)!r}, and {len(missing)} missing. "
            "Make the model with `train_bpe`."
        )
    return [b""] * NUM_SPECIAL + pieces


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
