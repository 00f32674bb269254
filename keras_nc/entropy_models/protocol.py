"""The interface of entropy models, their files, and names of their classes.

A model is a file of arrays, `entropy_model.npz`, unless its class says
otherwise. The fingerprint is the SHA-256 of the line

    keras_nc entropy_model <format version> <name> <settings>

(the settings as JSON with sorted keys and no spaces), and then, for every
array in its order, of the line `<name> <dtype> <shape>` and its bytes,
little-endian.
"""

import abc
import json
import os
import re

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.archive import one_error
from keras_nc.coding.archive import read_arrays
from keras_nc.coding.archive import write_arrays
from keras_nc.entropy_models.stepping import PrefixStepper

FORMAT_VERSION = 1
ARRAYS = "entropy_model.npz"

_CLASSES = {}
#: The methods of a registered class.
_OFFERED = ("probabilities", "fingerprint", "file_names", "save", "load")


def register(name):
    """Register a class of entropy models under its name in files.

    A tokenizer that runs its model while coding saves the model with itself.
    To load it, first import the module that registers the class, because a file
    never causes an import.

    Args:
        name: str. Lowercase letters, digits and underscores.

    Returns:
        A class decorator.

    Raises:
        ValueError: If the name is invalid, or another class has it.
        TypeError: If the class lacks a method of `EntropyModel`.

    Example:
    >>> @register("uniform_bytes")
    ... class Uniform(EntropyModel):
    ...     def probabilities(self, prefixes):
    ...         return np.full((len(prefixes), 256), 1 / 256)
    >>> name_of(Uniform())
    'uniform_bytes'
    """
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError(
            "The name of a model must have lowercase letters, digits and "
            f"underscores, and begin with a letter. Received: {name!r}. Choose "
            "another name."
        )

    def decorate(cls):
        if not isinstance(cls, type):
            raise TypeError(
                "`register` is for classes of models. Received: "
                f"{cls!r}. Put it above a class."
            )
        lacking = [name for name in _OFFERED if not hasattr(cls, name)]
        if lacking:
            raise TypeError(
                f"A registered class must offer {', '.join(_OFFERED)}. "
                f"Received: {cls.__name__} without {', '.join(lacking)}. "
                "Derive it from `keras_nc.entropy_models.EntropyModel`."
            )
        other = _CLASSES.get(name)
        # A notebook cell that runs again redefines its class.
        again = other is not None and cls.__module__ == "__main__"
        again = again and _full_name(cls) == _full_name(other)
        if other not in (None, cls) and not again:
            raise ValueError(
                f"Two classes cannot have one name. Received: {name!r} for "
                f"{_full_name(cls)}, which is the name of {_full_name(other)}. "
                "Choose another name."
            )
        _CLASSES[name] = cls
        return cls

    return decorate


def _full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def name_of(model):
    """Return the name of a model's class, or raise a TypeError."""
    for name, cls in _CLASSES.items():
        if cls is type(model):
            return name
    raise TypeError(
        "To be saved with a tokenizer, a model must be of a class that was "
        "registered with `@entropy_models.register(name)`, such as "
        f"{_names()}. Received: {type(model).__name__}. Register its class."
    )


def _names():
    """Return the names of the registered classes, for errors."""
    return ", ".join(cls.__name__ for cls in _CLASSES.values())


def class_named(name):
    """Return the class registered by a name, or raise a ValueError."""
    cls = _CLASSES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(
            "The kind of an entropy model must be a registered name: one of "
            f"{sorted(_CLASSES)}. Received: kind={name!r}. Import the module "
            "that registers it first."
        )
    return cls


