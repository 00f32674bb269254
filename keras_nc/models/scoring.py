"""Bits per byte of texts."""

import itertools
import math

import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.coding.inputs import as_documents


def bits_per_byte(model, texts, sequence_length=None, batch_size=8):
    """Score texts; see `DecoderCausalLM.bits_per_byte`."""
    if model.preprocessor is None:
        raise ValueError(
            "Texts need a tokenizer. Received: a model with "
            "preprocessor=None. Create it with a preprocessor."
        )
    if sequence_length is None:
        sequence_length = model.preprocessor.sequence_length
    sequence_length = as_integer("sequence_length", sequence_length)
    batch_size = as_integer("batch_size", batch_size)
    documents = as_documents(texts)
    num_bytes = sum(map(len, documents))
    if not num_bytes:
        raise ValueError(
            "Bits per byte need at least one byte. Received: "
            f"{len(documents)} texts of 0 bytes. Pass some text."
        )
    ids, offsets = model.preprocessor.tokenizer.encode_batch(documents)
    targets = sequences(ids, offsets, sequence_length)
    nats = 0.0
    for start in range(0, len(targets), batch_size):
        batch = targets[start : start + batch_size]
        # Every batch has the same shape, so that nothing compiles twice.
        batch = np.pad(batch, [(0, batch_size - len(batch)), (0, 0)])
        nats += sum_of_nats(model, batch)
    return nats / math.log(2) / num_bytes


def sum_of_nats(model, targets):
    """Sum the nats of targets `(B, T)`, pads left out, to a float."""
    token_ids = np.full_like(targets, START_ID)
    token_ids[:, 1:] = targets[:, :-1]
    nats = model.predict_on_batch(
        {
            "token_ids": token_ids,
            "padding_mask": (token_ids != PAD_ID).astype("int32"),
            "target_ids": targets,
        }
    )
    return float(nats.astype("float64")[targets != PAD_ID].sum())


def sequences(ids, offsets, length):
    """Cut documents, each with an end id, into padded rows `(rows, length)`.

    Args:
        ids: An integer array, the ids of all documents.
        offsets: An integer array of one more than there are documents.
        length: int. Tokens per row.
    """
    rows = []
    for start, stop in itertools.pairwise(offsets):
        tokens = np.append(ids[start:stop], END_ID).astype("int32")
        count = -(-len(tokens) // length)
        padded = np.full(count * length, PAD_ID, "int32")
        padded[: len(tokens)] = tokens
        rows.append(padded.reshape(count, length))
    return np.concatenate(rows)
