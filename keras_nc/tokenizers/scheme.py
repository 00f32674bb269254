"""What turns bytes into ids and back, whatever layer carries it."""

import abc
import dataclasses

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Prompt

#: Classes of schemes by the name that configurations have.
_SCHEMES = {}


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """Which codes exist and how a code is written in tokens.

    With one token per window the code is the id. With more, the code's
    `window_bits` bits are cut into pieces of `token_bits`, most significant
    first, and an id is 3 + the piece.

    Attributes:
        is_code: A bool array over all codes: whether one stands for bytes.
        window_bits: int. Bits of a code, `W`.
        token_bits: int. Bits of a token, `N`.
        code_lengths: An int array over all codes: bytes that one stands for.
            Only schemes whose prompts have a remainder need it.
    """

    is_code: np.ndarray
    window_bits: int
    token_bits: int
    code_lengths: np.ndarray | None = None

    @property
    def num_codes(self):
        """Codes lie in `[0, num_codes)`."""
        return len(self.is_code)

    @property
    def tokens_per_window(self):
        """Tokens that a window is written in."""
        return self.window_bits // self.token_bits

    @classmethod
    def one_token(cls, is_code):
        """The layout of a vocabulary in which every id stands alone."""
        return cls(np.asarray(is_code, dtype=bool), 1, 1)


class Scheme(abc.ABC):
    """A tokenization: bytes to ids and back, exactly.

    A plain object, so that a tokenizer layer can hold it without its becoming a
    part of the Keras model.

    Attributes:
        name: str. Name of the scheme in configurations.
        file_assets: A list of the file names that `save_assets` writes.
    """

    name = None
    file_assets = []

    @property
    @abc.abstractmethod
    def vocabulary_size(self):
        """Number of ids, `V`, special ids included."""

    @property
    @abc.abstractmethod
    def fingerprint(self):
        """Hex digest: equal for schemes that give the same ids."""

    @property
    @abc.abstractmethod
    def layout(self):
        """The `TokenLayout`."""

    @property
    def token_lengths(self):
        """Bytes of every id, int32 `(V,)`, or `None` if ids have no own."""
        return None

    @abc.abstractmethod
    def encode_batch(self, documents):
        """Encode documents one by one.

        Args:
            documents: A list of bytes.

        Returns:
            A pair: the ids of all documents, an integer array, and their
            offsets, an int64 array of `len(documents) + 1`.
        """

    @abc.abstractmethod
    def decode(self, ids, skip_special=False):
        """Decode ids.

        Args:
            ids: An integer array of shape `(T,)`.
            skip_special: bool. Whether to drop pad, start and end ids; they
                are an error otherwise.

        Returns:
            bytes.
        """

    def decode_batch(self, rows, skip_special=False):
        """Decode several rows of ids, for some schemes faster side by side.

        Args:
            rows: A list of integer arrays.
            skip_special: bool. See `decode`.

        Returns:
            A list of bytes.
        """
        return [self.decode(row, skip_special) for row in rows]

    def decode_generated(self, rows):
        """Decode ids that a model generated.

        Args:
            rows: A list of integer arrays, without special ids. A window that
                is not complete stands for no bytes yet, and is dropped.

        Returns:
            A list of bytes.
        """
        per_window = self.layout.tokens_per_window
        return self.decode_batch(
            [row[: len(row) - len(row) % per_window] for row in rows]
        )

    def token_bytes(self, token_id):
        """Return the bytes of one id.

        Args:
            token_id: int.

        Returns:
            bytes.

        Raises:
            ValueError: If the id stands for no bytes of its own.
        """
        return self.decode(np.array([token_id]))

    def token_id(self, token):
        """Return the id of one token.

        Args:
            token: bytes.

        Returns:
            int. If several ids stand for these bytes, the last of them.

        Raises:
            ValueError: If no id stands for these bytes.
        """
        vocabulary = self.vocabulary()
        if token not in vocabulary or not token:
            refuse_token(token)
        return len(vocabulary) - 1 - vocabulary[::-1].index(token)

    def vocabulary(self):
        """Return the bytes of every id.

        Returns:
            A list of `V` bytes, empty for ids that stand for none.

        Raises:
            ValueError: If ids stand for no bytes of their own.
        """
        _ = self.layout  # an error if assets are not loaded yet
        lengths = self.token_lengths
        if lengths is None:
            raise ValueError(
                "Only tokens with bytes of their own are a vocabulary. "
                f"Received: the scheme {self.name!r}, in which several tokens "
                "stand for bytes together. Decode whole documents."
            )
        return [
            self.token_bytes(i) if n else b"" for i, n in enumerate(lengths)
        ]

    def split_prompt(self, prompt):
        """Cut a prompt where continuations may still change its tokens.

        Args:
            prompt: bytes.

        Returns:
            A `Prompt`.
        """
        ids, _ = self.encode_batch([prompt])
        return Prompt(ids.astype("int32"))

    def get_config(self):
        """What a configuration file holds; assets hold the rest."""
        return {"name": self.name}

    @abc.abstractmethod
    def save_assets(self, directory):
        """Write the files named in `file_assets`."""

    @abc.abstractmethod
    def load_assets(self, directory):
        """Read the files named in `file_assets`."""

    def require(self, asset, what):
        """Return an asset, or raise a ValueError if it is not loaded yet."""
        if asset is None:
            raise ValueError(
                f"This {type(self).__name__} has no {what} yet. Pass one to "
                "the constructor, load a preset, or call "
                "`load_assets(directory)`."
            )
        return asset


def register_scheme(cls):
    """Make a scheme known by its name in configurations."""
    _SCHEMES[cls.name] = cls
    return cls


def scheme_from_config(config):
    """Create the scheme that a configuration describes, without its assets."""
    config = dict(config)
    name = config.pop("name", None)
    if name not in _SCHEMES:
        raise ValueError(
            f"`scheme` must name one of {sorted(_SCHEMES)}. Received: {name!r}"
        )
    return _SCHEMES[name](**config)


def ids_of_bytes(ids, token_lengths, skip_special):
    """Ids that all stand for bytes, or a ValueError.

    Args:
        ids: An integer array.
        token_lengths: Bytes of every id, `(V,)`.
        skip_special: bool. Whether special ids are dropped, not refused.

    Returns:
        The ids, without special ones.
    """
    vocabulary_size = len(token_lengths)
    if skip_special:
        ids = ids[(ids < 0) | (ids >= NUM_SPECIAL)]
    known = (ids >= 0) & (ids < vocabulary_size)
    lacking = ~known | (token_lengths[np.where(known, ids, 0)] == 0)
    if lacking.any():
        at = int(np.argmax(lacking))
        raise ValueError(
            f"Ids must be below {vocabulary_size} and stand for bytes. "
            f"Received: id {int(ids[at])} at position {at}. Pass "
            "`skip_special=True` to drop pad, start and end ids."
        )
    return ids


def check_rule(path, rule):
    """Raise a ValueError unless a file holds a rule, bytes."""
    with open(path, "rb") as file:
        found = file.read(len(rule) + 1)
    if found != rule:
        raise ValueError(
            f"{path} must hold the rule {rule!r}. Received: {found!r}. Load "
            "the preset with the version of keras_nc that saved it."
        )


def refuse_token(token):
    """Raise the ValueError for bytes that no id stands for."""
    raise ValueError(
        "A token must be in the vocabulary. Received: "
        f"{token!r}. Tokenize it: it may be several tokens."
    )
