"""Schemes whose tokens are bits of compressed text, and the simplest, gzip.

Their base classes are here: `DocumentScheme` compresses each document as a
whole, and `ModelScheme` has an entropy model.
"""

import abc
import itertools
import os
import re
import threading
import zlib

import keras
import numpy as np

from keras_nc import entropy_models
from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Prompt
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import check_fingerprint
from keras_nc.tokenizers.scheme import check_rule
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: Threads make the coder of a scheme one after the other.
_LOCK = threading.Lock()
#: A window of 32 KiB, and the header and footer of gzip.
_GZIP = 31
#: Its compressed form is part of the fingerprint, because other versions of
#: zlib may compress it differently.
_SAMPLE = b" ".join(b"%d squared is %d." % (n, n * n) for n in range(1000))


def bytes_to_pieces(data, token_bits):
    """Cut bytes into pieces of N bits, most significant first, int32."""
    return np.frombuffer(data, f">u{token_bits // 8}").astype("int32")


def pieces_to_bytes(pieces, token_bits):
    """Undo `bytes_to_pieces`."""
    return pieces.astype(f">u{token_bits // 8}").tobytes()


class BitScheme(Scheme):
    """Tokens of N bits that stand for no bytes of their own.

    An id is 3 plus N bits, most significant first.

    Attributes:
        token_bits: int. Bits of a token, `N`.
    """

    token_bits = None

    @property
    def vocabulary_size(self):
        """3 + 2^N."""
        return NUM_SPECIAL + (1 << self.token_bits)

    @property
    def layout(self):
        """The `TokenLayout`: any N bits may follow any others."""
        return TokenLayout.one_token(
            np.arange(self.vocabulary_size) >= NUM_SPECIAL
        )

    def token_bytes(self, token_id):
        """Raise an error: a token stands for no bytes of its own."""
        raise ValueError(
            "A token of compressed text stands for no bytes of its own. "
            f"Received: id {token_id}. Decode whole documents."
        )


class DocumentScheme(BitScheme):
    """Compress each document as a whole; a token is N bits of the result.

    An empty document has no ids. With N = 16, a zero byte may fill the last
    token. A document can only be decoded from all of its ids. If special ids
    are skipped, they also separate documents.

    Args:
        token_bits: int. Bits of a token, `N`: 8 or 16.
    """

    def __init__(self, token_bits):
        if token_bits not in (8, 16):
            raise ValueError(
                "`token_bits` must be 8 or 16: a token is one byte of the "
                f"compressed text, or two. Received: token_bits={token_bits!r}"
            )
        self.token_bits = int(token_bits)

    @abc.abstractmethod
    def compress(self, documents):
        """Return the compressed form of each document, a list of bytes."""

    @abc.abstractmethod
    def decompress(self, streams):
        """Return documents from compressed forms; a zero byte may be added."""

    def encode_batch(self, documents):
        """Compress documents, and cut the result into tokens."""
        documents = [bytes(document) for document in documents]
        streams = iter(self.compress([text for text in documents if text]))
        rows = [next(streams) if text else b"" for text in documents]
        size = self.token_bits // 8
        rows = [row + bytes(-len(row) % size) for row in rows]
        pieces = bytes_to_pieces(b"".join(rows), self.token_bits)
        offsets = np.cumsum([0, *map(len, rows)], dtype="int64") // size
        return pieces + NUM_SPECIAL, offsets

    def decode(self, ids, skip_special=False):
        """Join tokens, and decompress them."""
        ids = np.asarray(ids)
        special = (ids >= 0) & (ids < NUM_SPECIAL)
        wrong = (ids < 0) | (ids >= self.vocabulary_size)
        if not skip_special:
            wrong |= special
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"Ids must be from {NUM_SPECIAL} to {self.vocabulary_size - 1}."
                f" Received: id {int(ids[at])} at position {at}. Pass "
                "`skip_special=True` to drop pad, start and end ids."
            )
        bounds = [-1, *np.flatnonzero(special).tolist(), len(ids)]
        runs = [ids[a + 1 : b] for a, b in itertools.pairwise(bounds)]
        streams = [
            pieces_to_bytes(run - NUM_SPECIAL, self.token_bits)
            for run in runs
            if run.size
        ]
        return b"".join(self.decompress(streams))

    def split_prompt(self, prompt):
        """Commit nothing of an empty prompt; raise an error for any other."""
        if prompt:
            raise ValueError(
                "The first bits of a compressed text depend on all of it, by "
                "its length or by a table of its bytes, so prompts cannot be "
                f"continued. Received: a prompt of {len(prompt)} bytes for the "
                f"scheme {self.name!r}. Use equal-info windows."
            )
        return Prompt(np.zeros(0, "int32"))


