"""Check the text and the settings that callers pass, by one rule for each.

A text is a `str`, which stands for its UTF-8, or bytes: `bytes`, `bytearray`,
`memoryview`, an array of uint8 with one axis, or another object with a buffer.
Several texts are an iterable of these: a list, an array of strings or an eager
string tensor of TensorFlow. Anything else raises a TypeError. A `str` with lone
surrogates has no UTF-8 and raises a ValueError.

A setting of the wrong type raises a `SettingTypeError`; one that is out of
range raises a ValueError.
"""

import collections.abc
import itertools
import operator
import os
import pathlib

import numpy as np

_STRING_KINDS = "SUOT"  # dtypes of arrays that hold texts
_NO_BYTES = np.zeros(0, np.uint8)


class JoinedDocuments:
    """Documents that are joined already, so that none is copied by itself.

    Args:
        text: uint8 of shape (L,), all documents joined.
        offsets: int64 of shape (documents + 1,): document i is
            `text[offsets[i]:offsets[i + 1]]`.

    Example:
    >>> joined = JoinedDocuments(*join_documents(["one", "two"]))
    >>> len(joined), list(joined)
    (2, [b'one', b'two'])
    """

    def __init__(self, text, offsets):
        self.text = as_byte_array(text)
        self.offsets = offsets

    def __len__(self):
        return len(self.offsets) - 1

    def __iter__(self):
        for start, stop in itertools.pairwise(self.offsets.tolist()):
            yield self.text[start:stop].tobytes()


def as_bytes(text):
    r"""Return one text as bytes.

    Args:
        text: A `str` or bytes.

    Returns:
        bytes.

    Raises:
        TypeError: If it is no text, or several.
        ValueError: If a `str` has no UTF-8.

    Example:
    >>> as_bytes("caf\u00e9")
    b'caf\xc3\xa9'
    """
    if type(text) is bytes:
        return text
    if isinstance(text, str):
        return _encode(text)
    return as_byte_array(text).tobytes()


def as_byte_array(text):
    """Return one text as a read-only array of uint8; avoid a copy if possible.

    Args:
        text: A `str` or bytes.

    Returns:
        uint8 of shape (L,).

    Raises:
        TypeError: If it is no text, or several.
        ValueError: If a `str` has no UTF-8.
    """
    if isinstance(text, str):
        text = _encode(text)
    if isinstance(text, np.ndarray):
        if text.dtype.kind in _STRING_KINDS and text.ndim == 0:
            return as_byte_array(text.item())
        if text.dtype != np.uint8 or text.ndim != 1:
            _refuse(f"an array of dtype={text.dtype}, shape={text.shape}")
        array = np.ascontiguousarray(text).view()
    else:
        view = _buffer(text)
        if view is None:
            _refuse(type(text).__name__, isinstance(text, (list, tuple)))
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        # In some versions of NumPy, frombuffer refuses empty buffers.
        array = np.frombuffer(view, np.uint8) if view.nbytes else _NO_BYTES
    # With one type for every source, kernels compile only once.
    array.setflags(write=False)
    return array


def as_documents(text):
    """Return one text or many as a list of bytes.

    Args:
        text: A `str` or bytes, or a list of them.

    Returns:
        A list of bytes. One text gives a list of one document.

    Raises:
        TypeError: If something is no text.
        ValueError: If a `str` has no UTF-8.

    Example:
    >>> as_documents("one"), as_documents(["one", b"two"])
    ([b'one'], [b'one', b'two'])
    """
    return as_batch(text)[0]


def as_batch(text):
    """Return one text or many as a list of bytes, and whether it was many.

    Args:
        text: A `str` or bytes, or a list of them.

    Returns:
        A pair of a list of bytes and a bool.

    Raises:
        TypeError: If something is no text.
        ValueError: If a `str` has no UTF-8, or an array has two axes.
    """
    text = _without_tensor(text)
    if _is_one(text):
        return [as_bytes(text)], False
    return [as_bytes(document) for document in text], True


def iterate_documents(text):
    """Yield the documents of one text or many as bytes, one at a time.

    Args:
        text: A `str` or bytes, or an iterable of them, which is read once.

    Yields:
        bytes.
    """
    text = _without_tensor(text)
    for document in [text] if _is_one(text) else text:
        yield as_bytes(document)


def join_documents(text):
    """Join one text or many into one buffer.

    Args:
        text: A `str` or bytes, or a list of them.

    Returns:
        The bytes, uint8 of shape (L,), and offsets, int64 of shape
        (documents + 1,): document i is `[offsets[i], offsets[i + 1])`.
    """
    if isinstance(text, JoinedDocuments):
        return text.text, text.offsets
    text = _without_tensor(text)
    documents = [text] if _is_one(text) else list(text)
    if documents and all(type(document) is bytes for document in documents):
        # The usual case needs no array for each document.
        offsets = np.zeros(len(documents) + 1, np.int64)
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        np.cumsum(lengths, out=offsets[1:])
        joined = documents[0] if len(documents) == 1 else b"".join(documents)
        return as_byte_array(joined), offsets
    arrays = [as_byte_array(document) for document in documents]
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([a.size for a in arrays], out=offsets[1:])
    if len(arrays) == 1:
        return arrays[0], offsets
    joined = np.concatenate(arrays) if arrays else _NO_BYTES.view()
    joined.setflags(write=False)
    return joined, offsets


