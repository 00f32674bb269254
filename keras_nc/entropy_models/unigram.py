"""Byte frequencies that do not depend on the context."""

import numpy as np

from keras_nc.coding.archive import FaultError
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import cumulative_frequencies
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.stepping import PrefixStepper


@register("unigram")
class UnigramModel(EntropyModel):
    """The same distribution of the next byte after every prefix.

    This is the model of StaticAC in "Training LLMs over Neurally Compressed
    Text", section 3.3.

    Args:
        counts: 256 non-negative integers, not all zero. A byte of count zero
            gets probability zero.

    Raises:
        ValueError: if `counts` is anything else.

    Example:
    >>> model = UnigramModel([1] * 256)
    >>> float(model.probabilities([b"", b"abc"])[1, 0])
    0.00390625
    """

    def __init__(self, counts):
        counts = np.array(counts)
        if (
            counts.shape != (256,)
            or counts.dtype.kind not in "iu"
            or counts.min() < 0
            or counts.max() == 0
            or sum(counts.tolist()) >= 2**63
        ):
            raise ValueError(
                "`counts` must be 256 non-negative integers, not all zero, "
                "with a sum below 2^63. "
                f"Received: shape={counts.shape}, dtype={counts.dtype}. "
                "Count the bytes with `UnigramModel.from_text`."
            )
        self._counts = counts.astype(np.int64)
        self._row = self._counts / self._counts.sum()

    @classmethod
    def from_text(cls, text):
        """Count the bytes of a text, and add one to every count.

        Args:
            text: `str` or bytes, or a list of documents.

        Returns:
            A `UnigramModel`.

        Example:
        >>> model = UnigramModel.from_text(b"abab")
        >>> float(model.probabilities([b""])[0, ord("a")])  # 3 / 260
        0.011538461538461539
        """
        joined, _ = join_documents(text)
        return cls(np.bincount(joined, minlength=256) + 1)

    @property
    def counts(self):
        """The counts of the 256 bytes, int64 of shape (256,)."""
        return self._counts.copy()

    def probabilities(self, prefixes):
        """Return the distribution of the byte after each prefix.

        Args:
            prefixes: sequence of n prefixes (bytes).

        Returns:
            float64 of shape (n, 256), all rows the same.

        Example:
        >>> UnigramModel([1] * 256).probabilities([b"", b"a"]).shape
        (2, 256)
        """
        return np.tile(self._row, (len(prefixes), 1))

    def stepper(self, batch_size, context_bytes):
        """Return a stepper that codes streams with one table."""
        return _UnigramStepper(self, batch_size, context_bytes)

    def state(self):
        """Return the counts; see `EntropyModel.state`."""
        return {}, {"counts": self.counts}

    @classmethod
    def from_state(cls, settings, arrays):
        """Return the model of a state; see `EntropyModel.from_state`."""
        if settings or set(arrays) != {"counts"}:
            raise FaultError(f"fields {sorted([*settings, *arrays])}")
        return cls(arrays["counts"])


class _UnigramStepper(PrefixStepper):
    """Steps of a `UnigramModel`; see `coding.StreamCoder` for its streams."""

    def encode_streams(self, text, bounds, precision, out, firsts, ends):
        from keras_nc.coding.kernels import range_coder

        table = self._table(precision)
        range_coder.encode_static(
            text, bounds, table, precision, out, firsts, ends
        )

    def decode_streams(self, codes, offsets, precision, text, bounds):
        from keras_nc.coding.kernels import range_coder

        table = self._table(precision)
        return range_coder.decode_static(
            codes, offsets, table, precision, text, bounds
        )

    def _table(self, precision):
        row = self.model.probabilities([b""])
        return cumulative_frequencies(row, precision)[0]
