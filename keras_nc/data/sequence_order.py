"""Which tokens are in which sequence, and which sequences are in which batch.

Both are pure functions of the shards, the settings and the seed, so any batch
can be made without those before it.
"""

import numbers

import numpy as np

from keras_nc.data.token_shards import TokenShards

#: How documents share sequences; see `PackedSequences`.
PACKINGS = ("joined", "whole", "single")
#: Rows after which a mixture has the exact shares of its parts.
MIXED_ROWS = 1 << 14
#: A number in the seeds of mixtures, so that their random bits are not those of
#: orders.
_MIXING = 0x6D6978


class MixedSequences:
    """The sequences of one or several data sets, and which of them a row has.

    Args:
        shards: `TokenShards`, or a list of them; see `PackedSequences`.
        weights: see `PackedSequences`.
        length: int, T, the most tokens that a sequence has.
        packing: one of `PACKINGS`.
        seed: int.
        shuffle: bool, whether every epoch has an order of its own.

    Attributes:
        shards: list of `TokenShards`.
        parts: list of `Sequences`, one for each of the shards.
        mixture: `Mixture`, or `None` for one part.

    Raises:
        TypeError: if something is not `TokenShards`.
        ValueError: if they have different tokenizers, or weights do not fit.
    """

    def __init__(self, shards, weights, length, packing, seed, shuffle):
        self.shards = _as_list(shards, weights)
        self.parts = [
            Sequences(
                part,
                length,
                packing,
                [seed, *([number] if number else [])],
                shuffle,
            )
            for number, part in enumerate(self.shards)
        ]
        self.mixture = None
        if len(self.shards) > 1:
            if weights is None:
                weights = [part.num_tokens for part in self.shards]
            self.mixture = Mixture(weights, seed)

    def __len__(self):
        return sum(map(len, self.parts))

    def means(self):
        """Return the mean tokens of a row, and mean bytes per token, floats."""
        shares = self.mixture.quotas if self.mixture else np.ones(1)
        shares = shares / shares.sum()
        fill = np.array([part.tokens_per_sequence for part in self.parts])
        sizes = np.array([part.bytes_per_token for part in self.shards])
        bytes_per_token = shares * fill @ sizes / (shares @ fill)
        if self.mixture is None:
            bytes_per_token = sizes[0]  # not rounded
        return float(shares @ fill), float(bytes_per_token)

    def read(self, step, row, batch_size, steps_per_epoch, out):
        """Copy the sequence of one row of a batch.

        Args:
            step: int, counted from the beginning of training.
            row: int, in the batch.
            batch_size: int.
            steps_per_epoch: int.
            out: int32 of shape (T,), filled from its beginning.

        Returns:
            int, the tokens of the sequence; 0 if no sequence is left for it.
        """
        if self.mixture is not None:
            number, row = self.mixture.find(step * batch_size + row)
            part = self.parts[number]
            return part.read(*divmod(row, len(part)), out)
        epoch, step = divmod(step, steps_per_epoch)
        place = step * batch_size + row
        if place >= len(self):
            return 0
        return self.parts[0].read(epoch, place, out)


