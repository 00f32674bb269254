"""Compute nats in chunks, so that not all logits exist at once."""

from keras import ops

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
