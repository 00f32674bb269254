"""Corpora in, token shards out, and input pipelines for training."""

from keras_nc.data.corpus import Corpus
from keras_nc.data.default_corpus import default_corpus
from keras_nc.data.documents import find_files
from keras_nc.data.documents import read_documents
from keras_nc.data.pipelines import PackedSequences
from keras_nc.data.pipelines import tf_dataset
from keras_nc.data.portions import cut_position
from keras_nc.data.portions import take_bytes
from keras_nc.data.process_batches import process_batches
from keras_nc.data.shard_writer import write_shards
from keras_nc.data.shards import TokenShards
