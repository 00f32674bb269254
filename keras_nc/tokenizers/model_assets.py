"""Entropy models as the asset files of a scheme."""

import os
import re

from keras_nc import entropy_models


class ModelAsset:
    """An entropy model that a scheme saves and loads with itself.

    This is a plain object, so that M1's weights do not become a part of the
    Keras model whose tokenizer holds it.

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
        if self._fingerprint not in (None, found):
            raise ValueError(
                f"{os.fspath(directory)!r} must hold the entropy model that "
                f"the configuration names, with fingerprint "
                f"{self._fingerprint}. Received: one with fingerprint {found}. "
                "Restore the files that were saved with the configuration."
            )
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
