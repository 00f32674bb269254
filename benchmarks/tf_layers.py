"""Tokenizers as layers of one tf.data pipeline."""

import importlib.util

from benchmarks import timing

BATCH_SIZE = 64


def contenders(windows, others, pieces):
    """Return pipelines that differ only in their tokenizer.

    Args:
        windows: A dict of `peers.Trained` by name, over codebooks.
        others: A dict of `peers.Trained` by name, SentencePiece.
        pieces: A list of bytes.

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
    strings = tf.data.Dataset.from_tensor_slices(pieces).batch(BATCH_SIZE)
    found = []
    for name, layer in layers.items():
        # As in training, both include the cost of an empty pipeline.
        ids = strings.with_options(options).map(layer)
        found.append(
            timing.Contender(
                name,
                lambda ids=ids: [None for _ in ids],
                sum(map(len, pieces)),
            )
        )
    return found