class ModelScheme(BitScheme):
    """A scheme with an entropy model, which it saves and loads with itself.

    Args:
        model: An `EntropyModel` of a registered class; `None` until assets are
            loaded.
        config: A dict. Only without a model: the configuration of its
            `ModelAsset`.
    """

    def __init__(self, model, config):
        if model is None and config is None:
            raise ValueError("Pass a `model`. Received: model=None")
        self._asset = ModelAsset(model, **(config or {}))
        self.file_assets = list(self._asset.file_names)
        self._lazy_coder = None

    @abc.abstractmethod
    def make_coder(self, model):
        """Return the object that codes text with a model."""

    @property
    def model(self):
        """The entropy model. Raises an error if it is not loaded yet."""
        return self.require(self._asset.model, "entropy model")

    @property
    def coder(self):
        """What codes text. Raises an error if assets are not loaded yet."""
        if self._lazy_coder is None:
            with _LOCK:
                if self._lazy_coder is None:
                    self._lazy_coder = self.make_coder(self.model)
        return self._lazy_coder

    def save_assets(self, directory):
        """Write the model."""
        self.require(self._asset.model, "entropy model")
        self._asset.save(directory)

    def load_assets(self, directory):
        """Read the model and check that it is the expected one."""
        self._asset.load(directory)
        self._lazy_coder = None


class ModelAsset:
    """An entropy model that a scheme saves and loads with itself.

    Args:
        model: An `EntropyModel` of a registered class; `None` until it is
            loaded.
        kind: str. Only without a model: the name of its class.
        fingerprint: str. Only without a model: its future fingerprint.
        file_names: A list of str. Only without a model: names of its files if
            they differ from those of its class.

    Raises:
        TypeError: If the model's class is not registered.
        ValueError: If there is no class of that name.

    Example:
    >>> import tempfile
    >>> from keras_nc.entropy_models import UnigramModel
    >>> asset = ModelAsset(UnigramModel.from_text(b"to be or not to be"))
    >>> again = ModelAsset(**asset.get_config())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asset.save(folder)
    ...     again.load(folder)
    >>> int(again.model.counts[ord("o")])
    5
    """

    def __init__(
        self, model=None, kind=None, fingerprint=None, file_names=None
    ):
        self._model = model
        if model is not None:
            kind = entropy_models.name_of(model)
            fingerprint = model.fingerprint
            file_names = model.file_names
        self.kind = kind
        self._cls = entropy_models.class_named(kind)
        self._fingerprint = fingerprint
        if file_names is None:
            file_names = self._cls.file_names
        #: Names of the files, a list of str.
        self.file_names = _checked_names(file_names)

    @property
    def model(self):
        """The entropy model, `None` until it is loaded."""
        return self._model

    @property
    def fingerprint(self):
        """SHA-256 of the model, hexadecimal; `None` if unknown."""
        return self._fingerprint

    def get_config(self):
        """Return the constructor arguments that describe the model."""
        config = {"kind": self.kind, "fingerprint": self._fingerprint}
        if self.file_names != self._cls.file_names:
            config["file_names"] = self.file_names
        return config

    def save(self, directory):
        """Write the files."""
        self._model.save(directory)

    def load(self, directory):
        """Read the files and check that they hold the expected model."""
        model = self._cls.load(directory)
        found = model.fingerprint
        check_fingerprint(directory, self._fingerprint, found)
        self._model, self._fingerprint = model, found


