"""A text that is to be continued, cut where its windows are certain."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt, cut where continuations may still change its ids.

    Attributes:
        ids: An integer array: the ids that no continuation changes.
        remainder: bytes. The bytes after these ids. Either `next_codes` or
            `bounds` say which ids may stand for them.
        next_codes: A list, for each byte of the remainder, of `(low, high,
            others)`: a window that begins there has a code in `[low, high)`
            and begins with all bytes that are left, or it has one of the codes
            in the list `others` and ends before they do. All are empty for
            bytes where no window begins.
        bounds: An int32 array of shape `(2, D)`, or `None`: the next `D`
            tokens, read as the digits of a number, the first one leading, are
            from `bounds[0]` to `bounds[1]`, both included. A digit is the id
            less 3.
    """

    ids: np.ndarray
    remainder: bytes = b""
    next_codes: list = dataclasses.field(default_factory=list)
    bounds: np.ndarray | None = None


def find_next_codes(codebook, parse, remainder, marks):
    """Find the windows that may come next; see `Prompt.next_codes`.

    Args:
        codebook: a `Codebook`.
        parse: its `Parse`.
        remainder: bytes.
        marks: word boundaries of the remainder, uint8, or `None` if the
            parse does not use them.

    Returns:
        A list of `(low, high, others)`.
    """
    next_codes = [(0, 0, [])] * len(remainder)
    begins = {0}  # bytes at which a window may begin
    for at in range(len(remainder)):
        if at not in begins:
            continue
        left = remainder[at:]
        ends = []
        for n in range(1, min(len(left), codebook.max_window_bytes + 1)):
            i = codebook.find(left[:n])
            if i is not None:
                ends.append((n, i))
        ends = parse.early_ends(
            ends,
            None if marks is None else marks[at:],
            codebook.find(left) is not None,
        )
        begins.update(at + n for n, _ in ends)
        low, high = codebook.prefix_range(left)
        next_codes[at] = low, high, [i for _, i in ends]
    return next_codes
