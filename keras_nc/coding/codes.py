"""Ids: codes of W bits, tokens of N bits, special tokens, and their places.

Ids 0, 1 and 2 are special in every vocabulary: they stand for no bytes. A code
of W bits lies in `[3, 2^W)`. With N = W the code is the id. With N < W the
code is cut into W / N parts of N bits, most significant part first, and the id
is 3 + the part. `SpecialTokens` have ids after those of the windows. A `Prompt`
has the ids of a text to continue. `locate` finds the part of a text that each
id stands for.
"""

import dataclasses
import json
import re
from typing import NamedTuple

import numpy as np

from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_integer

PAD_ID = 0
START_ID = 1
END_ID = 2
#: Ids from here on stand for bytes.
NUM_SPECIAL = 3


def split_codes(codes, window_bits, token_bits):
    """Cut window codes into token ids.

    Args:
        codes: window codes, integers of shape (windows,).
        window_bits: W, bits per code, 1 to 64.
        token_bits: N, bits per token, 1 to 16; it must divide W.

    Returns:
        Token ids, int32 of shape (windows * W / N,).

    Raises:
        ValueError: if N does not divide W, or a code is out of range.

    Example:
    >>> split_codes([0xABCD], window_bits=16, token_bits=8).tolist()
    [174, 208]
    >>> [0xAB + 3, 0xCD + 3]
    [174, 208]
    """
    window_bits, token_bits = _as_bits(window_bits, token_bits)
    per_window = window_bits // token_bits
    codes = _integers(codes, "codes")
    first = NUM_SPECIAL if per_window == 1 else 0
    _check_range(codes, first, 1 << window_bits, "Code", "window_bits")
    if per_window == 1:
        return codes.astype(np.int32)
    shifts = np.arange(per_window - 1, -1, -1, dtype=np.uint64)
    shifts *= np.uint64(token_bits)
    ids = codes.astype(np.uint64)[:, None] >> shifts
    ids &= np.uint64((1 << token_bits) - 1)
    return ids.astype(np.int32).reshape(-1) + np.int32(NUM_SPECIAL)


def join_codes(ids, window_bits, token_bits, skip_special=False):
    """Join token ids to window codes; undo `split_codes`.

    Args:
        ids: token ids, integers of shape (T,).
        window_bits: W, bits per code, 1 to 64.
        token_bits: N, bits per token, 1 to 16; it must divide W.
        skip_special: whether to drop special ids between windows. Inside a
            window they are always an error.

    Returns:
        Window codes of shape (windows,), in the smallest of uint16, uint32
        and uint64 that holds W bits.

    Raises:
        ValueError: if an id is out of range or special (unless skipped), or
            a window is incomplete.

    Example:
    >>> ids = split_codes([0xABCD, 0x0123], window_bits=16, token_bits=4)
    >>> [hex(code) for code in join_codes(ids, 16, 4)]
    ['0xabcd', '0x123']
    """
    window_bits, token_bits = _as_bits(window_bits, token_bits)
    per_window = window_bits // token_bits
    ids = _integers(ids, "ids")
    stop = (1 << token_bits) + (NUM_SPECIAL if per_window > 1 else 0)
    _check_range(ids, 0, stop, "Id", "token_bits")
    special = ids < NUM_SPECIAL
    if special.any():
        at = int(np.argmax(special))
        if not skip_special:
            raise ValueError(
                "Special ids (0 to 2) stand for no bits. Received: id "
                f"{ids[at]} at position {at}. Remove it, or pass "
                "`skip_special=True`."
            )
        # The number of window ids before each special id.
        before = np.arange(special.sum())
        positions = np.flatnonzero(special)
        inside = (positions - before) % per_window != 0
        if inside.any():
            at = int(positions[np.argmax(inside)])
            raise ValueError(
                f"A window is {per_window} ids in a row. Received: special id "
                f"{ids[at]} inside a window, at position {at}. Drop the "
                "incomplete window first."
            )
        ids = ids[~special]
    if ids.size % per_window:
        raise ValueError(
            f"A window is {per_window} ids in a row. Received: {ids.size} ids, "
            f"so the last window has only {ids.size % per_window}. Drop the "
            "incomplete window first."
        )
    dtype = np.dtype(f"uint{max(16, 1 << (window_bits - 1).bit_length())}")
    if per_window == 1:
        return ids.astype(dtype)
    # Values are below 2^17, so they are never negative.
    parts = ids.astype(np.uint64).reshape(-1, per_window) - np.uint64(
        NUM_SPECIAL
    )
    codes = np.zeros(len(parts), np.uint64)
    for column in range(per_window):
        codes <<= np.uint64(token_bits)
        codes |= parts[:, column]
    return codes.astype(dtype)


def _as_bits(window_bits, token_bits):
    window_bits = as_integer("window_bits", window_bits, 1, 64)
    token_bits = as_integer("token_bits", token_bits, 1, 16)
    if window_bits % token_bits:
        raise ValueError(
            "`token_bits` must divide `window_bits`. Received: "
            f"window_bits={window_bits}, token_bits={token_bits}. Choose, "
            "for example, 16 and 8."
        )
    return window_bits, token_bits


def _integers(values, name):
    array = np.asarray(values)
    if array.size == 0 and not isinstance(values, np.ndarray):
        array = array.astype(np.int64)  # [] is float64
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(
            f"`{name}` must be integers along one axis. Received: "
            f"dtype={array.dtype}, shape={array.shape}. Cast or flatten "
            "them first."
        )
    return array


