"""Token shards cut into batches of one shape, for Keras.

Every token is a target exactly once per epoch, and all batches have one shape,
so nothing is compiled twice.
"""

import operator

import keras
import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_flag
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.origin import set_origin
from keras_nc.data.sequence_order import PACKINGS
from keras_nc.data.sequence_order import Mixture
from keras_nc.data.sequence_order import Sequences
from keras_nc.data.token_shards import TokenShards


class PackedSequences(keras.utils.PyDataset):
    """Batches of packed sequences: a pure function of seed and step.

    A batch is `(x, y, sample_weight)`. `y` holds the tokens of its sequences.
    `x["token_ids"]` holds the start id, then `y` without its last token.
    `x["padding_mask"]` is 1 at the start id and at tokens, and `sample_weight`
    is 1 where `y` holds a token. Incomplete sequences and batches are filled
    with pads, which have weight 0.

    Step `s` belongs to epoch `s // steps_per_epoch`, and each epoch has its own
    order. If a run was interrupted after `s` steps, pass `start_step=s`: it
    continues as if it had never stopped. Keras starts each of its epochs at
    index 0. To train for more than one epoch, make one dataset with all `steps`
    of the run, and give `fit` short epochs with `steps_per_epoch`. The models
    of this package keep the order of batches. With any other model, pass
    `shuffle=False` to `fit`, which would otherwise shuffle them again with its
    own seed.

    Args:
        shards: `TokenShards`, or a list of them to mix; all must be written by
            one tokenizer.
        sequence_length: int, T, tokens per sequence.
        batch_size: int, B, sequences per batch.
        seed: int, determines the order of the sequences.
        shuffle: if False, sequences come in the order of the corpus.
        steps: int, batches in this dataset; by default those of one epoch.
        start_step: int, the step at index 0.
        drop_remainder: if True, drop sequences that do not fill the last batch;
            the default when shuffling. If False, fill the last batch with rows
            of weight 0.
        short_length: int, a divisor of `sequence_length`, or `None`. With it,
            every `short_every`-th batch is cut into sequences of this length.
            It has as many tokens, in more rows. So the model sees more
            beginnings of sequences. M1 needs them: it restarts at each window.
        short_every: int, the number of steps from one such batch to the next.
        packing: `"joined"`: all documents are joined, and sequence j holds the
            tokens `[j * T, (j + 1) * T)`. `"whole"`: a document that does not
            fit the rest of a sequence begins the next one. `"single"`: every
            document begins a sequence. Documents longer than a sequence are cut
            into several. What a sequence lacks is filled with pads.
        document_masks: if True, `x["padding_mask"]` numbers the documents of a
            sequence from 1 on, and each document begins with the start id. In a
            backbone with `document_masks=True`, no document sees another one.
        weights: for several shards, their shares of the sequences, a list of
            numbers in any unit; by default, their numbers of tokens. Each of
            the shards is shuffled by itself and begins again after its end.
            An epoch has as many sequences as all shards, and a row that an
            epoch would drop belongs to the next one.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`. Leave `workers` at 1: with more, Keras 3.15
            reorders batches, and loses some when it looks at the first one to
            build the model.

    Raises:
        ValueError: if a size is not positive, or if an epoch has no batch.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import PackedSequences
    >>> from keras_nc.data import write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = write_shards([b"AB", b"C"], ByteTokenizer(), folder)
    ...     data = PackedSequences(shards, 4, batch_size=2, shuffle=False)
    ...     x, y, sample_weight = data[0]
    >>> x["token_ids"]
    array([[ 1, 68, 69,  2],
           [ 1,  2,  0,  0]], dtype=int32)
    >>> y
    array([[68, 69,  2, 70],
           [ 2,  0,  0,  0]], dtype=int32)
    >>> sample_weight
    array([[1., 1., 1., 1.],
           [1., 0., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        shards,
        sequence_length,
        batch_size,
        *,
        seed=0,
        shuffle=True,
        steps=None,
        start_step=0,
        drop_remainder=None,
        short_length=None,
        short_every=4,
        packing="joined",
        document_masks=False,
        weights=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        mixed = _as_list(shards, weights)
        shards = mixed[0]
        if drop_remainder is None:
            drop_remainder = shuffle
        self.shards = shards
        self.sequence_length = as_integer("sequence_length", sequence_length)
        self.batch_size = as_integer("batch_size", batch_size)
        self.seed = as_integer("seed", seed, least=0)
        self.shuffle = shuffle
        self.start_step = as_integer("start_step", start_step, least=0)
        self.drop_remainder = drop_remainder
        self.short_length = short_length
        if short_length is not None:
            self.short_length = as_integer("short_length", short_length)
            if self.sequence_length % self.short_length:
                raise ValueError(
                    "`short_length` must divide `sequence_length`. Received: "
                    f"short_length={short_length}, "
                    f"sequence_length={sequence_length}"
                )
        self.short_every = as_integer("short_every", short_every)
        if steps is not None:
            steps = as_integer("steps", steps)
        self.packing = as_choice("packing", packing, PACKINGS)
        self.document_masks = as_flag("document_masks", document_masks)
        #: The `Sequences` of each part of the mixture.
        self.parts = [
            Sequences(
                part,
                self.sequence_length,
                self.packing,
                [self.seed, *([number] if number else [])],
                self.shuffle,
            )
            for number, part in enumerate(mixed)
        ]
        self.weights = weights
        self._mixture = None
        if len(mixed) > 1:
            if weights is None:
                weights = [part.num_tokens for part in mixed]
            self._mixture = Mixture(weights, self.seed)
        self.num_sequences = sum(map(len, self.parts))
        if drop_remainder:
            self.steps_per_epoch = self.num_sequences // self.batch_size
        else:
            self.steps_per_epoch = -(-self.num_sequences // self.batch_size)
        if self.steps_per_epoch == 0:
            raise ValueError(
                "An epoch must have at least one batch. Received: "
                f"{self.num_sequences} sequences of {sequence_length} tokens, "
                f"for batch_size={batch_size} with drop_remainder=True. Use "
                "smaller batches or sequences, more text, or "
                "`drop_remainder=False`."
            )
        self.steps = self.steps_per_epoch if steps is None else steps
        shares = self._mixture.quotas if self._mixture else np.ones(1)
        shares = shares / shares.sum()
        fill = np.array([part.tokens_per_sequence for part in self.parts])
        #: Mean number of targets in a row, a float.
        self.tokens_per_sequence = float(shares @ fill)
        sizes = np.array([part.bytes_per_token for part in mixed])
        #: Mean bytes of text per token, a float.
        self.bytes_per_token = float(shares * fill @ sizes / (shares @ fill))
        if len(mixed) == 1:
            self.bytes_per_token = shards.bytes_per_token  # not rounded

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return self.make(index)

    def make(self, index, rows=None):
        """Make the batch at an index, or some of its rows; see `batch`."""
        index = operator.index(index)
        # This also makes `for batch in dataset` end.
        if not 0 <= index < self.steps:
            raise IndexError(
                f"Batches are numbered from 0 to {self.steps - 1}. Received: "
                f"index={index}. Make a dataset with more `steps`."
            )
        step = self.start_step + index
        return self.batch(step) if rows is None else self.batch(step, rows)

    def batch(self, step, rows=None):
        """Make the batch of one step, whatever batches were made before.

        Args:
            step: int, counted from the beginning of training.
            rows: the rows to make, a sequence of int, or `None` for all.

        Returns:
            A tuple `(x, y, sample_weight)`: `x` is a dict of `token_ids` and
            `padding_mask`, all arrays have the shape `(B, T)`, and all are
            int32 but `sample_weight`, which is float32. A batch of short
            sequences has the shape `(B * T / short_length, short_length)`.
        """
        T = self.sequence_length
        step = operator.index(step)
        if rows is None:
            rows = range(self.batch_size)
        y = np.full((len(rows), T), PAD_ID, "int32")
        lengths = np.zeros((len(rows), 1), "int32")
        for target, length, row in zip(y, lengths, rows, strict=True):
            found = self._find(step, row)
            if found is not None:
                part, epoch, place = found
                length[:] = part.read(epoch, place, target)
        is_short = step % self.short_every == self.short_every - 1
        if self.short_length is not None and is_short:
            lengths = lengths - np.arange(0, T, self.short_length)
            T = self.short_length
            lengths = np.clip(lengths, 0, T).reshape(-1, 1)
            y = y.reshape(-1, T)
        token_ids = np.full(y.shape, START_ID, "int32")
        token_ids[:, 1:] = y[:, :-1]
        positions = np.arange(T)
        # The start id is not padding. If all of a row were masked, its softmax
        # and the loss would be NaN.
        padding_mask = (positions <= lengths).astype("int32")
        if self.document_masks:
            ended = token_ids == END_ID
            token_ids[ended] = START_ID
            padding_mask *= 1 + np.cumsum(ended, axis=1, dtype="int32")
        # Models refuse the ids of another tokenizer by this mark, even in a
        # batch that was taken out of this data set.
        for ids in (token_ids, y):
            set_origin(ids, self.shards.origin)
        sample_weight = (positions < lengths).astype("float32")
        x = {"token_ids": token_ids, "padding_mask": padding_mask}
        return x, y, sample_weight

    def _find(self, step, row):
        """Return the part, the epoch and the place of a row, or `None`."""
        if self._mixture is not None:
            number, row = self._mixture.find(step * self.batch_size + row)
            part = self.parts[number]
            return part, *divmod(row, len(part))
        epoch, step = divmod(step, self.steps_per_epoch)
        place = step * self.batch_size + row
        if place >= self.num_sequences:
            return None
        return self.parts[0], epoch, place


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