def _without_tensor(text):
    """Unpack TensorFlow's eager tensors, and arrays of strings."""
    if hasattr(text, "numpy"):
        text = text.numpy()
    if isinstance(text, np.ndarray) and text.dtype.kind in _STRING_KINDS:
        if text.ndim > 1:
            raise ValueError(
                "An array of texts must have rank 0 or 1. Received: "
                f"shape={text.shape}. Flatten it."
            )
        text = text.tolist()
    return text


def _is_one(text):
    """Return whether an object is one text, or at least not several."""
    if isinstance(text, (str, bytes, np.ndarray)):
        return True
    # Several texts need an order, so a dict or a set is not several texts.
    if isinstance(text, (collections.abc.Mapping, collections.abc.Set)):
        return not isinstance(text, collections.abc.KeysView)
    return not hasattr(text, "__iter__") or _buffer(text) is not None


def _buffer(text):
    """Return the buffer of an object, or `None`."""
    # A NumPy scalar has a buffer too, but only one of bytes is text.
    if isinstance(text, np.generic) and not isinstance(text, np.bytes_):
        return None
    try:
        return memoryview(text)
    except TypeError:
        return None


def _encode(text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "A `str` must be valid Unicode to be encoded. Received: a lone "
            f"surrogate at position {error.start}. Pass the bytes instead."
        ) from error


def _refuse(received, is_list=False):
    others, remedy = ", or a list of them", "Decode or cast it first."
    if is_list:
        others, remedy = "", "Pass its texts one by one."
    raise TypeError(
        "Text must be `str` or bytes (`bytes`, `bytearray`, `memoryview` or a "
        f"uint8 array of one axis){others}. Received: {received}. {remedy}"
    )


def group_documents(documents, num_bytes):
    """Yield lists of documents, each with this many bytes or a little more."""
    group, size = [], 0
    for document in documents:
        group.append(document)
        size += len(document)
        if size >= num_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


class SettingTypeError(TypeError, ValueError):
    """A setting has the wrong type. Both TypeError and ValueError catch it."""


def as_id(value):
    """Return an id of any integer type as an int, whatever its range.

    Raises:
        SettingTypeError: if it is not an integer.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise SettingTypeError(
            "An id must be an integer. Received: "
            f"{type(value).__name__} {value!r}. Cast it first."
        ) from None


def as_integer(name, value, least=1, most=None, remedy=None):
    """Return a setting of any integer type as an int.

    Args:
        name: str, what the setting is called in errors.
        value: an integer of Python or NumPy. A bool is not one.
        least: int, the smallest that is allowed.
        most: int, the largest that is allowed, or `None`.
        remedy: str, a sentence that errors end with.

    Returns:
        int.

    Raises:
        SettingTypeError: if the value is not an integer.
        ValueError: if it is out of range.

    Example:
    >>> as_integer("rounds", np.uint8(200), 0) + 100
    300
    """
    remedy = f" {remedy}" if remedy else ""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        integer = operator.index(value)
    except TypeError:
        raise SettingTypeError(
            f"`{name}` must be an integer. Received: {name}={value!r}.{remedy}"
        ) from None
    if integer < least or (most is not None and integer > most):
        allowed = f"from {least} to {most}"
        if most is None:
            allowed = "positive" if least == 1 else f"at least {least}"
        raise ValueError(
            f"`{name}` must be {allowed}. Received: {name}={integer}.{remedy}"
        )
    return integer


def as_flag(name, value):
    """Return a setting as a bool.

    Args:
        name: str, what the setting is called in errors.
        value: a bool of Python or NumPy.

    Raises:
        SettingTypeError: if the value is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise SettingTypeError(
            f"`{name}` must be True or False. Received: {name}={value!r}."
        )
    return bool(value)


def as_choice(name, value, choices):
    """Return a setting that is one of some names.

    Args:
        name: str, what the setting is called in errors.
        value: str.
        choices: a tuple, list or dict of str.

    Raises:
        ValueError: if the value is not one of the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be one of {list(choices)}. Received: "
            f"{name}={value!r}. Choose one of them."
        )
    return str(value)


def make_folder(path):
    """Create a folder and its parents if they do not exist.

    Args:
        path: str or a path.

    Returns:
        pathlib.Path.

    Raises:
        ValueError: if a file is in the way.
    """
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            "Files must go to a folder. Received: "
            f"{os.fspath(path)!r}, where a file is in the way. Choose another "
            "name."
        ) from error
    return folder
