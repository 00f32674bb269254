"""Check token ids from users: prompts and stop ids."""

import keras
import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID

#: The other outputs of a preprocessor's `generate_preprocess`.
MASKED_BY = ("next_low", "next_high", "next_others", "bounds", "may_end")


def encode_ids(inputs, max_length, vocabulary_size, tokenizer=None):
    """Check prompts of token ids, and cut or pad them to `max_length`.

    Args:
        inputs: A dict of `"token_ids"`, `(B, S)`, and optionally
            `"padding_mask"` and the other outputs of `generate_preprocess`.
        max_length: int, or `None` for `S`.
        vocabulary_size: int. Ids lie in `[0, vocabulary_size)`.
        tokenizer: The tokenizer whose windows are continued, or `None`.

    Returns:
        A dict of NumPy arrays for `generate_step`.

    Raises:
        ValueError: If ids are out of range, or a row is empty, not padded on
            the right, or longer than `max_length`.
    """
    known = {"token_ids", "padding_mask", *MASKED_BY}
    if "token_ids" not in inputs or not known.issuperset(inputs):
        raise ValueError(
            'Prompts of token ids must be a dict of "token_ids", perhaps '
            '"padding_mask", and what `generate_preprocess` gives. Received: '
            f"a dict of {sorted(map(str, inputs))}"
        )
    token_ids = to_matrix(inputs["token_ids"], "token_ids")
    if token_ids.dtype.kind not in "iu":
        raise ValueError(
            f'"token_ids" must be integers. Received: dtype={token_ids.dtype}'
        )
    mask = inputs.get("padding_mask")
    mask = token_ids != PAD_ID if mask is None else to_mask(mask, token_ids)
    check_rows(token_ids, mask)
    if tokenizer is not None:
        vocabulary_size = min(vocabulary_size, tokenizer.vocabulary_size())
    outside = (token_ids <= PAD_ID) | (token_ids >= vocabulary_size)
    refuse(
        outside & mask,
        token_ids,
        f"Ids of a prompt must be from {PAD_ID + 1} to {vocabulary_size - 1}",
    )
    lengths = mask.sum(axis=-1)
    length = token_ids.shape[1] if max_length is None else max_length
    if lengths.max(initial=0) > length:
        raise ValueError(
            f"A prompt must fit into `max_length` of {length} tokens. "
            f"Received: prompt {int(lengths.argmax())} of "
            f"{int(lengths.max())} tokens. Shorten it, or raise `max_length`."
        )
    encoded = {"token_ids": fit(np.where(mask, token_ids, PAD_ID), length)}
    encoded["padding_mask"] = fit(mask, length).astype(bool)
    for name in MASKED_BY:
        if name in inputs:
            encoded[name] = keras.ops.convert_to_numpy(inputs[name])
            if len(encoded[name]) != len(token_ids):
                raise ValueError(
                    f'"{name}" must have a row for each prompt. Received: '
                    f"{len(encoded[name])} rows for {len(token_ids)} prompts"
                )
    if tokenizer is not None:
        phase = started_window(token_ids, mask, tokenizer)
        encoded["window_start"] = (lengths - phase).astype("int32")
    return encoded


def to_matrix(value, name):
    """Return an array of two axes, or raise a ValueError."""
    try:
        if keras.ops.is_tensor(value):
            value = keras.ops.convert_to_numpy(value)
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.empty(0, object)
    if array.ndim != 2:
        raise ValueError(
            f'"{name}" must have shape (B, S), a row for each prompt, padded '
            f"on the right. Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array


def to_mask(value, token_ids):
    """Return a padding mask as bool, or raise a ValueError."""
    mask = to_matrix(value, "padding_mask")
    fits = mask.shape == token_ids.shape and mask.dtype.kind in "biuf"
    if not fits or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            '"padding_mask" must hold 1 or 0 for each of "token_ids". '
            f"Received: shape={mask.shape}, dtype={mask.dtype}, for token ids "
            f"of shape {token_ids.shape}"
        )
    return mask.astype(bool)


