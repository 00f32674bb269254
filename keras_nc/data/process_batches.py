"""The part of every batch that one of several processes feeds."""

import keras
import numpy as np


def process_batches(sequences):
    """Give this process's rows of every batch, if several train together.

    Under a `keras.distribution` of several JAX processes, Keras expects each to
    bring the rows of its own devices, and would take whole batches for parts
    of larger ones.

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
        # The mesh knows which device has which rows; devices need not be in
        # the order of their processes.
        shape = (sequences.batch_size, sequences.sequence_length)
        layout = distribution.get_data_layout(shape).backend_layout
        indices = layout.addressable_devices_indices_map(shape).values()
        rows = [np.arange(sequences.batch_size)[index[0]] for index in indices]
        self._rows = np.unique(np.concatenate(rows))

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        # Reading the others' rows, too, costs little: they are mapped tokens.
        batch = self.sequences[index]
        return keras.tree.map_structure(lambda x: x[self._rows], batch)