class EntropyModel(abc.ABC):
    """p(next byte | bytes since the window's start).

    A codebook only needs an object with a method `probabilities`. If each row
    depends only on its own prefix, bit for bit, the codebook does not depend on
    the batch. This holds for count models, but for few neural models. Some
    tokenizers run the model while coding. They need this guarantee, and a model
    that can be saved:

    - Derive it from this class and register it by a name with
      `@entropy_models.register(name)`.
    - If it has parameters, override `state` and `from_state`.
    - Override `stepper` if its rows depend on their batch, or if it is faster
      byte by byte.

    A model may also offer

        refit(text, starts) -> EntropyModel

    which returns a model with the statistics of window starts.
    `Codebook.build` uses it. `text` is bytes or a sequence of documents, and
    `starts` are the offsets of the window starts in the joined documents:
    int64, ascending. `RefittedModel.from_text` does the same for any model.

    Attributes:
        file_names: Names of the files that `save` writes, a list of str.

    Example:
    >>> import tempfile
    >>> from keras_nc import entropy_models
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.tokenizers import LiveWindowTokenizer
    >>> @entropy_models.register("last_byte_again")
    ... class LastByteAgain(entropy_models.EntropyModel):
    ...     def __init__(self, weight):
    ...         self.weight = weight
    ...
    ...     def probabilities(self, prefixes):
    ...         rows = np.full((len(prefixes), 256), 1 / 256)
    ...         for row, prefix in zip(rows, prefixes):
    ...             if prefix:
    ...                 row *= 1 - self.weight
    ...                 row[prefix[-1]] += self.weight
    ...         return rows
    ...
    ...     def state(self):
    ...         return {"weight": self.weight}, {}
    ...
    ...     @classmethod
    ...     def from_state(cls, settings, arrays):
    ...         return cls(**settings)
    >>> model = LastByteAgain(0.5)
    >>> codebook = Codebook.paper(model, window_bits=9)
    >>> codebook.decode(codebook.encode(b"aaab"))
    b'aaab'
    >>> tokenizer = LiveWindowTokenizer(model, window_bits=32)
    >>> tokenizer.detokenize(tokenizer(b"aaab"))
    b'aaab'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder)
    ...     LastByteAgain.load(folder).weight
    0.5
    """

    file_names = [ARRAYS]

    @abc.abstractmethod
    def probabilities(self, prefixes):
        """Return the distribution of the byte after each prefix.

        Args:
            prefixes: A sequence of bytes: the bytes since the window's start,
                one per row; empty at the start.

        Returns:
            A float64 array of shape `(len(prefixes), 256)`; rows sum to 1.
        """

    def stepper(self, batch_size, context_bytes):
        """Return the stepper that coders use; see `stepper_for`."""
        return PrefixStepper(self, batch_size, context_bytes)

    def state(self):
        """Return the settings and arrays that define the model.

        Returns:
            A pair: settings, a dict that JSON can hold, and a dict of NumPy
            arrays.
        """
        return {}, {}

    @classmethod
    def from_state(cls, settings, arrays):
        """Return the model that `state` described.

        Args:
            settings: A dict.
            arrays: A dict of NumPy arrays, from a file that may be damaged.

        Raises:
            ValueError: If they do not define such a model.
        """
        if settings or arrays:
            raise FaultError(f"fields {sorted([*settings, *arrays])}")
        return cls()

    @property
    def fingerprint(self):
        """SHA-256 of the class's name and the state, in hexadecimal."""
        settings, arrays = self.state()
        line = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        head = f"keras_nc entropy_model {FORMAT_VERSION} {name_of(self)}"
        parts = [f"{head} {line}\n"]
        for name, array in arrays.items():
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            parts.append(f"{name} {array.dtype.str} {array.shape}\n")
            parts.append(array.tobytes())
        return fingerprint_of(*parts)

    def save(self, directory):
        """Write the files. Each gets its name only when it is complete.

        Args:
            directory: A path.
        """
        settings, arrays = self.state()
        write_model(os.path.join(directory, ARRAYS), self, settings, arrays)

    @classmethod
    def load(cls, directory):
        """Read a model that `save` wrote, and check it.

        Args:
            directory: A path.

        Returns:
            A model of this class.

        Raises:
            ValueError: If the files do not hold such a model.
            OSError: If a file is missing or cannot be read.
        """
        with model_error(directory, cls):
            path = os.path.join(directory, ARRAYS)
            return cls.from_state(*read_model(path, cls))


def model_error(directory, cls):
    """Turn any exception caused by damaged files into one ValueError."""
    return one_error(
        directory,
        "A folder must hold all files of an entropy model of the kind "
        f"{_registered(cls)!r}, format version {FORMAT_VERSION}",
        "Fetch or save its files again.",
    )


def _registered(cls):
    return next((n for n, c in _CLASSES.items() if c is cls), None)


def head_of(model):
    """Return the head of a model's file, a dict for JSON."""
    return {"format_version": FORMAT_VERSION, "kind": name_of(model)}


def check_head(head, cls):
    """Check that a head is of this class; return the settings in it."""
    if not isinstance(head, dict):
        raise FaultError("a head that is not an object")
    settings = dict(head)
    found = (settings.pop("format_version", None), settings.pop("kind", None))
    if found != (FORMAT_VERSION, _registered(cls)):
        raise FaultError(f"format version and kind {found}")
    return settings


def write_model(path, model, settings, arrays):
    """Write settings and arrays of a model, as JSON and arrays in an archive.

    Args:
        path: Where the file goes.
        model: The model, for the head.
        settings: A dict that JSON can hold.
        arrays: A dict of arrays.
    """
    head = json.dumps({**head_of(model), **settings})
    write_arrays(path, {**arrays, "head": head})


def read_model(path, cls):
    """Return the settings and arrays of a file, which may be damaged.

    Any exception means that it is damaged.

    Args:
        path: A file that `write_model` wrote.
        cls: The class of the model, for the head.
    """
    arrays = read_arrays(path)
    head = json.loads(arrays.pop("head").item())
    return check_head(head, cls), arrays