def check_rows(token_ids, mask):
    """Raise a ValueError unless all padding is to the right of ids."""
    holes = mask & ~np.logical_and.accumulate(mask, axis=-1)
    refuse(
        holes,
        token_ids,
        "Prompts must be padded on the right, and only there: an id must "
        "not come after padding",
    )
    empty = ~mask.any(axis=-1)
    if empty.any():
        raise ValueError(
            "A prompt must have at least one id. Received: none in row "
            f"{int(empty.argmax())}. An empty text is the start id, 1."
        )


def refuse(where, token_ids, rule):
    """Raise a ValueError that names the first bad id, if there is one."""
    if where.any():
        row, at = np.argwhere(where)[0]
        raise ValueError(
            f"{rule}. Received: id {int(token_ids[row, at])} in row {row}, "
            f"position {at}"
        )


def fit(rows, length):
    """Cut or pad the rows of a matrix."""
    fitting = np.zeros((len(rows), length), "int32")
    length = min(length, rows.shape[1])
    fitting[:, :length] = rows[:, :length]
    return fitting


def started_window(token_ids, mask, tokenizer):
    """Count the tokens of the last, incomplete window of each row: `(B,)`."""
    special = np.isin(token_ids, tokenizer.special_token_ids)
    # A window begins after each special id.
    rows = [ids[at] for ids, at in zip(special, mask, strict=True)]
    since = [len(row) - np.flatnonzero([True, *row])[-1] for row in rows]
    return np.array(since, "int32") % tokenizer.layout.tokens_per_window


def to_stop_ids(stop_token_ids, vocabulary_size):
    """Check ids to stop at.

    Args:
        stop_token_ids: `"auto"` for the end id, ids, or `None`.
        vocabulary_size: int. Ids lie in `[0, vocabulary_size)`.

    Returns:
        A tuple of int, or `None`.

    Raises:
        ValueError: If the list is empty, or an id is never generated.
    """
    if stop_token_ids is None:
        return None
    if isinstance(stop_token_ids, str) and stop_token_ids == "auto":
        return (END_ID,)
    given = stop_token_ids
    if isinstance(given, (set, frozenset)):
        given = list(given)
    ids = np.ravel(given)
    integers = ids.size > 0 and ids.dtype.kind in "iu"
    if not integers or ids.min() <= PAD_ID or ids.max() >= vocabulary_size:
        raise ValueError(
            "`stop_token_ids` must be 'auto', `None`, or at least one id "
            f"from {PAD_ID + 1} to {vocabulary_size - 1}. Received: "
            f"stop_token_ids={stop_token_ids!r}. Pass `None` not to stop."
        )
    return tuple(ids.tolist())


def strip_prompts(token_ids, mask, prompts):
    """Shift the generated ids to the left, and put pads after them.

    Args:
        token_ids: An int array of shape `(B, S)`.
        mask: A bool array of shape `(B, S)`: where there are ids.
        prompts: A bool array of shape `(B, S)`: where prompts are.

    Returns:
        The new `token_ids` and `mask`.
    """
    new = mask & ~prompts
    new_mask = np.arange(new.shape[1]) < new.sum(axis=-1, keepdims=True)
    stripped = np.full_like(token_ids, PAD_ID)
    stripped[new_mask] = token_ids[new]
    return stripped, new_mask


def join_batches(results):
    """Join the results of batches: lists of texts, or dicts of ids."""
    if not results or not isinstance(results[0], dict):
        return [text for texts in results for text in texts]
    length = max(result["token_ids"].shape[1] for result in results)
    joined = {
        name: np.concatenate([fit(result[name], length) for result in results])
        for name in results[0]
    }
    joined["padding_mask"] = joined["padding_mask"].astype(bool)
    return joined
