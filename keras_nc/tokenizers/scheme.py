"""Schemes: plain objects that turn bytes into ids and back."""

import abc
import dataclasses
import itertools
import os

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PAD_ID
from keras_nc.coding import Prompt

#: Classes of schemes by their name in configurations.
_SCHEMES = {}
#: Errors of TensorFlow show the name of an operation. In an exported graph, and
#: in another process of the tf.data service, they say that a callback is not
#: found.
NEEDS_PYTHON = (
    "keras_nc_tokenizers_run_only_in_the_process_that_made_them"
    ".Export_the_model_without_its_tokenizer"
    ".Map_the_tokenizer_outside_the_tf_data_service"
)


@dataclasses.dataclass(frozen=True)
class TokenLayout:
    """The existing codes, and how tokens spell them.

    If a window is one token, its code is the id. If a window is several tokens,
    the `window_bits` bits of the code are cut into groups of `token_bits`, most
    significant first, and each id is 3 plus a group.

    Attributes:
        is_code: A bool array over all codes: whether the code stands for bytes.
        window_bits: int. Bits of a code, `W`.
        token_bits: int. Bits of a token, `N`.
        code_lengths: An int array over all codes: how many bytes the code
            stands for. Only schemes whose prompts have a remainder need it.
    """

    is_code: np.ndarray
    window_bits: int
    token_bits: int
    code_lengths: np.ndarray | None = None

    @property
    def num_codes(self):
        """Number of codes; they lie in `[0, num_codes)`."""
        return len(self.is_code)

    @property
    def tokens_per_window(self):
        """Number of tokens of a window."""
        return self.window_bits // self.token_bits

    @classmethod
    def one_token(cls, is_code):
        """Return the layout of a vocabulary in which every id is a code.

        Args:
            is_code: A bool array over all ids: whether the id stands for bytes.
        """
        return cls(np.asarray(is_code, dtype=bool), 1, 1)


class Scheme(abc.ABC):
    """A rule that turns bytes into ids and back, exactly.

    A scheme is a plain object, so Keras does not take the weights of its
    entropy model for weights of the language model.

    Attributes:
        name: str. Name of the scheme in configurations.
        file_assets: A list of str: names of the files that `save_assets`
            writes.
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
        """Hex digest; schemes that give the same ids have the same one."""

    @property
    @abc.abstractmethod
    def layout(self):
        """The `TokenLayout`."""

    @property
    def token_lengths(self):
        """Number of bytes of every id, int32 `(V,)`.

        `None` if several ids stand for bytes together.
        """
        return None

    @abc.abstractmethod
    def encode_batch(self, documents):
        """Encode each document by itself.

        Args:
            documents: A list of bytes.

        Returns:
            A pair: the ids of all documents, an integer array, and their
            offsets, an int64 array of `len(documents) + 1`.
        """

    def encode_joined(self, text, offsets):
        """Encode documents that are joined into one array.

        Tokenizers call it inside tf.data. Schemes override it if they need no
        Python object for each document.

        Args:
            text: A uint8 array, all documents joined.
            offsets: An int64 array, one more than documents. Document i is
                `text[offsets[i]:offsets[i + 1]]`.

        Returns:
            See `encode_batch`.
        """
        joined = memoryview(text.tobytes())
        bounds = itertools.pairwise(offsets.tolist())
        return self.encode_batch([bytes(joined[a:b]) for a, b in bounds])

    @abc.abstractmethod
    def decode(self, ids, skip_special=False):
        """Decode ids.

        Args:
            ids: An integer array of shape `(T,)`.
            skip_special: bool. Whether to drop pad, start and end ids.
                Otherwise they are an error.

        Returns:
            bytes.
        """

    def decode_batch(self, rows, skip_special=False):
        """Decode several rows of ids.

        Some schemes decode rows side by side, which is faster.

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
            rows: A list of integer arrays, without special ids. An incomplete
                window at the end is dropped, because it stands for no bytes
                yet.

        Returns:
            A list of bytes.
        """
        per_window = self.layout.tokens_per_window
        return self.decode_batch(
            [row[: len(row) - len(row) % per_window] for row in rows]
        )

    def token_bytes(self, token_id):
        """Return the bytes of an id; see `SchemeTokenizer.id_to_token`."""
        return self.decode(np.array([token_id]))

    def token_id(self, token):
        """Return the id of some bytes; see `SchemeTokenizer.token_to_id`."""
        vocabulary = self.vocabulary()
        # If several ids stand for these bytes, take the last one.
        if token not in vocabulary or not token:
            refuse_token(token)
        return len(vocabulary) - 1 - vocabulary[::-1].index(token)

    def vocabulary(self):
        """Return the bytes of all ids; see `SchemeTokenizer.get_vocabulary`."""
        _ = self.layout  # raises an error if assets are not loaded yet
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
        """Cut a prompt before the first id that a continuation may change.

        Args:
            prompt: bytes.

        Returns:
            A `Prompt`.
        """
        ids, _ = self.encode_batch([prompt])
        return Prompt(ids.astype("int32"))

    def get_config(self):
        """Return the content of a configuration file; assets hold the rest."""
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
                f"A {type(self).__name__} must have its {what} before it is "
                f"used. Received: no {what} yet. Pass one to the constructor, "
                "load a preset, or call `load_assets(directory)`."
            )
        return asset


def register_scheme(cls):
    """Register a scheme's class under its name in configurations.

    Args:
        cls: A subclass of `Scheme` with a `name`.

    Returns:
        The class, so that this is a decorator.
    """
    _SCHEMES[cls.name] = cls
    return cls


def scheme_from_config(config):
    """Create the scheme that a configuration describes, without its assets.

    Args:
        config: A dict, as from `Scheme.get_config`.

    Returns:
        A `Scheme`.

    Raises:
        ValueError: If no scheme has that name.
    """
    config = dict(config)
    name = config.pop("name", None)
    if name not in _SCHEMES:
        raise ValueError(
            f"`scheme` must name one of {sorted(_SCHEMES)}. Received: {name!r}"
        )
    return _SCHEMES[name](**config)


def ids_of_bytes(ids, token_lengths, skip_special):
    """Check that every id stands for bytes; return the ids.

    Args:
        ids: An integer array of shape `(T,)`.
        token_lengths: Number of bytes of every id, of shape `(V,)`.
        skip_special: bool. Whether to drop special ids; otherwise they are an
            error.

    Returns:
        The ids, without the special ones.

    Raises:
        ValueError: If an id stands for no bytes.
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


