"""Packed sequences for `tf.data`, for Grain, and for several processes."""

import keras
import numpy as np

from keras_nc.coding.inputs import as_integer


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
    >>> from keras_nc.data import PackedSequences
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
