"""Mix the statistics of window starts into any entropy model."""

import os

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import check_rows
from keras_nc.entropy_models.count_trie import CountTrie
from keras_nc.entropy_models.count_trie import count_window_starts
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import class_named
from keras_nc.entropy_models.protocol import model_error
from keras_nc.entropy_models.protocol import name_of
from keras_nc.entropy_models.protocol import read_model
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.protocol import write_model
from keras_nc.entropy_models.stepping import PrefixStepper
from keras_nc.entropy_models.stepping import stepper_for

#: The file of the counts; the files of the other model are beside it.
COUNTS = "entropy_model.starts.npz"


@register("refitted")
class RefittedModel(EntropyModel):
    """An entropy model mixed with counts of strings at window starts.

    If the string s occurs n(s) times at window starts, followed by T(s)
    distinct bytes, then

        p(b | s) = (n(sb) + T(s) * q(b | s)) / (n(s) + T(s))

    with the probabilities q of the model. If s was not counted, p is q.

    Args:
        model: An `EntropyModel`.
        start_counts: `CountTrie` of strings at window starts; see
            `count_window_starts`.

    Raises:
        TypeError: If `model` is refitted already.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"abab")
    >>> refitted = RefittedModel.from_text(model, b"abab", np.array([0, 2]))
    >>> bool(refitted.probabilities([b""])[0, ord("a")] > 0.5)
    True
    """

    def __init__(self, model, start_counts):
        if isinstance(model, RefittedModel):
            raise TypeError(
                "Counts can be mixed into a model once. Received: a "
                "`RefittedModel`. Use its method `refit`, which replaces them."
            )
        self._model = model
        self._start_counts = start_counts

    @classmethod
    def from_text(cls, model, text, starts):
        """Count the strings at the window starts of a text.

        Args:
            model: An `EntropyModel`.
            text: `str` or bytes, or a list of documents.
            starts: Offsets of the window starts in the documents joined,
                int64 of shape (windows,), ascending.

        Returns:
            A `RefittedModel`.

        Raises:
            ValueError: If `starts` are not ascending offsets into the text.
        """
        return cls(model, count_window_starts(text, starts))

    def refit(self, text, starts):
        """Count other window starts; see `from_text`."""
        return RefittedModel.from_text(self._model, text, starts)

    def probabilities(self, prefixes):
        """Return the distribution after each prefix; see `EntropyModel`."""
        rows = self._model.probabilities(prefixes)
        return self.mix_in(
            check_rows(rows, len(prefixes), self._model), prefixes
        )

    def mix_in(self, rows, prefixes):
        """Mix the counts into rows of the other model.

        Args:
            rows: Floats of shape `(n, 256)`.
            prefixes: n bytes.

        Returns:
            A new float64 array of the same shape.
        """
        from keras_nc.entropy_models.kernels import counts as kernels

        joined, offsets = join_documents(list(prefixes))
        rows = np.array(rows, "float64")
        kernels.mix_in(self._start_counts.arrays, joined, offsets, rows)
        return rows

    def stepper(self, batch_size, context_bytes):
        """Return a stepper that asks the other model's stepper."""
        inner = stepper_for(self._model, batch_size, context_bytes)
        return _RefittedStepper(self, inner)

    @property
    def file_names(self):
        """Names of the files: those of the other model, and the counts."""
        return [*self._model.file_names, COUNTS]

    def state(self):
        """Return a description of the other model, and the counts."""
        settings = {
            "model": name_of(self._model),
            "model_fingerprint": self._model.fingerprint,
        }
        return settings, self._start_counts.named("starts")

    def save(self, directory):
        """Write the other model's files and the counts."""
        settings, arrays = self.state()
        self._model.save(directory)
        write_model(os.path.join(directory, COUNTS), self, settings, arrays)

    @classmethod
    def load(cls, directory):
        """Read both; see `EntropyModel.load`."""
        with model_error(directory, cls):
            path = os.path.join(directory, COUNTS)
            settings, arrays = read_model(path, cls)
            counts = CountTrie.from_named("starts", arrays)
            expected = settings.pop("model_fingerprint")
            inner = class_named(settings.pop("model"))
            if inner is cls or settings or arrays:
                raise FaultError("other fields than those of counts")
            model = inner.load(directory)
            if model.fingerprint != expected:
                raise FaultError("counts that belong to another model")
        return cls(model, counts)


class _RefittedStepper(PrefixStepper):
    """Steps of the other model, with the counts mixed in."""

    def __init__(self, model, inner):
        super().__init__(model, inner.batch_size, inner.context_bytes)
        self.encode_only = getattr(inner, "encode_only", False)
        self._inner = inner

    def restart(self, rows):
        super().restart(rows)
        self._inner.restart(rows)

    def append(self, data, counts):
        super().append(data, counts)
        self._inner.append(data, counts)

    def _ask(self, rows, prefixes):
        answer = self._inner.probabilities()
        answer = check_rows(answer, self.batch_size, self._inner)
        return self.model.mix_in(answer[rows], prefixes)
