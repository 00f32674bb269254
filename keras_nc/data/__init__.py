"""Read documents, write them as token shards, and make batches of shards."""

import typing

from keras_nc import imports
from keras_nc.data.corpus_writer import tokenize_corpus
from keras_nc.data.default_corpus import Corpus
from keras_nc.data.default_corpus import default_corpus
from keras_nc.data.documents import ReadingReport
from keras_nc.data.documents import cut_position
from keras_nc.data.documents import read_documents
from keras_nc.data.documents import take_bytes
from keras_nc.data.shard_writer import write_shards
from keras_nc.data.sources import find_files
from keras_nc.data.token_shards import TokenShards
from keras_nc.data.token_shards import verify_shards

if typing.TYPE_CHECKING:
    from keras_nc.data.packed_sequences import PackedSequences
    from keras_nc.data.packed_sequences import grain_dataset
    from keras_nc.data.packed_sequences import process_batches
    from keras_nc.data.packed_sequences import tf_dataset

# These need Keras.
__getattr__, __dir__ = imports.on_first_use(
    __name__,
    {
        "PackedSequences": "keras_nc.data.packed_sequences",
        "grain_dataset": "keras_nc.data.packed_sequences",
        "process_batches": "keras_nc.data.packed_sequences",
        "tf_dataset": "keras_nc.data.packed_sequences",
    },
)
