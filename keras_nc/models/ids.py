"""Checks that ids are in the vocabulary."""

import keras
import numpy as np
from keras import ops

_TARGETS = (
    "Where nothing is to be predicted, put pads, 0, which weigh nothing, or "
    "any id with a `sample_weight` of 0."
)
_INPUTS = "Use the ids of the model's own tokenizer, and pads, 0, on the right."


def check_batch(x, y, vocabulary_size):
    """Raise a ValueError unless all ids of a batch are in the vocabulary.

    Args:
        x: A dict with `"token_ids"`, an array `(B, T)`.
        y: Target ids `(B, T)`, or `None`.
        vocabulary_size: int, `V`.
    """
    if not isinstance(x, dict) or "token_ids" not in x:
        return
    check_ids('x["token_ids"]', x["token_ids"], vocabulary_size, _INPUTS)
    if y is None:
        return
    shapes = np.shape(x["token_ids"]), np.shape(y)
    if shapes[0] != shapes[1]:
        raise ValueError(
            "Targets must be the ids that come next, one for each token: "
            f"(B, T). Received: y of shape {shapes[1]} for token ids of shape "
            f"{shapes[0]}"
        )
    check_ids("y", y, vocabulary_size, _TARGETS)


def check_ids(name, ids, vocabulary_size, remedy):
    """Raise a ValueError unless ids are integers from 0 to `V - 1`."""
    ids = np.asarray(ids)
    check_dtype(name, ids.dtype, remedy)
    if ids.size == 0 or (ids.min() >= 0 and ids.max() < vocabulary_size):
        return
    wrong = (ids < 0) | (ids >= vocabulary_size)
    at = [int(i) for i in np.argwhere(wrong)[0]]
    raise ValueError(
        f"`{name}` must hold ids of the vocabulary, 0 to "
        f"{vocabulary_size - 1}. Received: {ids[tuple(at)]} at {at}, and "
        f"{wrong.sum() - 1} more. {remedy}"
    )


def check_dtype(name, dtype, remedy=_INPUTS):
    """Raise a ValueError unless a dtype is one of integers."""
    dtype = keras.backend.standardize_dtype(dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(
            f"`{name}` must hold ids, which are integers. Received: dtype="
            f"{dtype}. {remedy}"
        )


def asserted_ids(name, ids, vocabulary_size, remedy):
    """Return ids of a tf.data pipeline with a check that runs with it."""
    import tensorflow as tf

    check_dtype(name, ids.dtype, remedy)
    size = tf.cast(vocabulary_size, ids.dtype)
    message = (
        f"`{name}` must hold ids of the vocabulary, 0 to "
        f"{vocabulary_size - 1}. {remedy} Received:"
    )
    in_range = tf.reduce_all((ids >= 0) & (ids < size))
    with tf.control_dependencies(
        [tf.debugging.Assert(in_range, [message, ids])]
    ):
        return tf.identity(ids)


def asserted_batch(x, y, vocabulary_size):
    """Return a batch with the check of `check_batch` in its tf.data graph."""
    token_ids = x["token_ids"]
    x = {
        **x,
        "token_ids": asserted_ids(
            'x["token_ids"]', token_ids, vocabulary_size, _INPUTS
        ),
    }
    if y is not None:
        y = asserted_ids("y", y, vocabulary_size, _TARGETS)
    return x, y


def in_vocabulary(ids, vocabulary_size, name="token_ids"):
    """Return int32 ids, with -1 for numbers outside of the vocabulary.

    A compiled step cannot raise errors, so the model turns -1 into NaN. 64-bit
    integers are checked before they are cast to 32 bits.

    Args:
        ids: An integer tensor or array.
        vocabulary_size: int, `V`.
        name: str. The name of the ids in errors.

    Raises:
        ValueError: If the ids are not integers.
    """
    if not hasattr(ids, "dtype"):
        ids = np.asarray(ids)
    check_dtype(name, ids.dtype)
    known = ids >= 0
    if np.iinfo(keras.backend.standardize_dtype(ids.dtype)).max >= (
        vocabulary_size
    ):
        known = known & (ids < vocabulary_size)
    return ops.where(known, ops.cast(ids, "int32"), -1)
