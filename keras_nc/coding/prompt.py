"""Cut a prompt before the first window that a continuation may change."""

import bisect
import dataclasses

import numpy as np

from keras_nc.coding.codebook_file import split_windows
from keras_nc.coding.codes import NUM_SPECIAL


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


class WindowIndex:
    """Windows in lexicographic order, to search for them and their prefixes.

    Args:
        lengths: bytes of each id's window, 0 for none, uint8.
        content: all windows in the order of their ids, uint8.
    """

    def __init__(self, lengths, content):
        self._ids = np.flatnonzero(lengths).tolist()
        self._windows = split_windows(lengths, content)
        self._end = len(lengths)
        self._longest = int(lengths.max())

    def find(self, window):
        """Return the id of a window, or `None`; see `Codebook.find`."""
        at = bisect.bisect_left(self._windows, window)
        found = at < len(self._windows) and self._windows[at] == window
        return self._ids[at] if found else None

    def prefix_range(self, prefix):
        """Return the interval of ids; see `Codebook.prefix_range`."""
        if not prefix:
            return NUM_SPECIAL, self._end
        first = bisect.bisect_left(self._windows, prefix)
        # This is longer than any window, so it sorts after all extensions.
        last = bisect.bisect_left(self._windows, prefix + b"\xff" * 256)
        if first == last:
            return 0, 0
        high = self._ids[last] if last < len(self._ids) else self._end
        return self._ids[first], high

    def find_next_codes(self, parse, remainder, marks):
        """Find the windows that may come next; see `Prompt.next_codes`.

        Args:
            parse: a `Parse`.
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
            lengths = range(1, min(len(left), self._longest + 1))
            found = [(n, self.find(left[:n])) for n in lengths]
            ends = parse.early_ends(
                [(n, i) for n, i in found if i is not None],
                None if marks is None else marks[at:],
                self.find(left) is not None,
            )
            begins.update(at + n for n, _ in ends)
            low, high = self.prefix_range(left)
            next_codes[at] = low, high, [i for _, i in ends]
        return next_codes
