"""Where in a text each id is, in bytes and in characters."""

from typing import NamedTuple

import numpy as np


class Encoding(NamedTuple):
    """The ids of a text, and the part of the text that each stands for.

    Attributes:
        ids: int32 of shape (T,).
        byte_offsets: int64 of shape (T, 2): the first byte, and the byte after
            the last.
        character_offsets: int64 of shape (T, 2): the first character, and the
            character after the last. A character that several ids share belongs
            to each of them.
    """

    ids: np.ndarray
    byte_offsets: np.ndarray
    character_offsets: np.ndarray


def locate(ids, lengths, text):
    """Find the part of a text that each of its ids stands for.

    Args:
        ids: int32 of shape (T,).
        lengths: int32 of shape (T,): bytes of each id. Their sum is L.
        text: bytes, of length L.

    Returns:
        An `Encoding`.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    begins = ends - lengths
    characters = character_of_byte(text)
    return Encoding(
        ids,
        np.stack([begins, ends], axis=1),
        np.stack([characters[begins], characters[ends - 1] + 1], axis=1),
    )


def character_of_byte(data):
    r"""Return the number of the character that each byte belongs to.

    Characters are those of `data.decode(errors="replace")`, in which one
    character stands for a run of bytes that is not UTF-8.

    Args:
        data: bytes, of length L.

    Returns:
        int64 of shape (L,).

    Example:
    >>> character_of_byte(b"a\xc3\xa9\xff").tolist()
    [0, 1, 1, 2]
    """
    array = np.frombuffer(data, np.uint8)
    begins = (array & 0xC0) != 0x80
    view, start = memoryview(data), 0
    while start < len(data):
        try:
            str(view[start:], "utf-8")
        except UnicodeDecodeError as error:
            begins[start + error.start] = True
            begins[start + error.start + 1 : start + error.end] = False
            start += error.end
        else:
            break
    return np.cumsum(begins, dtype=np.int64) - 1
