"""Code ids in few bytes, with a model that adapts to them, in integers.

The rule is a part of the format of encoded files; see `docs/files.md`.

The range coder of `arithmetic` codes an id by these steps, until the id is
known:

- **A guess:** the id that followed the last time that the same two or more ids
  came before. If such guesses are right often enough, code whether this one is.
- **Candidates:** two ids that followed the previous id before. Code whether the
  id is the first, then whether it is the second.
- **Digits:** the id is a number of base 16. Code its digits, the highest first.
  Order 0 has a cell for each beginning of an id, with a probability for each
  next digit. These probabilities begin as those that follow from the costs of a
  codebook. Order 1 has cells for each previous id, which begin as copies of
  those of order 0. They are for the first digit only, and for the second if an
  id has two or three digits. These digits are coded with a mixture of both
  orders.

After each id, the probabilities of all answers and digits move towards what
came, and the weight of order 1 towards the order that gave it more. All of this
is in integers, so it is the same on every machine. Nothing is shared between
two calls.
"""

import functools
import math

import numpy as np

from keras_nc.coding.inputs import as_integer

#: 2^(1/1024), and what follows from it, have this many fractional bits.
_FRACTION = 96
#: Fractional bits of an id's weight in the initial probabilities.
_WEIGHT_BITS = 38
#: Bits of the sum of all weights, at most. Its product with 2^15 fits an int64.
_SUM_BITS = 48
_MAX_IDS = 1 << 16
#: The least part of a digit, and what is left of 2^15 for all.
_LEAST = 4
_SPARE = (1 << 15) - 16 * _LEAST
#: The cells of order 0 begin as if they had been used so often.
_USES = 8


class AdaptiveCoder:
    """Ids to few bytes and back, by a model that learns from the ids.

    Args:
        is_used: bool of shape (V,): which ids may occur. Others may, too, but
            cost more. V is 65,536 at most.
        costs: `-log2 p` of each id in units of 2^-10 bits, uint16 of shape
            (V,), such as those of a `Codebook`; `None` if all ids that may
            occur are equally probable at first.

    Example:
    >>> coder = AdaptiveCoder(np.ones(300, bool))
    >>> code = coder.encode([5, 299, 5, 299, 5, 299] * 100)
    >>> len(code), coder.decode(code, 600)[:3].tolist()
    (7, [5, 299, 5])
    """

    def __init__(self, is_used, costs=None):
        is_used = np.asarray(is_used, bool)
        as_integer("number of ids", is_used.size, 1, _MAX_IDS)
        #: Bits of an id.
        self.bits = max(1, (is_used.size - 1).bit_length())
        weights = is_used.astype(np.int64)
        if costs is not None:
            weights *= np.maximum(_powers_of_costs(costs), 1)
            # If costs are too low, the sum of probabilities is above 1.
            while int(weights.sum()) >> _SUM_BITS:
                weights = np.maximum(weights >> 1, is_used)
        self._digits = -(-self.bits // 4)
        self._cells = _initial_cells(weights, self._digits)

    def encode(self, ids, limit=None):
        """Return the code of ids.

        Args:
            ids: integers of shape (T,), below V.
            limit: bytes that the code may have, or `None`.

        Returns:
            bytes, or `None` if the code would be longer than the limit.

        Raises:
            ValueError: if an id is out of range.
        """
        from keras_nc.coding.kernels import adaptive as kernels

        ids = np.asarray(ids)
        if ids.size and not 0 <= ids.min() <= ids.max() < 1 << self.bits:
            raise ValueError(
                f"Ids must be from 0 to {(1 << self.bits) - 1}. Received: ids "
                f"from {ids.min()} to {ids.max()}. Pass ids of this vocabulary."
            )
        ids = np.ascontiguousarray(ids, np.uint16)
        if limit is None:
            limit = ids.size * kernels.MAX_ID_BYTES
        code = np.empty(limit + 2 * kernels.MAX_ID_BYTES, np.uint8)
        size = kernels.encode(ids, code, limit, *self._state(ids.size))
        too_long = size == kernels.TOO_LONG or size > limit
        return None if too_long else code[:size].tobytes()

    def decode(self, code, count):
        """Return the ids of a code.

        Args:
            code: bytes.
            count: how many ids it stands for.

        Returns:
            uint16 of shape (count,).

        Raises:
            ValueError: if no ids have this code. Damage may also give other
                ids: a checksum tells.
        """
        from keras_nc.coding.kernels import adaptive as kernels

        ids = np.empty(as_integer("count", count, 0), np.uint16)
        padded = np.frombuffer(code + bytes(kernels.PADDING), np.uint8)
        fault = kernels.decode(ids, padded, len(code), *self._state(ids.size))
        if fault:
            raise ValueError(
                "A code must be one that this coder writes, with the same "
                f"costs. Received: {len(code)} bytes for {count} ids, which "
                "end elsewhere. The code is damaged or cut."
            )
        return ids

    def _state(self, count):
        """Return the arguments of the kernel for a number of ids."""
        # A damaged code may give any digits.
        size = 16**self._digits
        mixed_digits = 2 if self._digits in (2, 3) else 1
        per_id = 1 + 16 * (mixed_digits - 1)
        return (
            self._digits,
            _rates(),
            self._cells.copy(),
            np.full(len(self._cells), _USES, np.uint8),
            mixed_digits,
            per_id,
            np.empty((size * per_id, 16), np.uint16),
            np.zeros(size * per_id, np.uint8),
            np.full((2, 32), 32000, np.int32),
            np.zeros(size * 2, np.uint16),
            np.zeros(size, np.uint8),
            np.full((16, 2), 20000, np.int32),
            np.full(16, 40000, np.int32),
            np.zeros(1 << min(max(8, count.bit_length() + 1), 18), np.int32),
        )


def _initial_cells(weights, digits):
    """Return the cells of order 0 for given weights of ids.

    The cell of a beginning of an id has the sums of the parts of all digits
    below each digit, in units of 2^-15. A digit's part is at least `_LEAST`.
    """
    leaves = np.zeros(16**digits, np.int64)
    leaves[: weights.size] = weights
    tables = []
    for depth in range(digits):
        cells = leaves.reshape(16**depth, 16, -1).sum(2)
        cells[cells.sum(1) == 0] = 1
        sums = np.cumsum(cells, axis=1)
        below, total = sums - cells, sums[:, -1:]
        tables.append(below * _SPARE // total + _LEAST * np.arange(16))
    return np.concatenate(tables).astype(np.uint16)


def _powers_of_costs(costs):
    """Return `2^(-cost / 1024)` with 38 fractional bits, int64."""
    integers, parts = np.divmod(-np.asarray(costs, np.int64), 1024)
    powers = [power >> (_FRACTION - _WEIGHT_BITS) for power in _powers()]
    return np.array(powers, np.int64)[parts] >> -integers


@functools.cache
def _powers():
    """Return `2^(i / 1024)` for i from 0 to 1023, as fixed-point integers."""
    root = 2 << _FRACTION
    for _ in range(10):
        root = math.isqrt(root << _FRACTION)
    powers = [1 << _FRACTION]
    for _ in range(1023):
        powers.append(powers[-1] * root >> _FRACTION)
    return powers


@functools.cache
def _rates():
    """Return the rates at which cells learn, int32 in units of 2^-16.

    After n uses, a cell moves towards a digit by `1 / (n + 1.5)` of the way.
    """
    return np.array([(2 << 16) // (2 * n + 3) for n in range(128)], np.int32)
