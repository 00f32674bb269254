"""Bytes as they come in: bytes-like objects and lists of documents."""

import numpy as np


def as_byte_array(data):
    """View a bytes-like object as a read-only array of uint8, shape (L,)."""
    if isinstance(data, str):
        raise TypeError(
            "Text must be bytes, for every code stands for bytes. Received: "
            "a str. Encode it first, as in `text.encode('utf-8')`."
        )
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8 or data.ndim != 1:
            raise TypeError(
                "An array of bytes must have dtype uint8 and one axis. "
                f"Received: dtype={data.dtype}, shape={data.shape}. Pass "
                "bytes, or cast and flatten the array."
            )
        array = np.ascontiguousarray(data).view()
    else:
        try:
            if isinstance(data, np.generic):  # a number, bytes or not
                raise TypeError
            view = memoryview(data)
        except TypeError:
            raise TypeError(
                "Text must be bytes-like (bytes, bytearray, memoryview or a "
                f"uint8 array). Received: {type(data).__name__}. Convert it "
                "to bytes first."
            ) from None
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        # frombuffer refuses buffers of no bytes in some versions of NumPy.
        array = np.frombuffer(view, np.uint8) if view.nbytes else _EMPTY
    # One type for every source: kernels compile once, for read-only input.
    array.setflags(write=False)
    return array


_EMPTY = np.zeros(0, np.uint8)


def as_documents(text):
    """Give text as a list of documents: one if it is bytes-like.

    Args:
        text: bytes-like, or a sequence of bytes-like documents.
    """
    one = (str, bytes, bytearray, memoryview, np.ndarray)
    if isinstance(text, one) or not hasattr(text, "__iter__"):
        as_byte_array(text)
        return [text]
    return list(text)


def join_documents(documents):
    """Join documents into one buffer.

    Args:
        documents: list of bytes-like objects.

    Returns:
        The bytes, uint8 of shape (L,), and offsets, int64 of shape
        (documents + 1,): document i is `[offsets[i], offsets[i + 1])`.
    """
    if isinstance(documents, (str, bytes, bytearray, memoryview, np.ndarray)):
        raise TypeError(
            "`documents` must be a sequence of bytes-like objects. Received: "
            f"{type(documents).__name__}. Put it in a list, or use `encode`."
        )
    if documents and all(type(document) is bytes for document in documents):
        # The usual case, without an array for each document.
        offsets = np.zeros(len(documents) + 1, np.int64)
        lengths = np.fromiter(map(len, documents), np.int64, len(documents))
        np.cumsum(lengths, out=offsets[1:])
        return as_byte_array(b"".join(documents)), offsets
    arrays = [as_byte_array(document) for document in documents]
    offsets = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([a.size for a in arrays], out=offsets[1:])
    if len(arrays) == 1:
        return arrays[0], offsets
    joined = np.concatenate(arrays) if arrays else _EMPTY.view()
    joined.setflags(write=False)
    return joined, offsets
