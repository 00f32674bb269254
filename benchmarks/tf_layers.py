"""Tokenizers as layers of one tf.data pipeline."""

import importlib.util
import math

from benchmarks import timing

BATCH_SIZE = 64
#: Some are also given larger batches.
LARGE_BATCH_SIZE = 512
IN_LARGE_BATCHES = ("phrases", "any, greedy")
#: Bytes of a pass over the pieces, repeated. Starting a pipeline takes about as
#: long as encoding a megabyte. In a pass over a corpus, that does not matter.
PASS_BYTES = 16_000_000


def contenders(windows, others, pieces, pass_bytes=PASS_BYTES):
    """Return pipelines that differ only in their tokenizer.

    Args:
        windows: A dict of `peers.Trained` by name, over codebooks.
        others: A dict of `peers.Trained` by name, SentencePiece.
        pieces: A list of bytes.
        pass_bytes: int. Bytes that a pipeline encodes in a pass, at least.

    Returns:
        A list of `timing.Contender`, empty without tensorflow-text.
    """
    if importlib.util.find_spec("tensorflow_text") is None:
        return []
    import tensorflow as tf
    import tensorflow_text

    layers = {name: peer.tokenizer for name, peer in windows.items()}
    for name, peer in others.items():
        layers[name] = tensorflow_text.SentencepieceTokenizer(
            model=peer.tokenizer.scheme.proto
        ).tokenize
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    size = sum(map(len, pieces))
    repeats = math.ceil(pass_bytes / size)
    strings = tf.data.Dataset.from_tensor_slices(pieces).repeat(repeats)
    strings = strings.with_options(options)
    found = []

    def add(name, layer, batch_size):
        # As in training, both include the cost of an empty pipeline.
        ids = strings.batch(batch_size).map(layer)
        found.append(
            timing.Contender(name, lambda: [None for _ in ids], repeats * size)
        )

    for name, layer in layers.items():
        add(name, layer, BATCH_SIZE)
    for name in IN_LARGE_BATCHES:
        title = f"{name}: batches of {LARGE_BATCH_SIZE}"
        add(title, layers[name], LARGE_BATCH_SIZE)
    return found
