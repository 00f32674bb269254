"""Token shards cut into batches of equal shape, for Keras and for `tf.data`.

The tokens of all documents are joined. Sequence j holds the tokens
`[j * T, (j + 1) * T)`. Every token is a target exactly once per epoch, and all
batches have one shape, so nothing is compiled twice.
"""

import operator

import keras
import numpy as np

from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.coding.origin import set_origin
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
        shards: `TokenShards`.
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
            every `short_every`-th batch is cut into sequences of this length:
            as many tokens in more rows. A model learns to begin as well as to
            go on, as M1 must, which restarts at every window.
        short_every: int, the number of steps from one such batch to the next.
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(shards, TokenShards):
            raise TypeError(
                f"`shards` must be `TokenShards`. Received: {shards!r}. Open a "
                "folder with `TokenShards(directory)`."
            )
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
        self.num_sequences = -(-shards.num_tokens // self.sequence_length)
        if drop_remainder:
            self.steps_per_epoch = self.num_sequences // self.batch_size
        else:
            self.steps_per_epoch = -(-self.num_sequences // self.batch_size)
        if self.steps_per_epoch == 0:
            raise ValueError(
                "An epoch must have at least one batch. Received: "
                f"{shards.num_tokens} tokens, {self.num_sequences} sequences "
                f"of {sequence_length}, for batch_size={batch_size} with "
                "drop_remainder=True. Use smaller batches or sequences, more "
                "text, or `drop_remainder=False`."
            )
        self.steps = self.steps_per_epoch if steps is None else steps
        self._epoch_order = (None, None)

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        index = operator.index(index)
        # This also makes `for batch in dataset` end.
        if not 0 <= index < self.steps:
            raise IndexError(
                f"Batches are numbered from 0 to {self.steps - 1}. Received: "
                f"index={index}. Make a dataset with more `steps`."
            )
        return self.batch(self.start_step + index)

    def batch(self, step):
        """Make the batch of one step, whatever batches were made before.

        Args:
            step: int, counted from the beginning of training.

        Returns:
            A tuple `(x, y, sample_weight)`: `x` is a dict of `token_ids` and
            `padding_mask`, all arrays have the shape `(B, T)`, and all are
            int32 but `sample_weight`, which is float32. A batch of short
            sequences has the shape `(B * T / short_length, short_length)`.
        """
        B, T = self.batch_size, self.sequence_length
        step = operator.index(step)
        is_short = step % self.short_every == self.short_every - 1
        epoch, step = divmod(step, self.steps_per_epoch)
        rows = range(step * B, min((step + 1) * B, self.num_sequences))
        order = self._order(epoch) if self.shuffle else None
        y = np.full((B, T), PAD_ID, "int32")
        lengths = np.zeros((B, 1), "int32")
        for row, position in enumerate(rows):
            start = T * (position if order is None else int(order[position]))
            stop = min(start + T, self.shards.num_tokens)
            y[row, : stop - start] = self.shards.tokens(start, stop)
            lengths[row] = stop - start
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
        # Models refuse the ids of another tokenizer by this mark, even in a
        # batch that was taken out of this data set.
        for ids in (token_ids, y):
            set_origin(ids, self.shards.origin)
        sample_weight = (positions < lengths).astype("float32")
        x = {"token_ids": token_ids, "padding_mask": padding_mask}
        return x, y, sample_weight

    def _order(self, epoch):
        """Return the order of an epoch's sequences, kept until the next."""
        known, order = self._epoch_order
        if known != epoch:
            seeds = np.random.SeedSequence([self.seed, epoch])
            # Use raw bits, not `permutation`, because NumPy guarantees that
            # they are the same in all versions.
            bits = np.random.Philox(seeds).random_raw(self.num_sequences)
            order = np.argsort(bits, kind="stable")
            # Assign once, because workers may be in different epochs.
            self._epoch_order = (epoch, order)
        return order


def tf_dataset(sequences, prefetch=None):
    """Make a `tf.data.Dataset` with the batches of `PackedSequences`.

    TensorFlow is imported here, at the call.

    Args:
        sequences: `PackedSequences`.
        prefetch: int, batches made ahead; by default, TensorFlow's choice.

    Returns:
        A `tf.data.Dataset` of `len(sequences)` batches
        `(x, y, sample_weight)`, in the order of `sequences`, of static
        shapes `(B, T)`. Its name (`options().dataset_name`) says which
        tokenizer made the ids, so that models can refuse the ids of another
        tokenizer. Data sets made from it by `map`, `take`, `prefetch` and the
        like inherit the name. If you give another name, inside `flat_map` or
        `interleave`, and after `save` and `load`, nothing is checked.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import PackedSequences
    >>> from keras_nc.data import tf_dataset
    >>> from keras_nc.data import write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = write_shards([b"AB", b"C"], ByteTokenizer(), folder)
    ...     dataset = tf_dataset(PackedSequences(shards, 4, batch_size=2))
    ...     dataset.element_spec[1].shape
    TensorShape([2, 4])
    """
    import tensorflow as tf

    shape = (sequences.batch_size, sequences.sequence_length)
    if sequences.short_length is not None:
        shape = (None, None)

    def make(index):
        x, y, sample_weight = sequences[int(index)]
        return x["token_ids"], x["padding_mask"], y, sample_weight

    def load(index):
        types = (tf.int32, tf.int32, tf.int32, tf.float32)
        arrays = tf.numpy_function(make, [index], types)
        for array in arrays:
            array.set_shape(shape)
        token_ids, padding_mask, y, sample_weight = arrays
        x = {"token_ids": token_ids, "padding_mask": padding_mask}
        return x, y, sample_weight

    if prefetch is None:
        prefetch = tf.data.AUTOTUNE
    options = tf.data.Options()
    options.dataset_name = sequences.shards.origin.dataset_name
    batches = tf.data.Dataset.range(len(sequences)).map(load)
    return batches.prefetch(prefetch).with_options(options)


def process_batches(sequences):
    """Return this process's rows of every batch, if several train together.

    Under a `keras.distribution` of several JAX processes, Keras expects each
    process to feed only the rows of its own devices.

    Args:
        sequences: `PackedSequences`, the same in every process.

    Returns:
        A `keras.utils.PyDataset`: with one process, `sequences` itself.
    """
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.num_processes == 1:
        return sequences
    return _ProcessBatches(sequences, distribution)


class _ProcessBatches(keras.utils.PyDataset):
    def __init__(self, sequences, distribution):
        super().__init__()
        self.sequences = sequences
        self.shards = sequences.shards
        # The mesh knows which device has which rows. Devices may not be in the
        # order of their processes.
        shape = (sequences.batch_size, sequences.sequence_length)
        layout = distribution.get_data_layout(shape).backend_layout
        indices = layout.addressable_devices_indices_map(shape).values()
        rows = [np.arange(sequences.batch_size)[index[0]] for index in indices]
        self._rows = np.unique(np.concatenate(rows))
        self._batch_size = sequences.batch_size

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        # Reading the rows of other processes costs little: they are mapped.
        x, y, sample_weight = self.sequences[index]
        # A short sequence belongs to the process of the sequence it is from.
        parts = len(y) // self._batch_size
        rows = (self._rows[:, None] * parts + np.arange(parts)).ravel()
        return keras.tree.map_structure(
            lambda array: array[rows], (x, y, sample_weight)
        )
