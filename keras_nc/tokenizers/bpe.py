"""A baseline: byte-level BPE of the `tokenizers` library."""

import collections
import json
import operator
from types import NoneType

import keras

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.inputs import iterate_documents
from keras_nc.coding.tokenizer_files import byte_characters
from keras_nc.tokenizers.pieces import PieceScheme
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: GPT-2's pattern: a word with the space before it, digits, or the rest.
SPLITS = ("gpt2", None)
#: Characters per part of the training text. Without splitting into words,
#: longer parts make merges slower, and shorter ones cut more words in two.
PART_CHARACTERS = 1024

#: Other parts of a file that may change text or ids, and how.
CHANGES = {
    "normalizer": "changes text before it is cut",
    "post_processor": "adds ids to those of a text",
    "added_tokens": "takes parts of a text for special tokens",
    "truncation": "cuts long texts off",
    "padding": "adds ids to short texts",
}

BYTE_OF_CHARACTER = {c: byte for byte, c in enumerate(byte_characters())}


@register_scheme
class BPEScheme(PieceScheme):
    """Byte-level BPE: pieces that grow by merging pairs of pieces.

    The library does not accept invalid UTF-8, so this is encoded in single
    bytes. An id is 3 + the library's id.

    Args:
        model: See `BPETokenizer`; `None` until assets are loaded.
        vocabulary_size: int. Only without a model: its future size.
        model_fingerprint: str. Only without a model: its future fingerprint.

    Raises:
        ValueError: If the model does not keep text as it is.
    """

    name = "bpe"
    file_assets = ["bpe.json"]
    content_name = "BPE model"
    fingerprint_key = "model_fingerprint"

    def __init__(
        self, model=None, *, vocabulary_size=None, model_fingerprint=None
    ):
        if not isinstance(model, (str, bytes, NoneType)):
            raise TypeError(
                "`model` must be the JSON text of a tokenizer, a `str`. "
                f"Received: {type(model).__name__}. Pass what its file holds, "
                "or `json.dumps(model)`."
            )
        if isinstance(model, str):
            # Text without a UTF-8 form is refused below, like any other invalid
            # JSON.
            model = model.encode(errors="surrogatepass")
        super().__init__(model, vocabulary_size, model_fingerprint)

    def read(self, content):
        """Load the model; see `PieceScheme.read`."""
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
        except BaseException as error:  # a Rust panic is not an Exception
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
            f"library. Received: {len(content)} bytes that are not one "
            f"({error}). Make it with `train_bpe`."
        )

    @property
    def model(self):
        """The model's JSON, a str. Raises an error if it is not loaded yet."""
        return self.content.decode()

    @property
    def tokenizer(self):
        """A `tokenizers.Tokenizer` with this model.

        Each access gives a new object, so changes to it do not affect the
        scheme.
        """
        import tokenizers

        return tokenizers.Tokenizer.from_str(self.model)

    def encode_texts(self, texts):
        """Encode with the library, all texts in one call."""
        encodings = self._tokenizer.encode_batch_fast(
            texts, add_special_tokens=False
        )
        return [[NUM_SPECIAL + k for k in found.ids] for found in encodings]


def _unique(pairs):
    """Return a JSON object as a dict; refuse duplicate names."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = collections.Counter(name for name, _ in pairs)
        name, _ = counts.most_common(1)[0]
        raise ValueError(f"the name {name!r} twice in one object")
    return found


def what_changes_text(config):
    """Name the part of a model that changes text, or makes ids random.

    Args:
        config: The content of a file of the `tokenizers` library.

    Returns:
        str, or `None` if there is no such part.
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
        # A byte-level post-processor changes no ids, only offsets.
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
    """Return the bytes of every id, special ids included.

    Args:
        vocabulary: The library's vocabulary, a dict from pieces (str) to ids.

    Returns:
        A list of bytes.

    Raises:
        ValueError: If pieces are not bytes, or ids are not 0, 1, 2, ...
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


def train_bpe(documents, vocabulary_size, split="gpt2", max_token_bytes=64):
    """Train byte-level BPE on documents.

    Args:
        documents: `str` or `bytes`, or an iterable of them. Invalid UTF-8 is
            skipped.
        vocabulary_size: int. Number of ids, the 256 bytes and special ids
            included.
        split: `"gpt2"` keeps each piece inside one word of GPT-2's pattern.
            `None` lets a piece span several words, which needs fewer tokens but
            takes minutes for 16 MB of text.
        max_token_bytes: int. Bytes that a piece has at most.

    Returns:
        A `BPETokenizer`.

    Raises:
        ValueError: If an argument is out of range, or the text has too few
            pairs for a vocabulary of this size.

    Example:
    >>> text = b"She sells sea shells by the sea shore. " * 20
    >>> tokenizer = train_bpe([text], 280, split=None)
    >>> assert tokenizer.detokenize(tokenizer("sea shore")) == b"sea shore"
    """
    import tokenizers

    vocabulary_size = operator.index(vocabulary_size)
    max_token_bytes = operator.index(max_token_bytes)
    if split not in SPLITS:
        raise ValueError(
            f"`split` must be one of {SPLITS}. Received: split={split!r}"
        )
    if vocabulary_size < NUM_SPECIAL + 256 or max_token_bytes < 1:
        raise ValueError(
            "`vocabulary_size` must be at least 259, for single bytes and "
            "special ids, and `max_token_bytes` at least 1. Received: "
            f"vocabulary_size={vocabulary_size}, "
            f"max_token_bytes={max_token_bytes}"
        )
    byte_level = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=split == "gpt2"
    )
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = byte_level
    model.train_from_iterator(
        _training_texts(documents),
        tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary_size - NUM_SPECIAL,
            initial_alphabet=byte_level.alphabet(),
            max_token_length=max_token_bytes + 1,  # more than the library needs
            show_progress=False,
        ),
    )
    found = NUM_SPECIAL + model.get_vocab_size()
    if found != vocabulary_size:
        raise ValueError(
            f"The text must have enough pairs for {vocabulary_size:,} ids. "
            f"Received: text that gives {found:,}. Ask for fewer, or give more "
            "text."
        )
    return BPETokenizer(model.to_str())


def _training_texts(documents):
    for document in iterate_documents(documents):
        text = document.decode("utf-8", errors="ignore")
        for start in range(0, len(text), PART_CHARACTERS):
            yield text[start : start + PART_CHARACTERS]
