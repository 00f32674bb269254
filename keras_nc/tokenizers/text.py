"""Whatever users pass as text, as bytes."""

import numpy as np


def to_bytes(text):
    """UTF-8 of a `str`; bytes as they are.

    Raises:
        ValueError: If a `str` holds lone surrogates, which have no UTF-8.
        TypeError: If it is no text.
    """
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                "A `str` must be valid Unicode to be encoded. Received: a lone "
                f"surrogate at position {error.start}. Pass the bytes instead."
            ) from error
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    raise TypeError(
        "Text must be `str` or `bytes`, or a list of them. "
        f"Received: {type(text).__name__}"
    )


def to_documents(inputs):
    """Texts as a list of bytes, and whether the input was a batch.

    Args:
        inputs: `str` or `bytes`, a list, NumPy array or other iterable of
            them, or an eager TensorFlow string tensor.

    Returns:
        A pair of a list of bytes and a bool.
    """
    if hasattr(inputs, "numpy"):  # an eager TensorFlow tensor
        inputs = inputs.numpy()
    if isinstance(inputs, np.ndarray):
        if inputs.ndim > 1:
            raise ValueError(
                "An array of texts must have rank 0 or 1. "
                f"Received: shape={inputs.shape}"
            )
        inputs = inputs.tolist()
    one = (str, bytes, bytearray, memoryview, dict, set)
    if isinstance(inputs, one) or not hasattr(inputs, "__iter__"):
        return [to_bytes(inputs)], False
    return [to_bytes(text) for text in inputs], True
