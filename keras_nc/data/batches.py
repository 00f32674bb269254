"""Batches for `tf.data`, and for one of several processes."""

import keras
import numpy as np


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
    process to feed the rows of its own devices only.

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

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        # Reading the rows of other processes costs little: they are mapped.
        batch = self.sequences[index]
        return keras.tree.map_structure(lambda x: x[self._rows], batch)
