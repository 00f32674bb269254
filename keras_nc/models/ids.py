"""Check the ids and stop strings that users pass: batches and prompts."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer

_TARGETS = (
    "Where nothing is to be predicted, put pads, 0, which weigh nothing, or "
    "any id with a `sample_weight` of 0."
)
_MASKS = (
    "Numbered documents must not see each other, so they need a backbone with "
    "`document_masks=True`."
)
_NUMBERED = 'Received: "padding_mask" with numbers above 1.'
_UNMASK = "Create the backbone with `document_masks=True`, or the data without."
_INPUTS = "Use the ids of the model's own tokenizer, and pads, 0, on the right."

#: The other outputs of a preprocessor's `generate_preprocess`.
MASKED_BY = ("next_low", "next_high", "next_others", "bounds", "may_end")


# === Batches ===


@dataclasses.dataclass(frozen=True)
class BatchRules:
    """What a model asks of a batch; plain values, for workers of loaders.

    Args:
        vocabulary_size: int, `V`.
        document_masks: bool, whether the backbone has document masks.
    """

    vocabulary_size: int
    document_masks: bool

    @classmethod
    def of(cls, backbone):
        """Return the rules of a backbone."""
        return cls(
            backbone.vocabulary_size,
            getattr(backbone, "document_masks", False),
        )

    def check(self, x, y=None):
        """Raise a ValueError unless a batch fits the model.

        Args:
            x: A dict with `"token_ids"`, an array `(B, T)`.
            y: Target ids `(B, T)`, or `None`.
        """
        if not isinstance(x, dict) or "token_ids" not in x:
            return
        size = self.vocabulary_size
        check_ids('x["token_ids"]', x["token_ids"], size, _INPUTS)
        self.check_mask(x)
        if y is None:
            return
        shapes = np.shape(x["token_ids"]), np.shape(y)
        if shapes[0] != shapes[1]:
            raise ValueError(
                "Targets must be the ids that come next, one for each token: "
                f"(B, T). Received: y of shape {shapes[1]} for token ids of "
                f"shape {shapes[0]}"
            )
        check_ids("y", y, size, _TARGETS)

    def check_mask(self, x):
        """Raise a ValueError if numbered documents would see each other.

        Args:
            x: A dict of arrays. Other objects are not checked.
        """
        mask = x.get("padding_mask") if isinstance(x, dict) else None
        if mask is not None and not self.document_masks:
            mask = np.asarray(mask)
            self.check_numbers(mask.size and mask.max() > 1)

    def check_numbers(self, numbered):
        """Raise a ValueError if documents are numbered but not masked.

        Args:
            numbered: bool, whether a data set numbers documents.
        """
        if numbered and not self.document_masks:
            raise ValueError(f"{_MASKS} {_NUMBERED} {_UNMASK}")

    def asserted(self, x, y):
        """Return a batch with the check in its tf.data graph."""
        size = self.vocabulary_size
        ids = asserted_ids('x["token_ids"]', x["token_ids"], size, _INPUTS)
        x = {**x, "token_ids": ids}
        mask = x.get("padding_mask")
        if mask is not None and not self.document_masks:
            import tensorflow as tf

            single = tf.reduce_all(tf.cast(mask, "int32") <= 1)
            message = f"{_MASKS} {_NUMBERED} {_UNMASK}"
            with tf.control_dependencies(
                [tf.debugging.Assert(single, [message])]
            ):
                x["padding_mask"] = tf.identity(mask)
        if y is not None:
            y = asserted_ids("y", y, size, _TARGETS)
        return x, y


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


# === Prompts ===


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


def started_window(token_ids, mask, tokenizer):
    """Count the tokens of the last, incomplete window of each row: `(B,)`."""
    special = np.isin(token_ids, tokenizer.special_token_ids)
    # A window begins after each special id.
    rows = [ids[at] for ids, at in zip(special, mask, strict=True)]
    since = [len(row) - np.flatnonzero([True, *row])[-1] for row in rows]
    return np.array(since, "int32") % tokenizer.layout.tokens_per_window


def to_limits(stop, stop_token_ids, max_length, vocabulary_size):
    """Check what ends a text: stop strings, stop ids and a length."""
    if max_length is not None:
        max_length = as_integer("max_length", max_length, 1)
    stop_token_ids = to_stop_ids(stop_token_ids, vocabulary_size)
    return to_stop_strings(stop), stop_token_ids, max_length


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


def fit(rows, length):
    """Cut or pad the rows of a matrix."""
    fitting = np.zeros((len(rows), length), "int32")
    length = min(length, rows.shape[1])
    fitting[:, :length] = rows[:, :length]
    return fitting


def to_stop_strings(stop):
    """Check stop strings.

    Args:
        stop: `None`, a `str` or `bytes`, or several of them.

    Returns:
        A list of bytes, empty for `None`.

    Raises:
        ValueError: If the list is empty, or one of the strings is.
    """
    if stop is None:
        return []
    stops = as_documents(stop)
    if not stops or b"" in stops:
        raise ValueError(
            "`stop` must be `None`, a text or a list of texts, of at least one "
            f"byte each. Received: stop={stop!r}. Pass `None` to stop at the "
            "end id only."
        )
    return stops