def to_id_rows(inputs):
    """Return rows of ids as integer arrays, and whether they are a batch."""
    if hasattr(inputs, "to_list"):  # ragged tensors
        inputs = inputs.to_list()
    if keras.ops.is_tensor(inputs):
        inputs = keras.ops.convert_to_numpy(inputs)
    if isinstance(inputs, (list, tuple)):
        batched = len(inputs) > 0 and np.ndim(inputs[0]) > 0
    else:
        inputs = np.asarray(inputs)
        batched = inputs.ndim == 2
        if inputs.ndim not in (1, 2):
            raise ValueError(
                "Ids must be a list or an array of rank 1 or 2. Received: "
                f"an array of {inputs.dtype} and shape {inputs.shape}"
            )
    rows = inputs if batched else [inputs]
    rows = [np.asarray(row) if len(row) else np.empty(0, int) for row in rows]
    for row in rows:
        if row.dtype.kind not in "iu" or row.ndim != 1:
            raise ValueError(
                "Ids must be integers, one row per text. Received: an array "
                f"of {row.dtype} and shape {row.shape}"
            )
    return rows, batched


def pad_rows(ids, offsets, length, whole_length):
    """Cut a flat array of ids into rows, cut or padded with 0.

    Args:
        ids: The ids of all rows, an integer array.
        offsets: Where rows begin and end in `ids`, `(B + 1,)`.
        length: int. Length of the result.
        whole_length: int. Rows are cut to this many ids.

    Returns:
        An int32 array of shape `(B, length)`.
    """
    padded = np.full((len(offsets) - 1, length), PAD_ID, dtype="int32")
    bounds = itertools.pairwise(offsets.tolist())
    for row, (first, last) in zip(padded, bounds, strict=True):
        last = min(last, first + whole_length)
        row[: last - first] = ids[first:last]
    return padded


def check_rule(path, rule):
    """Raise a ValueError unless a file holds a rule.

    Args:
        path: The file.
        rule: bytes. What the file must hold.
    """
    with open(path, "rb") as file:
        found = file.read(len(rule) + 1)
    if found != rule:
        raise ValueError(
            f"{path} must hold the rule {rule!r}. Received: {found!r}. Load "
            "the preset with the version of keras_nc that saved it."
        )


def check_fingerprint(path, expected, found):
    """Raise a ValueError if assets are not those of a configuration.

    Args:
        path: The file, or the folder.
        expected: str. The fingerprint in the configuration, or `None` if it
            names none.
        found: str. The fingerprint of the assets.
    """
    if expected not in (None, found):
        raise ValueError(
            f"{os.fspath(path)!r} must hold what the configuration names, with "
            f"fingerprint {expected}. Received: content with fingerprint "
            f"{found}. Restore the files that were saved with the "
            "configuration."
        )


def refuse_token(token):
    """Raise the ValueError for bytes that no id stands for."""
    raise ValueError(
        "A token must be in the vocabulary. Received: "
        f"{token!r}. Tokenize it: it may be several tokens."
    )
