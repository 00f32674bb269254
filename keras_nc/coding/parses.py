"""The rules that cut text into windows.

- `"greedy"`: take the longest window that the text begins with.
- `"aligned"`: take the longest window that ends at a word boundary, or the
  longest window if none does. A word is then cut in few ways, which helps a
  language model. For what a word boundary is, see `kernels.words`.
- `"flexible"`: take the window after which the next window can reach furthest,
  which needs fewer windows.
- `"likely"`: take the most probable segmentation of the whole document, by the
  frequencies of windows in the text that the codebook was built with.
- `"likely_aligned"`: the same, with as few ends inside words as possible.
- `"likely_words"`: the same, but a window that begins inside a word ends inside
  it or with it, and a window of several words begins and ends with a word. For
  its words, see `kernels.words.mark_words`.

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
            `offsets`, `ids` and `id_offsets`. It fills the last two. It returns
            the number of ids, and where the first window that more text might
            change begins in the last document (-1 if there is none).
        early_ends: function for prompts. It returns which of the windows that a
            remainder begins with may come next and end inside it. Its arguments
            are these windows, as `(bytes, id)` pairs, shortest first; the marks
            of the remainder; and whether the whole remainder is a window.
        boundaries: name of the function in `kernels.words` that marks
            word boundaries; `None` if they do not matter.
        divides: function of a text, uint8, and a place in it where a window
            begins. It returns whether the text from there on has the same
            windows as a document of its own.
        weighs_windows: bool, whether windows have costs.
        first: name of the parse that gives the initial costs. `None` if windows
            have no costs, or if all cost the same at first.
    """

    name: str
    run: Callable
    early_ends: Callable
    boundaries: str | None = None
    divides: Callable = lambda text, at: True
    weighs_windows: bool = False
    first: str | None = None

    def mark(self, text, offsets):
        """Mark the word boundaries of text.

        Args:
            text: uint8 of shape (L,), all documents joined.
            offsets: int64 of shape (documents + 1,).

        Returns:
            uint8 of shape (L,), 1 where a boundary lies before a byte, or
            `None` if boundaries do not matter.
        """
        if self.boundaries is None:
            return None
        from keras_nc.coding.kernels import words

        return getattr(words, self.boundaries)(text, offsets)

    def may_divide(self, text, at):
        """Tell whether two parts of a text can be cut into windows separately.

        Args:
            text: uint8 of shape (L,).
            at: int, where one window ends and another begins.

        Returns:
            bool, whether the second part has the same windows as a document of
            its own.
        """
        return at == text.size or self.divides(text, at)


def _run_greedy(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import longest

    # Without marks, the kernel takes simpler steps.
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
    from keras_nc.coding.kernels import longest

    return longest.encode_flexible(trie.cells, trie.id_of_slot, text, *arrays)


def _run_likely(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import likely

    if marks is None:
        marks = np.zeros(0, np.uint8)
    return likely.encode_likely(
        trie.cells, trie.id_of_slot, costs, marks, text, *arrays
    )


def _run_likely_words(trie, costs, marks, text, *arrays):
    from keras_nc.coding.kernels import likely_words

    tables = trie.word_tables(costs)
    cache = tables.take_cache()
    result = likely_words.encode_likely_words(
        trie.cells, trie.id_of_slot, costs, tables.tries, tables.phrases,
        tables.steps, cache, marks, text, *arrays
    )  # fmt: skip
    tables.give_cache(cache)
    return result


def _divides_spaces(text, at):
    # A single space belongs to the word after it, but the last of several
    # spaces does not. Cut from the others, it would look like a single one.
    near = text[at - 1 : at + 2].tobytes()
    return near[:2] != b"  " or near[2:] == b" "


def _divides_words(text, at):
    from keras_nc.coding.kernels import words

    # Only at a boundary may the next window have several words.
    near = text[max(at - 2, 0) : at + 1]
    marks = words.mark_words(near, np.array([0, near.size]))
    return bool(marks[-1])


def _any_end(ends, marks, is_window):
    return ends


def _longest_end(ends, marks, is_window):
    return [] if is_window else ends[-1:]


def _longest_aligned_end(ends, marks, is_window):
    # Only more text can tell whether a boundary lies after the text.
    aligned = [end for end in ends if marks[end[0]]]
    return aligned[-1:] or _longest_end(ends, marks, is_window)


def _end_in_words(ends, marks, is_window):
    # The first word ends at the first boundary after its first byte.
    boundaries = np.flatnonzero(marks[1:]) + 1
    word_end = boundaries[0] if boundaries.size else marks.size
    return [
        end
        for end in ends
        if end[0] <= word_end or (marks[0] and marks[end[0]])
    ]


#: Parses by their names.
PARSES = {
    parse.name: parse
    for parse in (
        Parse("greedy", _run_greedy, _longest_end),
        Parse(
            "aligned",
            _run_aligned,
            _longest_aligned_end,
            boundaries="mark_boundaries",
            divides=_divides_spaces,
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
            boundaries="mark_boundaries",
            divides=_divides_spaces,
            weighs_windows=True,
            first="aligned",
        ),
        Parse(
            "likely_words",
            _run_likely_words,
            _end_in_words,
            boundaries="mark_words",
            divides=_divides_words,
            weighs_windows=True,
        ),
    )
}
