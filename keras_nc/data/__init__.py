"""Corpora in, token shards out, and input pipelines for training."""

from typing import TYPE_CHECKING

from keras_nc.data.corpus import Corpus
from keras_nc.data.default_corpus import default_corpus
from keras_nc.data.documents import find_files
from keras_nc.data.documents import read_documents
from keras_nc.data.portions import cut_position
from keras_nc.data.portions import take_bytes
from keras_nc.data.shard_writer import write_shards
from keras_nc.data.shards import TokenShards
from keras_nc.imports import on_first_use

if TYPE_CHECKING:
    from keras_nc.data.pipelines import PackedSequences
    from keras_nc.data.pipelines import tf_dataset
    from keras_nc.data.process_batches import process_batches

# These need Keras.
__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "PackedSequences": "keras_nc.data.pipelines",
        "process_batches": "keras_nc.data.process_batches",
        "tf_dataset": "keras_nc.data.pipelines",
    },
)
