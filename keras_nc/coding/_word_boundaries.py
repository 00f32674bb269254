"""Where words begin and end, byte by byte.

The word bytes are ASCII letters and digits, the underscore, the apostrophe,
and all bytes from 128 on, so that no UTF-8 sequence is cut. A boundary lies

- between a word byte and any other byte after it;
- before a word byte after any other, but one single space, which belongs to
  the word after it;
- before the first space of a run of spaces.

Whether one lies before a byte depends on that byte and the two before it in
the document, so more text never changes it.
"""

import string

import numpy as np

from keras_nc.coding._jit import jit

WORD, SPACE, OTHER = 0, 1, 2
CLASSES = np.full(256, OTHER, np.uint8)
CLASSES[[*(string.ascii_letters + string.digits + "_'").encode()]] = WORD
CLASSES[128:] = WORD
CLASSES[ord(" ")] = SPACE


@jit
def mark_boundaries(text, offsets, classes):
    """Write 1 where a boundary lies before a byte, else 0: uint8 (L,)."""
    marks = np.zeros(text.size, np.uint8)
    for d in range(offsets.size - 1):
        earlier, last = OTHER, OTHER
        for i in range(offsets[d], offsets[d + 1]):
            this = np.int64(classes[text[i]])
            if this == WORD:
                joined = last == WORD or (last == SPACE and earlier != SPACE)
                marks[i] = not joined
            elif this == SPACE:
                marks[i] = last != SPACE
            else:
                marks[i] = last == WORD
            earlier, last = last, this
    return marks
