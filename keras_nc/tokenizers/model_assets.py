"""Entropy models as the asset files of a scheme."""

import os

from keras_nc.tokenizers import _model_files


class ModelAsset:
    """An entropy model that a scheme saves and loads with itself.

    A plain object: M1's weights must not become a part of the Keras model whose
    tokenizer holds it.

    Args:
        model: A `UnigramModel`, `NGramModel` or `ByteLMModel`; `None` until
            it is loaded.
        kind: str. Only without a model: `"unigram"`, `"ngram"` or `"byte_lm"`.
        fingerprint: str. Only without a model: what it will have.

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

    def __init__(self, model=None, kind=None, fingerprint=None):
        self._model = model
        self.kind = kind if model is None else _model_files.kind_of(model)
        if self.kind not in _model_files.KINDS:
            raise ValueError(
                "Pass an entropy model, or the kind of one to load: one of "
                f"{sorted(_model_files.KINDS)}. Received: model=None, "
                f"kind={kind!r}"
            )
        self._fingerprint = fingerprint
        if model is not None:
            self._fingerprint = _model_files.fingerprint(model)

    @property
    def file_names(self):
        """Names of the files, a list of str."""
        return list(_model_files.FILES[self.kind])

    @property
    def model(self):
        """The entropy model, `None` until it is loaded."""
        return self._model

    @property
    def fingerprint(self):
        """SHA-256 of the model, hexadecimal; `None` if that is not known."""
        return self._fingerprint

    def get_config(self):
        """Constructor arguments that stand for the model."""
        return {"kind": self.kind, "fingerprint": self._fingerprint}

    def save(self, directory):
        """Write the files."""
        _model_files.save(self._model, directory)

    def load(self, directory):
        """Read the files and check that they hold the expected model."""
        model = _model_files.load(directory, self.kind)
        found = _model_files.fingerprint(model)
        if self._fingerprint not in (None, found):
            raise ValueError(
                f"{os.fspath(directory)!r} must hold the entropy model that "
                f"the configuration names, with fingerprint "
                f"{self._fingerprint}. Received: one with fingerprint {found}. "
                "Restore the files that were saved with the configuration."
            )
        self._model, self._fingerprint = model, found
