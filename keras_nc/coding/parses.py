"""The rules by which text is cut into windows.

- `"greedy"`: take the longest window that the text begins with.
- `"aligned"`: take the longest window that ends at a word boundary, or the
  longest window if none does. A word is then cut in few ways, which helps a
  language model. For what a word boundary is, see `kernels.word_boundaries`.
- `"flexible"`: take the window after which the next window can reach furthest,
  which needs fewer windows.
- `"likely"`: take the most probable segmentation of the whole document, by the
  frequencies of windows in the text that the codebook was built with.
- `"likely_aligned"`: the same, with as few ends inside words as possible.

A parse is one record. To add one, write its kernel in `kernels`, a function
here that calls it, and a record in `PARSES`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Parse:
    """A rule that cuts a document into windows.

    Attributes:
        name: str, as it is written in codebook files.
        run: function of a `Trie`, costs, marks, and the arrays `text`,
            `offsets`, `ids` and `id_offsets`. It fills the last two and
            returns how many ids there are, and where in the last document the
            first window begins that more text might change, -1 for nowhere.
        early_ends: function of three arguments that tells which windows may
            come next where text is to be continued, and end before it does.
            These are the windows that the text begins with, `(bytes, id)`
            pairs, shortest first; the marks of the text; and whether the whole
            text is a window. Returns some of the pairs.
        marks_boundaries: bool, whether word boundaries matter.
        weighs_windows: bool, whether windows have costs.
        first: name of the parse that a text is cut by to find the first costs;
            `None` if windows have none.
    """

    name: str
    run: Callable
    early_ends: Callable
    marks_boundaries: bool = False
    weighs_windows: bool = False
    first: str | None = None

    def mark(self, text, offsets):
        """Return where words begin and end, byte by byte.

        Args:
            text: uint8 of shape (L,), all documents joined.
            offsets: int64 of shape (documents + 1,).

        Returns:
            uint8 of shape (L,), 1 where a boundary lies before a byte, or
            `None` if boundaries do not matter.
        """
        if not self.marks_boundaries:
            return None
        from keras_nc.coding.kernels import word_boundaries

        return word_boundaries.mark_boundaries(text, offsets)

    def may_divide(self, text, at):
        """Tell whether text can be cut into windows in two parts.

        Args:
            text: uint8 of shape (L,).
            at: int, where one window ends and another begins.

        Returns:
            bool, whether the text from there on has the same windows if it is
            a document of its own.
        """
        if not self.marks_boundaries:
            return True
        # One space belongs to the word after it, but the last of several does
        # not. Without the spaces before it, it would look like one space.
        near = text[at - 1 : at + 2].tobytes()
        return near[:2] != b"  " or near[2:] == b" "


def _run_greedy(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import longest

    # The kernel takes simpler steps if it is given no marks.
    marks = np.zeros(0 if trie.is_closed else text.size, np.uint8)
    return longest.encode_longest(
        trie.cells, trie.id_of_slot, trie.extends, trie.lengths, False, marks,
        text, *arrays
    )  # fmt: skip


def _run_aligned(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import longest

    return longest.encode_longest(
        trie.cells, trie.id_of_slot, trie.extends, trie.lengths, True, marks,
        text, *arrays
    )  # fmt: skip


def _run_flexible(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import flexible

    return flexible.encode_flexible(trie.cells, trie.id_of_slot, text, *arrays)


def _run_likely(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import likely

    if marks is None:
        marks = np.zeros(0, np.uint8)
    return likely.encode_likely(
        trie.cells, trie.id_of_slot, costs, marks, text, *arrays
    )


def _any_end(ends, marks, is_window):
    return ends


def _longest_end(ends, marks, is_window):
    return [] if is_window else ends[-1:]


def _longest_aligned_end(ends, marks, is_window):
    # Whether a boundary lies after the text, only more text can tell.
    aligned = [end for end in ends if marks[end[0]]]
    return aligned[-1:] or _longest_end(ends, marks, is_window)


#: Parses by their names.
PARSES = {
    parse.name: parse
    for parse in (
        Parse("greedy", _run_greedy, _longest_end),
        Parse(
            "aligned",
            _run_aligned,
            _longest_aligned_end,
            marks_boundaries=True,
        ),
        Parse("flexible", _run_flexible, _any_end),
        Parse(
            "likely",
            _run_likely,
            _any_end,
            weighs_windows=True,
            first="greedy",
        ),
        Parse(
            "likely_aligned",
            _run_likely,
            _any_end,
            marks_boundaries=True,
            weighs_windows=True,
            first="aligned",
        ),
    )
}
