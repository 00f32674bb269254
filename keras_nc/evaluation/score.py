"""Bits per byte of a model on text it has not seen."""

import keras

from keras_nc.coding.checks import as_integer
from keras_nc.data import PackedSequences
from keras_nc.data import process_batches
from keras_nc.metrics import BitsPerByte


def bits_per_byte(model, shards, *, sequence_length, batch_size, progress=True):
    """Score every token of the shards once: sum of bits / sum of bytes.

    Sequences begin with the start id and see nothing of the one before, as in
    training. End ids are scored; they stand for no bytes.

    Args:
        model: A `DecoderCausalLM`. It need not be compiled; its compilation is
            as it was when this returns.
        shards: `TokenShards`, written by the model's tokenizer.
        sequence_length: int, T, tokens per sequence.
        batch_size: int, B, sequences per batch.
        progress: bool. Whether to show Keras' progress bar.

    Returns:
        float, bits per byte.

    Raises:
        ValueError: If another tokenizer wrote the shards, or they hold no
            text.
    """
    sequence_length = as_integer("sequence_length", sequence_length, 1)
    batch_size = as_integer("batch_size", batch_size, 1)
    model.check_origins(shards)
    shards.check_text()
    # A model of its own around the same weights, so that the optimizer and
    # the metrics of the one that was given stay as they are.
    scorer = type(model)(model.backbone)
    # A mean over tokens times tokens per byte: exact for any token size.
    metric = BitsPerByte(bytes_per_token=shards.bytes_per_token)
    scorer.compile(optimizer=keras.optimizers.SGD(), weighted_metrics=[metric])
    sequences = PackedSequences(
        shards, sequence_length, batch_size, shuffle=False
    )
    scores = scorer.evaluate(
        process_batches(sequences),
        verbose="auto" if progress else 0,
        return_dict=True,
    )
    return float(scores["bits_per_byte"])
