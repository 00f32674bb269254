"""Scores of targets, in chunks if logits are many, and bits per byte."""

import itertools
import math

import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.coding.inputs import as_documents
from keras_nc.losses import nats_and_log_z
from keras_nc.losses import ranks


def positions_at_once(batch_size, length, num_logits, logits_bytes):
    """Return for how many positions at once float32 logits fit into memory.

    Args:
        batch_size: int or scalar tensor, `B`.
        length: int or scalar tensor, `T`.
        num_logits: int. Rows of the embedding table.
        logits_bytes: int. The memory that logits may take.

    Returns:
        int or scalar tensor from 1 to `length`.
    """
    tokens = max(logits_bytes // (4 * num_logits), 1)
    if isinstance(batch_size, int) and isinstance(length, int):
        return min(max(tokens // batch_size, 1), length)
    # TensorFlow may not know shapes before it runs.
    return ops.minimum(ops.maximum(tokens // batch_size, 1), length)


def scores_of_logits(target_ids, logits, with_ranks=False):
    """Return nats of targets, log denominators and optionally ranks.

    Args:
        target_ids: An int tensor of shape `(B, T)`.
        logits: Float32 logits of shape `(B, T, V)`.
        with_ranks: bool. Whether to count the ids that beat the targets.

    Returns:
        A float32 tensor of shape `(B, T, 2)` or, with `ranks`, `(B, T, 4)`.
    """
    scores = nats_and_log_z(target_ids, logits)
    if with_ranks:
        scores += ranks(target_ids, ops.stop_gradient(logits))
    return ops.stack(scores, axis=-1)


def scores_in_chunks(
    hidden, table, target_ids, logits_of, positions, with_ranks=False
):
    """Score targets, a few positions of every row at a time.

    The gradient recomputes the logits of each chunk, so neither pass holds the
    logits of more than one chunk. This costs a third more multiplications.
    Chunks divide positions, not rows, so that a batch that is divided among
    devices is not moved.

    Args:
        hidden: Hidden states of shape `(B, T, D)`.
        table: The embedding table `(V, D)`, in the dtype of `hidden`.
        target_ids: An int tensor of shape `(B, T)`.
        logits_of: A function of hidden states and the table that returns
            float32 logits: `h @ table.T`, with masked ids.
        positions: int or scalar tensor. Positions of a chunk.
        with_ranks: bool. Whether to count the ids that beat the targets.

    Returns:
        As from `scores_of_logits`.
    """
    B, T = ops.shape(target_ids)
    chunks = -(-T // positions)
    padding = chunks * positions - T
    hidden = ops.pad(hidden, ((0, 0), (0, padding), (0, 0)))
    target_ids = ops.pad(ops.cast(target_ids, "int32"), ((0, 0), (0, padding)))

    def chunk(x, i):
        start = [0, i * positions] + [0] * (len(x.shape) - 2)
        size = [B, positions, *ops.shape(x)[2:]]
        return ops.slice(x, start, size)

    @ops.custom_gradient
    def score(hidden, table):
        def add_scores(i, scores):
            logits = logits_of(chunk(hidden, i), table)
            new = scores_of_logits(chunk(target_ids, i), logits, with_ranks)
            return ops.slice_update(scores, [0, i * positions, 0], new)

        count = 4 if with_ranks else 2
        scores = ops.zeros((B, T + padding, count), "float32")
        scores = ops.fori_loop(0, chunks, add_scores, scores)
        log_z = scores[..., 1:2]

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream

            def add_gradients(i, gradients):
                of_hidden, of_table = gradients
                h = chunk(hidden, i)
                logits = logits_of(h, table)
                slopes = chunk(upstream, i)
                of_nats, of_log_z = slopes[..., :1], slopes[..., 1:2]
                # Both gradients are the softmax; that of nats is less by one at
                # the target.
                is_target = chunk(target_ids, i)[..., None] == ops.arange(
                    ops.shape(logits)[-1], dtype="int32"
                )
                of_logits = ops.exp(logits - chunk(log_z, i))
                of_logits = of_logits * (of_nats + of_log_z)
                of_logits = ops.where(is_target, of_logits - of_nats, of_logits)
                of_logits = ops.cast(of_logits, table.dtype)
                of_hidden = ops.slice_update(
                    of_hidden,
                    [0, i * positions, 0],
                    ops.matmul(of_logits, table),
                )
                of_chunk = ops.einsum("btv,btd->vd", of_logits, h)
                return of_hidden, of_table + ops.cast(of_chunk, "float32")

            start = ops.zeros_like(hidden), ops.zeros_like(table, "float32")
            of_hidden, of_table = ops.fori_loop(0, chunks, add_gradients, start)
            return of_hidden, ops.cast(of_table, table.dtype)

        return scores, gradient

    return score(hidden, table)[:, :T]


# === Texts ===


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
