"""Where words begin and end, byte by byte. There are two rules.

The word bytes are ASCII letters and digits, the underscore, the apostrophe,
and all bytes from 128 on, so that no UTF-8 sequence is cut. A boundary lies

- between a word byte and any other byte after it;
- between any other byte and a word byte after it, except after one single
  space, which belongs to the word;
- before the first space of a run of spaces.

`mark_words` has shorter words, for the parse `likely_words`: a run of word
bytes, or one other byte, each with a single space before it; or a run of
several spaces. A boundary lies

- before every byte that is no space, except between two word bytes and after
  one single space;
- before the first space of a run of spaces.

A boundary before a byte depends only on this byte and the two before it in the
document, so more text never changes it.
"""

import numpy as np

from keras_nc.coding.kernels import jit

#: Classes of bytes, a bit each.
WORD, SPACE, OTHER = np.uint8(1), np.uint8(2), np.uint8(4)
_BLOCK = 1 << 13


@jit
def mark_boundaries(text, offsets):
    """Write 1 where a boundary lies before a byte, else 0: uint8 (L,)."""
    return _mark_all(text, offsets, WORD)


@jit
def mark_words(text, offsets):
    """Do the same for the boundaries of `likely_words`."""
    return _mark_all(text, offsets, WORD | SPACE | OTHER)


@jit
def _mark_all(text, offsets, before_other):
    marks = np.empty(text.size, np.uint8)
    # The classes of a block stay in the processor's cache.
    kinds = np.full(_BLOCK + 2, OTHER, np.uint8)
    for start in range(0, text.size, _BLOCK):
        part = text[start : start + _BLOCK]
        part_marks = marks[start : start + _BLOCK]
        kinds[:2] = kinds[_BLOCK:]
        # Compilers turn each of these loops into operations on many bytes.
        for i in range(part.size):
            kinds[i + 2] = classify(part[i])
        for i in range(part.size):
            part_marks[i] = _mark(
                kinds[i], kinds[i + 1], kinds[i + 2], before_other
            )
    # Boundaries do not depend on the document before.
    for d in range(offsets.size - 1):
        i = offsets[d]
        if i < offsets[d + 1]:
            first = classify(text[i])
            marks[i] = _mark(OTHER, OTHER, first, before_other)
            if i + 1 < offsets[d + 1]:
                second = classify(text[i + 1])
                marks[i + 1] = _mark(OTHER, first, second, before_other)
    return marks


@jit
def classify(byte):
    """Return the class of a byte."""
    lower = np.uint8(byte | np.uint8(0x20))
    letter = np.uint8(lower - np.uint8(ord("a"))) < np.uint8(26)
    digit = np.uint8(byte - np.uint8(ord("0"))) < np.uint8(10)
    sign = (byte == np.uint8(ord("_"))) | (byte == np.uint8(ord("'")))
    word = letter | digit | sign | (byte >= np.uint8(128))
    space = byte == np.uint8(ord(" "))
    return WORD if word else (SPACE if space else OTHER)


@jit
def _mark(earlier, last, this, before_other):
    """Return 1 if a boundary lies between two bytes, by classes, else 0.

    `before_other` tells after which classes a boundary lies before a byte that
    is neither a word byte nor a space. SPACE means: after a run of spaces.
    """
    lowest = np.uint8(1)
    space, other = np.uint8(1), np.uint8(2)  # shifts to the lowest bit
    after_space = (last >> space) & lowest
    after_run = after_space & (earlier >> space)
    before_word = this & ((last >> other) | after_run)
    before_space = (this >> space) & (after_space ^ lowest)
    after = before_other & (last ^ (SPACE * (after_space ^ after_run)))
    after = after | (after >> space) | (after >> other)
    return (before_word | before_space | ((this >> other) & after)) & lowest
