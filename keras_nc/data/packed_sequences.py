"""Token shards cut into batches of one shape.

Every token is a target exactly once per epoch, and all batches have one shape,
so nothing is compiled twice. The batches are a data set of Keras; functions
make them one of `tf.data` or Grain, or divide them among processes.
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
from keras_nc.data.sequence_order import MixedSequences


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
        if drop_remainder is None:
            drop_remainder = shuffle
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
        #: The `MixedSequences`: what each row of a batch holds.
        self.mixed = MixedSequences(
            shards,
            weights,
            self.sequence_length,
            self.packing,
            self.seed,
            self.shuffle,
        )
        self.shards = self.mixed.shards[0]
        self.weights = weights
        self.num_sequences = len(self.mixed)
        #: Mean targets in a row, and mean bytes of text per token, floats.
        self.tokens_per_sequence, self.bytes_per_token = self.mixed.means()
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
            length[:] = self.mixed.read(
                step, row, self.batch_size, self.steps_per_epoch, target
            )
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


def tf_dataset(sequences, prefetch=None):
    """Make a `tf.data.Dataset` with the batches of `PackedSequences`.

    TensorFlow is imported here, at the call.

    Args:
        sequences: `PackedSequences`, or what `process_batches` returned.
        prefetch: int, how many batches are made ahead; by default, TensorFlow
            chooses.

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


def grain_dataset(sequences):
    """Make a Grain data set with the batches of `PackedSequences`.

    Grain is imported here, at the call.

    Args:
        sequences: `PackedSequences`, or what `process_batches` returned.

    Returns:
        A `grain.MapDataset` of the batches, in their order.

    Raises:
        ImportError: if Grain is not installed.

    Example:
    >>> import tempfile
    >>> from keras_nc.data import write_shards
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = write_shards([b"AB", b"C"], ByteTokenizer(), folder)
    ...     data = PackedSequences(shards, 4, batch_size=2)
    ...     x, y, sample_weight = grain_dataset(data)[0]
    >>> y.shape
    (2, 4)
    """
    try:
        import grain
    except ImportError as error:
        raise ImportError(
            "A Grain data set needs Grain. Received: no package `grain`. Run "
            "`pip install grain`, or use `sequences` itself or `tf_dataset`."
        ) from error
    return grain.MapDataset.source(sequences)


def process_batches(sequences, process=None, processes=None):
    """Return this process's rows of every batch, if several train together.

    By default, the processes are those of a `keras.distribution` of JAX, in
    which each process must feed only the rows of its own devices. For other
    processes, such as those of `torch.distributed`, pass `process` and
    `processes`. The rows of all processes together are the rows that a single
    process would have, in the same order.

    Args:
        sequences: `PackedSequences`, the same in every process.
        process: int, the number of this process, from 0 on.
        processes: int, how many processes there are, a divisor of the batch
            size.

    Returns:
        A `keras.utils.PyDataset`. With one process, it is `sequences` itself.

    Raises:
        ValueError: if the processes cannot have the same number of rows.
    """
    B = sequences.batch_size
    if processes is not None:
        processes = as_integer("processes", processes)
        process = as_integer("process", process, 0, processes - 1)
        if B % processes:
            raise ValueError(
                "Every process must have as many rows of a batch. Received: "
                f"processes={processes} for batch_size={B}. Use a batch size "
                "that they divide."
            )
        rows = np.arange(B).reshape(processes, -1)[process]
    else:
        distribution = keras.distribution.distribution()
        processes = distribution.num_processes if distribution else 1
        if processes > 1:
            rows = _rows_of_devices(distribution, sequences)
    return sequences if processes == 1 else _ProcessBatches(sequences, rows)


def _rows_of_devices(distribution, sequences):
    """Return the rows of a batch that this process's devices have."""
    # The mesh knows which device has which rows. Devices may not be in the
    # order of their processes.
    shape = (sequences.batch_size, sequences.sequence_length)
    layout = distribution.get_data_layout(shape).backend_layout
    indices = layout.addressable_devices_indices_map(shape).values()
    rows = [np.arange(sequences.batch_size)[index[0]] for index in indices]
    return np.unique(np.concatenate(rows))


class _ProcessBatches(keras.utils.PyDataset):
    def __init__(self, sequences, rows):
        super().__init__()
        self.sequences = sequences
        self.shards = sequences.shards
        self.sequence_length = sequences.sequence_length
        self.short_length = sequences.short_length
        self.document_masks = sequences.document_masks
        self.batch_size = len(rows)
        self._rows = rows

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        return self.sequences.make(index, self._rows)