def _checked_names(names):
    """Return names of files in a folder as a list, or raise a ValueError."""
    valid = isinstance(names, (list, tuple)) and names
    for name in names if valid else ():
        valid = valid and isinstance(name, str)
        valid = valid and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)
    if not valid:
        raise ValueError(
            "An entropy model must have `file_names`, a list of names without "
            f"folders. Received: {names!r}"
        )
    return list(names)


def refuse_ids(what):
    """Raise the ValueError for ids that are not one whole document."""
    raise ValueError(
        "Ids must be those of one whole document, in order. Received: "
        f"{what}. They are damaged or cut; decode what was encoded, with the "
        "tokenizer that encoded it."
    )


@register_scheme
class GZipScheme(DocumentScheme):
    """Documents compressed by gzip, with zlib at its default level.

    A document becomes a whole gzip file, with its header and its footer (length
    and CRC-32). If a token is two bytes, a zero byte may fill the last one.
    Other versions of zlib may compress differently, but all decompress the
    same.

    Args:
        token_bits: int. Bits of a token, 8 or 16.
    """

    name = "gzip"
    # keras-hub presets need an asset. Loading checks its content.
    file_assets = ["gzip_scheme.txt"]
    _asset = "gzip, zlib's default level; id = 3 + {} bits\n"

    def __init__(self, token_bits=8):
        super().__init__(token_bits)

    @property
    def fingerprint(self):
        """Hex digest of the rule and of a sample that this zlib compresses."""
        rule = self._asset.format(self.token_bits)
        return fingerprint_of(rule, zlib.compress(_SAMPLE, wbits=_GZIP))

    def compress(self, documents):
        """Compress every document."""
        return [zlib.compress(text, wbits=_GZIP) for text in documents]

    def decompress(self, streams):
        """Decompress files, and check header, length and checksum."""
        return [self._inflate(stream) for stream in streams]

    def _inflate(self, stream):
        inflater = zlib.decompressobj(wbits=_GZIP)
        try:
            text = inflater.decompress(stream)
        except zlib.error as error:
            refuse_ids(f"ids that are no gzip file ({error})")
        if not inflater.eof:
            refuse_ids("the beginning of a gzip file")
        size = len(stream) - len(inflater.unused_data)
        filling = bytes(-size % (self.token_bits // 8))
        if inflater.unused_data != filling:
            refuse_ids("a gzip file and ids after it")
        if not text:
            refuse_ids("a gzip file of an empty text, which has no ids here")
        return text

    def get_config(self):
        """Return the name and the token bits."""
        return {"name": self.name, "token_bits": self.token_bits}

    def save_assets(self, directory):
        """Write the rule."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self._asset.format(self.token_bits).encode())

    def load_assets(self, directory):
        """Check that the file holds this rule."""
        path = os.path.join(directory, self.file_assets[0])
        rule = self._asset.format(self.token_bits)
        check_rule(path, rule.encode())


@keras.saving.register_keras_serializable(package="keras_nc")
class GZipTokenizer(SchemeTokenizer):
    """Tokenizer that compresses each document with gzip.

    These are GZip v256 and v65k of arXiv 2404.03626: zlib at its default level,
    with header and footer, and one token per byte or per pair of bytes.

    Args:
        token_bits: int. Bits of a token, 8 (259 ids) or 16 (65,539 ids).
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> tokenizer = GZipTokenizer(token_bits=16)
    >>> ids = tokenizer("to be or not to be")
    >>> hex(ids[0] - 3)  # how every gzip file begins
    '0x1f8b'
    >>> tokenizer.detokenize(ids)
    b'to be or not to be'
    """

    scheme_cls = GZipScheme
