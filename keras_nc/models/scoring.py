"""Scores of targets, in chunks if logits are many, and bits per byte."""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer
from keras_nc.losses import nats_and_log_z
from keras_nc.losses import ranks

#: Float32 logits of 1,024 tokens of 65,536 ids.
LOGITS_BYTES = 1 << 28
#: The part of a device's memory that logits may take, as a divisor.
LOGITS_SHARE = 8


def score_targets(
    embedding, hidden, target_ids, logits_bytes="auto", with_ranks=False
):
    """Score targets, in chunks if there are many logits.

    Args:
        embedding: The `TokenEmbedding` that makes the logits.
        hidden: Hidden states of shape `(B, T, D)`.
        target_ids: An int tensor of shape `(B, T)`.
        logits_bytes: int, the memory that float32 logits may take; or
            `"auto"`, see `auto_logits_bytes`.
        with_ranks: bool. Whether to count the ids that beat the targets.

    Returns:
        As from `scores_of_logits`.
    """
    B, T, _ = ops.shape(hidden)
    symbolic = None in (B, T)  # nothing is computed, so no memory is needed
    if symbolic or embedding.quantization_mode is not None:
        logits = embedding(hidden, reverse=True)
        return scores_of_logits(target_ids, logits, with_ranks)
    if logits_bytes == "auto":
        logits_bytes = auto_logits_bytes()
    positions = positions_at_once(B, T, embedding.input_dim, logits_bytes)
    hidden = ops.cast(hidden, embedding.compute_dtype)
    inputs = hidden, embedding.table, target_ids, embedding
    if not isinstance(positions, int) or positions < T:
        return scores_in_chunks(*inputs, positions, with_ranks)
    if keras.backend.backend() == "torch":
        # A gradient of our own would break the graph that torch compiles.
        logits = embedding.logits_of(hidden, embedding.table)
        return scores_of_logits(target_ids, logits, with_ranks)
    return scores_at_once(*inputs, with_ranks)


def auto_logits_bytes():
    """Return the memory that float32 logits may take on this device.

    An eighth of the memory of the devices that share a batch: a step may hold
    logits three times. `LOGITS_BYTES` if the backend does not tell how much
    there is: on CPUs and on TensorFlow.

    Returns:
        int.
    """
    memory = device_bytes() or 0
    distribution = keras.distribution.distribution()
    if distribution is not None:
        memory *= math.prod(distribution.device_mesh.shape)
    return max(memory // LOGITS_SHARE, LOGITS_BYTES)


def device_bytes():
    """Return the memory of an accelerator; `None` if it is not known."""
    if keras.backend.backend() == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_properties().total_memory
    return None


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


def scores_at_once(hidden, table, target_ids, embedding, with_ranks=False):
    """Score all targets, and keep the logits for the gradient.

    They are kept in the compute dtype, and the gradient is one pass over them.
    That of a gather would fill a second array of float32 logits.

    Args:
        hidden: Hidden states of shape `(B, T, D)`, in the compute dtype.
        table: The property `table` of the embedding, `(V, D)`.
        target_ids: An int tensor of shape `(B, T)`.
        embedding: The `TokenEmbedding`.
        with_ranks: bool. Whether to count the ids that beat the targets.

    Returns:
        As from `scores_of_logits`.
    """

    @ops.custom_gradient
    def score(hidden, table):
        kept = ops.matmul(hidden, ops.transpose(table))
        logits = embedding.masked(kept)
        scores = scores_of_logits(target_ids, logits, with_ranks)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            of_logits = logit_gradients(
                embedding.masked(kept), scores, target_ids, upstream
            )
            of_logits = ops.cast(of_logits, table.dtype)
            of_table = ops.einsum("btv,btd->vd", of_logits, hidden)
            return ops.matmul(of_logits, table), of_table

        return scores, gradient

    return score(hidden, table)


def logit_gradients(logits, scores, target_ids, upstream):
    """Return the gradients of nats and log denominators, as `logits`.

    Both are the softmax; that of nats is less by one at the target.

    Args:
        logits: Float32 logits of shape `(B, T, V)`.
        scores: What `scores_of_logits` returned.
        target_ids: An int tensor of shape `(B, T)`.
        upstream: The gradients of the scores, as `scores`.
    """
    of_nats, of_log_z = upstream[..., :1], upstream[..., 1:2]
    ids = ops.arange(ops.shape(logits)[-1], dtype="int32")
    is_target = ops.cast(target_ids, "int32")[..., None] == ids
    gradients = ops.exp(logits - scores[..., 1:2]) * (of_nats + of_log_z)
    return ops.where(is_target, gradients - of_nats, gradients)


def scores_in_chunks(
    hidden, table, target_ids, embedding, positions, with_ranks=False
):
    """Score targets, a few positions of every row at a time.

    The gradient recomputes the logits of each chunk, so neither pass holds the
    logits of more than one chunk. This costs a third more multiplications.
    Chunks divide positions, not rows, so that a batch that is divided among
    devices is not moved.

    Args:
        hidden: As for `scores_at_once`.
        table: As for `scores_at_once`.
        target_ids: As for `scores_at_once`.
        embedding: As for `scores_at_once`.
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
            logits = embedding.logits_of(chunk(hidden, i), table)
            new = scores_of_logits(chunk(target_ids, i), logits, with_ranks)
            return ops.slice_update(scores, [0, i * positions, 0], new)

        count = 4 if with_ranks else 2
        scores = ops.zeros((B, T + padding, count), "float32")
        scores = ops.fori_loop(0, chunks, add_scores, scores)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream

            def add_gradients(i, gradients):
                of_hidden, of_table = gradients
                h = chunk(hidden, i)
                of_logits = logit_gradients(
                    embedding.logits_of(h, table),
                    chunk(scores, i),
                    chunk(target_ids, i),
                    chunk(upstream, i),
                )
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