def _check_range(values, start, stop, name, setting):
    if values.size == 0:
        return
    # Python integers: uint64 values have no signed counterpart.
    if start <= int(values.min()) and int(values.max()) < stop:
        return
    bad = (values < start) | (values > stop - 1)
    at = int(np.argmax(bad))
    raise ValueError(
        f"{name}s must be from {start} to {stop - 1}. Received: {values[at]} "
        f"at position {at}. Check `{setting}`."
    )


def as_ids(ids, window_bits):
    """Return ids in range as a read-only array of uint16, shape (T,)."""
    ids = np.asarray(ids)
    if ids.size == 0:
        return np.zeros(0, np.uint16)
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise ValueError(
            "Ids must be integers along one axis. Received: "
            f"dtype={ids.dtype}, shape={ids.shape}. Cast them, and decode "
            "one sequence at a time."
        )
    V = 1 << window_bits
    # Every uint16 is an id of 16 bits, so the usual case needs no check.
    sure = V == 1 << 16 and np.can_cast(ids.dtype, np.uint16)
    if not sure and (int(ids.min()) < 0 or int(ids.max()) >= V):
        at = int(np.argmax((ids < 0) | (ids > V - 1)))
        refuse_id(int(ids[at]), window_bits, at)
    ids = np.ascontiguousarray(ids.astype(np.uint16, copy=False)).view()
    ids.setflags(write=False)
    return ids


def refuse_id(i, window_bits, position=None):
    """Raise the ValueError for an id that stands for no window."""
    V = 1 << window_bits
    remedy = "Use the codebook that the text was encoded with"
    if not 0 <= i < V:
        rule = f"Ids must be from 0 to {V - 1}"
    elif i < NUM_SPECIAL:
        rule = "Special ids (0 to 2) stand for no bytes"
        remedy = "Remove it, or decode with `skip_special=True`"
    else:
        rule = "Ids must stand for a window, and this one does not"
    where = "" if position is None else f" at position {position}"
    raise ValueError(f"{rule}. Received: id {i}{where}. {remedy}.")


class SpecialTokens:
    """Names that stand for one id each, such as the roles of a chat.

    The ids follow those of a codebook, in the order of the names. At one place
    in a text, the longest name wins.

    Args:
        names: A list of different, non-empty `str`.
        first_id: int. The id of the first name.

    Raises:
        TypeError: If the names are not a list of `str`.
        ValueError: If a name is empty or occurs twice.

    Example:
    >>> tokens = SpecialTokens(["<|user|>", "<|end|>"], first_id=4096)
    >>> tokens.split(b"<|user|>Hi!<|end|>")
    [b'', b'<|user|>', b'Hi!', b'<|end|>', b'']
    >>> tokens.find(b"<|end|>"), tokens.find(b"Hi!")
    (4097, None)
    """

    def __init__(self, names, first_id):
        self.names = _checked(names)
        self.first_id = first_id
        #: The names as bytes, in the order of their ids.
        self.texts = [name.encode() for name in self.names]
        self.lengths = np.array([len(text) for text in self.texts], np.int32)
        self._ids = {text: first_id + i for i, text in enumerate(self.texts)}
        longest_first = sorted(self.texts, key=len, reverse=True)
        choices = b"|".join(map(re.escape, longest_first))
        self._pattern = re.compile(b"(" + choices + b")")

    def __len__(self):
        return len(self.names)

    def find(self, text):
        """Return the id of a name in bytes, or `None`."""
        return self._ids.get(text)

    def split(self, text):
        """Split bytes into a list: text, name, text, name, ..., text."""
        return self._pattern.split(text) if self.names else [text]

    @property
    def digest(self):
        """Sixteen hexadecimal digits that depend on all names."""
        return fingerprint_of(json.dumps(self.names))[:16]


def _checked(names):
    """Return names as a tuple of str, or raise an error."""
    if not isinstance(names, (list, tuple)):
        fault = f"{names!r}"
    else:
        names = tuple(names)
        wrong = [name for name in names if not isinstance(name, str)]
        fault = f"{wrong[0]!r} in it" if wrong else None
    if fault:
        raise TypeError(
            "`special_tokens` must be a list of `str`. Received: "
            f"{fault}. Pass, for example, ['<|user|>', '<|end|>']."
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise ValueError(
                "Special tokens must be different and not empty. Received: "
                f"{name!r} among {list(names)}. Remove it."
            )
        as_bytes(name)  # raises an error if it has no UTF-8
    return names


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt, cut before the first id that a continuation may change.

    Attributes:
        ids: An integer array: the ids that no continuation can change.
        remainder: bytes. The bytes after these ids. `next_codes` or `bounds`
            tell which ids may stand for them.
        next_codes: A list of `(low, high, others)`, one for each byte of the
            remainder. The window that begins at this byte either covers the
            rest of the remainder or ends inside it. In the first case its code
            is in `[low, high)`, in the second in the list `others`. All are
            empty at a byte where no window begins.
        bounds: An int32 array of shape `(2, D)`, or `None`. The next `D` tokens
            are the digits of a number, most significant first. This number is
            from `bounds[0]` to `bounds[1]`, both included. A digit is the id
            minus 3.
    """

    ids: np.ndarray
    remainder: bytes = b""
    next_codes: list = dataclasses.field(default_factory=list)
    bounds: np.ndarray | None = None


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
