"""A prompt, cut before the first window that a continuation may change."""

import dataclasses

import numpy as np


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
