"""Code ids in few bytes, with a model that adapts to them, in integers.

The rule is a part of the format of encoded files, see `docs/files.md`.

An id of W bits is coded as W binary decisions, the highest bit first, by the
range coder of `arithmetic` with parts of 2^16. Two models give a probability
for each decision:

- **Order 0** has a cell for each prefix of an id's bits. It begins with the
  probabilities that the costs of a codebook tell.
- **Order 1** has cells for each prefix after each previous id, in a table of
  limited size that forgets what is used least.

A third model guesses the next id: the one that followed when the last two or
more ids were the same. If such guesses are mostly right, one decision says
whether this one is, and the bits are coded only if it is not. Otherwise, the
guess tells its bits, as long as the bits before were right.

The probabilities are mixed as in PAQ: the logarithms of their odds, in units of
1/128 bit, get weights, which then move to where the bit would have cost less.
All of this is in integers, so it is the same on every machine. Nothing is
shared between two calls.
"""

import functools
import math

import numpy as np

from keras_nc.coding.checks import as_integer

#: 2^(1/1024), and what follows from it, have this many fractional bits.
_FRACTION = 96
#: Fractional bits of an id's weight in the initial probabilities.
_WEIGHT_BITS = 38
_MAX_IDS = 1 << 16


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
    (5, [5, 299, 5])
    """

    def __init__(self, is_used, costs=None):
        is_used = np.asarray(is_used, bool)
        as_integer("number of ids", is_used.size, 1, _MAX_IDS)
        #: Bits of an id.
        self.bits = max(1, (is_used.size - 1).bit_length())
        weights = is_used.astype(np.int64)
        if costs is not None:
            weights *= np.maximum(_powers_of_costs(costs), 1)
        confidence = 2 if costs is None else 4
        self._nodes = _initial_nodes(weights, self.bits, confidence)

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
        size = kernels.run(False, ids, code, limit, *self._state(ids.size))
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
        data = np.frombuffer(bytearray(code), np.uint8)
        fault = kernels.run(True, ids, data, 0, *self._state(ids.size))
        if fault:
            raise ValueError(
                "A code must be one that this coder writes, with the same "
                f"costs. Received: {len(code)} bytes for {count} ids, which "
                "end elsewhere. The code is damaged or cut."
            )
        return ids

    def _state(self, count):
        """Return the arguments of the kernel for a number of ids."""
        from keras_nc.coding.kernels import adaptive as kernels

        # A slot holds four decisions. Larger tables would leave the cache.
        size = 1 << min(max(10, (4 * count).bit_length()), 16)
        slots = np.full((size, 16), kernels.FRESH)
        slots[:, 0] = 0
        last = np.zeros(1 << min(max(8, count.bit_length() + 1), 18), np.int32)
        weights = np.empty((16, 3), np.int32)
        weights[:] = 28000, 46000, 40000  # in units of 2^-16
        weights[::8] = 65536, 0, 40000  # if order 1 does not know the context
        hits = np.full(16, 60000, np.int32)
        hits[:6] = 30000, 30000, 30000, 50000, 50000, 50000
        tables = _tables()
        nodes = self._nodes.copy()
        return (
            self.bits, tables, nodes, slots, last, weights, hits, hits.copy()
        )  # fmt: skip


def _initial_nodes(weights, bits, confidence):
    """Return the cells of order 0 for given weights of ids.

    A cell holds the probability of a 1 in 22 bits, and above that, in 10 bits,
    how often it was used, as if it had been used `confidence` times.
    """
    level = np.zeros(1 << bits, np.int64)
    level[: weights.size] = weights
    nodes = np.zeros(1 << bits, np.uint32)
    for depth in reversed(range(bits)):
        ones, level = level[1::2], level[::2] + level[1::2]
        p = (ones << 22) // np.maximum(level, 1)
        p[level == 0] = 1 << 21
        p = np.clip(p, 1 << 8, (1 << 22) - (1 << 8))
        nodes[1 << depth : 2 << depth] = p << 10 | confidence
    return nodes


def _powers_of_costs(costs):
    """Return `2^(-cost / 1024)` with 38 fractional bits, int64."""
    whole, parts = np.divmod(-np.asarray(costs, np.int64), 1024)
    powers = [power >> (_FRACTION - _WEIGHT_BITS) for power in _powers()]
    return np.array(powers, np.int64)[parts] >> -whole


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
def _tables():
    """Return the tables `stretch`, `squash` and `rates` of the kernel.

    `squash[2047 + x]` is the probability, in units of 2^-16, whose odds have
    the logarithm x, in units of 1/128 bit. `stretch[p]` is the x for a
    probability in units of 2^-12. After n uses, a cell moves towards the bit by
    `1 / (n + 1.5)`; `rates` has this in units of 2^-16.
    """
    exact = []
    for x in range(-2047, 2048):
        odds = _powers()[abs(x) * 8 % 1024] << abs(x) * 8 // 1024
        part = (odds << 16) // (odds + (1 << _FRACTION))
        exact.append(part if x >= 0 else (1 << 16) - part)
    exact = np.array(exact)
    middles = 16 * np.arange(1 << 12) + 8
    stretch = np.minimum(np.searchsorted(exact, middles), 4094) - 2047
    squash = np.clip(exact, 16, (1 << 16) - 16)
    rates = np.array([(2 << 16) // (2 * n + 3) for n in range(128)], np.int32)
    return stretch.astype(np.int16), squash.astype(np.uint16), rates
