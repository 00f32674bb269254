"""Find the tokenizer that made the ids of a data set.

A model would train on the ids of another tokenizer without an error. So readers
of token shards remember the origin of ids. This module remembers the origin of
arrays. A `tf.data.Dataset` carries the origin in its name. Other data sets are
searched for the shards that they hold.
"""

import dataclasses
import json
import numbers
import weakref

import numpy as np

_PREFIX = "keras_nc ids of "
#: Maps the identity of an array to a weak reference to it and its origin.
_known = {}


@dataclasses.dataclass(frozen=True)
class TokenOrigin:
    """The tokenizer that made ids, and the source of these ids.

    Args:
        fingerprint: str. Fingerprint of the tokenizer.
        scheme_name: str. Name of its scheme.
        vocabulary_size: int. Number of its ids.
        place: str. Where the ids come from, for errors.
    """

    fingerprint: str
    scheme_name: str
    vocabulary_size: int
    place: str

    @property
    def dataset_name(self):
        """The origin as the name of a `tf.data.Dataset`, a str."""
        return _PREFIX + json.dumps(dataclasses.astuple(self))

    @classmethod
    def from_dataset_name(cls, name):
        """Return the origin that a name holds, or `None`."""
        if not name or not name.startswith(_PREFIX):
            return None
        return cls(*json.loads(name.removeprefix(_PREFIX)))

    def check_tokenizer(self, tokenizer):
        """Raise a ValueError unless the tokenizer made the ids.

        Args:
            tokenizer: anything with a `fingerprint`.
        """
        if tokenizer.fingerprint != self.fingerprint:
            raise ValueError(
                "Tokens must be used with the tokenizer that made them. "
                "Received: tokenizer with fingerprint "
                f"{tokenizer.fingerprint}; {self.place} were made by "
                f"{self.scheme_name!r} with fingerprint {self.fingerprint}. "
                "Load that tokenizer, or write the shards again."
            )

    def check_vocabulary(self, vocabulary_size):
        """Raise a ValueError if the tokenizer has more ids than a model."""
        if self.vocabulary_size > vocabulary_size:
            raise ValueError(
                "A model must have every id of its data. Received: a model of "
                f"vocabulary_size={vocabulary_size}; {self.place} were made "
                f"by {self.scheme_name!r} with {self.vocabulary_size} ids. "
                "Use the model's own tokenizer, or write the shards again."
            )


def set_origin(array, origin):
    """Remember the origin of an array of ids for as long as it lives."""
    key = id(array)
    forget = weakref.ref(array, lambda _: _known.pop(key, None))
    _known[key] = forget, origin


def check_origins(data, tokenizer, vocabulary_size):
    """Raise a ValueError if data holds ids of another tokenizer.

    Args:
        data: Arrays, or a data set of any kind.
        tokenizer: The model's tokenizer. If `None`, only the number of ids is
            compared.
        vocabulary_size: int. Number of ids of the model.
    """
    for origin in find_origins(data):
        if tokenizer is None:
            origin.check_vocabulary(vocabulary_size)
        else:
            origin.check_tokenizer(tokenizer)


def find_origins(data):
    """Yield all known origins of ids in data.

    The search follows the data set of a torch `DataLoader`, the inputs of a
    `tf.data.Dataset`, the sources of a Grain data set, and the attributes of
    user-defined classes.

    Args:
        data: Arrays in dicts and tuples, or a data set.

    Yields:
        `TokenOrigin` objects.
    """
    seen = set()
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        origin = _origin_of(item)
        if origin is not None:
            yield origin
        waiting.extend(_parts(item))


def _origin_of(item):
    """Return the origin of one object, or `None`."""
    if isinstance(item, np.ndarray):
        return _origin_of_array(item)
    if isinstance(item, (str, bytes, numbers.Number, type)):
        return None
    if hasattr(item, "as_numpy_iterator"):  # a `tf.data.Dataset`
        return TokenOrigin.from_dataset_name(item.options().dataset_name)
    origin = getattr(item, "origin", None)
    if isinstance(origin, TokenOrigin):
        return origin
    # It may tokenize, such as the `collate_fn` of a torch `DataLoader`.
    tokenizer = getattr(item, "tokenizer", None)
    origin = getattr(tokenizer, "origin", None)
    return origin if isinstance(origin, TokenOrigin) else None


def _origin_of_array(array):
    """Return the origin of an array or, for a view, of its base."""
    while isinstance(array, np.ndarray):
        reference, origin = _known.get(id(array), (None, None))
        if reference is not None and reference() is array:
            return origin
        array = array.base
    return None


def _parts(item):
    """Return the parts of an object that holds data, a list."""
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, (list, tuple)):
        # Skip texts and numbers: they have no parts, and there may be millions.
        plain = item and isinstance(item[0], (str, bytes, numbers.Number))
        return [] if plain else list(item)
    if isinstance(item, (str, bytes, np.ndarray, type)):
        return []
    if not (hasattr(item, "__getitem__") or hasattr(item, "__iter__")):
        return []
    return list(getattr(item, "__dict__", {}).values())