class Sequences:
    """The sequences of one data set, and their order in each epoch.

    Args:
        shards: `TokenShards`.
        length: int, T, the most tokens that a sequence has.
        packing: one of `PACKINGS`.
        seeds: list of int. With the epoch after them, they seed its order.
        shuffle: bool, whether every epoch has an order of its own.
    """

    def __init__(self, shards, length, packing, seeds, shuffle):
        self.shards = shards
        self._length = length
        self._seeds = seeds
        self._shuffle = shuffle
        self._epoch_order = (None, None)
        self._bounds = None
        if packing != "joined":
            self._bounds = _cut(shards, length, packing == "whole")

    def __len__(self):
        if self._bounds is None:
            return -(-self.shards.num_tokens // self._length)
        return len(self._bounds) - 1

    @property
    def tokens_per_sequence(self):
        """Mean number of tokens in a sequence; T if documents are joined."""
        if self._bounds is None:
            return self._length
        return self.shards.num_tokens / len(self)

    def read(self, epoch, place, row):
        """Copy one sequence.

        Args:
            epoch: int.
            place: int, in the order of the epoch.
            row: int32 of shape (T,), filled from its beginning.

        Returns:
            int, the tokens of the sequence.
        """
        if self._shuffle:
            place = int(self.order(epoch)[place])
        if self._bounds is None:
            start = place * self._length
            stop = min(start + self._length, self.shards.num_tokens)
        else:
            start, stop = self._bounds[place : place + 2].tolist()
        row[: stop - start] = self.shards.tokens(start, stop)
        return stop - start

    def order(self, epoch):
        """Return the order of an epoch's sequences, kept until the next."""
        known, order = self._epoch_order
        if known != epoch:
            # Use raw bits, not `permutation`, because NumPy guarantees that
            # they are the same in all versions.
            bits = _random_bits([*self._seeds, epoch], len(self))
            order = np.argsort(bits, kind="stable")
            # Assign once, because workers may be in different epochs.
            self._epoch_order = (epoch, order)
        return order


class Mixture:
    """Which part of a mixture each row of a batch comes from.

    Of each `MIXED_ROWS` rows, every part has its exact share by weight, in
    random order.

    Args:
        weights: list of numbers, in any unit.
        seed: int.

    Raises:
        ValueError: if a weight is not positive, or too small for one row.
    """

    def __init__(self, weights, seed):
        weights = _checked(weights)
        exact = [weight / sum(weights) * MIXED_ROWS for weight in weights]
        self.quotas = np.array([int(share) for share in exact])
        # The rows that are left go to the largest remainders.
        remainders = self.quotas - np.array(exact)
        left = MIXED_ROWS - self.quotas.sum()
        self.quotas[np.argsort(remainders, kind="stable")[:left]] += 1
        if not self.quotas.all():
            raise ValueError(
                f"Each part of a mixture must have at least one of {MIXED_ROWS}"
                f" rows. Received: weights={weights}. Leave the others out."
            )
        self._seed = seed
        self._known = (None, None)

    def find(self, row):
        """Return the part of a row, and how many of its rows came before.

        Args:
            row: int, counted from the beginning of training.
        """
        block, row = divmod(row, MIXED_ROWS)
        known, found = self._known
        if known != block:
            parts = np.repeat(np.arange(len(self.quotas)), self.quotas)
            bits = _random_bits([self._seed, block, _MIXING], MIXED_ROWS)
            parts = parts[np.argsort(bits, kind="stable")]
            earlier = np.zeros_like(parts)
            for part, quota in enumerate(self.quotas):
                earlier[parts == part] = np.arange(quota)
            found = parts, earlier
            self._known = (block, found)
        parts, earlier = found
        part = int(parts[row])
        return part, block * int(self.quotas[part]) + int(earlier[row])


def _as_list(shards, weights):
    """Return the shards to mix, a list, or raise an error."""
    mixed = shards if isinstance(shards, (list, tuple)) else [shards]
    for part in mixed:
        if not isinstance(part, TokenShards):
            raise TypeError(
                f"`shards` must be `TokenShards`. Received: {part!r}. Open a "
                "folder with `TokenShards(directory)`."
            )
        part.check_tokenizer(mixed[0])
    count = len(mixed) if weights is None else len(weights)
    if not mixed or len(mixed) != count:
        raise ValueError(
            "A mixture must have shards, and a weight for each of them. "
            f"Received: {len(mixed)} shards and {count} weights."
        )
    return mixed


def _checked(weights):
    weights = list(weights)
    for weight in weights:
        valid = isinstance(weight, numbers.Real) and np.isfinite(weight)
        if not valid or isinstance(weight, bool) or weight <= 0:
            raise ValueError(
                "Weights must be positive numbers. Received: "
                f"weights={weights}. Leave out what has no weight."
            )
    return [float(weight) for weight in weights]


def _random_bits(seeds, count):
    """Return random bits, uint64 of shape (count,), the same everywhere."""
    return np.random.Philox(np.random.SeedSequence(seeds)).random_raw(count)


def _cut(shards, length, several):
    """Return where sequences begin if documents are not joined.

    A document that is longer than a sequence is cut into several sequences.

    Args:
        shards: `TokenShards`.
        length: int, most tokens of a sequence.
        several: bool, whether documents that fit share a sequence.

    Returns:
        int64 of shape (sequences + 1,), places in the tokens of the corpus.
    """
    bounds = [np.zeros(1, np.int64)]
    for offsets in shards.document_offsets():
        sizes = np.diff(offsets)
        counts = -(-sizes // length)
        # Where parts of documents begin: each is at most one sequence.
        steps = np.arange(counts.sum())
        steps -= np.repeat(np.cumsum(counts) - counts, counts)
        parts = np.append(
            np.repeat(offsets[:-1], counts) + steps * length, offsets[-1]
        )
        if several:
            # If a sequence begins at a part: the part where the next begins.
            following = np.searchsorted(parts, parts + length, side="right") - 1
            following = following.tolist()
            taken, part = [0], 0
            while part < len(parts) - 1:
                part = following[part]
                taken.append(part)
            parts = parts[taken]
        bounds.append(parts[1:])
    return np.concatenate(bounds)
