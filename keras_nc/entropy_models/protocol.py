"""What an entropy model is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class EntropyModel(Protocol):
    """p(next byte | bytes since the window's start).

    Anything with a method `probabilities` will do. A model whose rows depend
    on nothing but their own prefix, bit for bit, gives the same codebook
    whatever the batch; count models do, neural ones mostly do not.

    A model may also offer

        refit(text, starts) -> EntropyModel

    a new model with the statistics of window starts. `text` is bytes or a
    sequence of documents, and `starts` are the offsets of the window starts
    in the documents joined: int64, ascending. `Codebook.build` uses it.

    Example:
    >>> import numpy as np
    >>> from keras_nc.coding import Codebook
    >>> class Uniform:
    ...     def probabilities(self, prefixes):
    ...         return np.full((len(prefixes), 256), 1 / 256)
    >>> codebook = Codebook.paper(Uniform(), window_bits=9)
    >>> codebook.decode(codebook.encode(b"ab"))
    b'ab'
    """

    def probabilities(self, prefixes: Sequence[bytes]) -> np.ndarray:
        """Give the distribution of the byte after each prefix.

        Args:
            prefixes: the bytes since the window's start, one per row; empty
                at the start.

        Returns:
            float64 of shape (n, 256); rows sum to 1.
        """
        ...
