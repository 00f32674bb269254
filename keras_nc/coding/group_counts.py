"""The different groups of words of a text, and how often each occurs.

Between two neighbouring words that no phrase has in a row, there is always a
cut. So a text falls into groups of words. The uses of windows in a group depend
on its words alone, and groups that are alike are counted once. A text has far
fewer different groups than words.
"""

import os
import tempfile

import numpy as np

from keras_nc.coding.archive import name_full_disk

LONGEST = 1 << 14  # words after which a group ends
PIECE_WORDS = 1 << 24  # words of a text whose groups are compared
THREAD_WORDS = 1 << 20  # words of groups that a thread reads at a time


class WordGroups:
    """The different groups of a text, for the phrases of a codebook.

    Attributes:
        sequence: int32: for each different group of several words its uses, its
            words, and a 0. A group may occur again after many others.
        singles: int64 of shape (words + 1,), how often each word is a group by
            itself.
    """

    def __init__(self, sequence, singles, has_uses, text):
        self.sequence = sequence
        self.singles = singles
        self._has_uses = has_uses
        self._text = text

    @classmethod
    def of_text(cls, text):
        """Return the documents of a `CandidateText` as groups.

        Only `split` counts them.
        """
        singles = np.zeros(text.starts.size + 1, np.int64)
        return cls(text.sequence, singles, False, text)

    def split(self, bonds, progress):
        """Split the groups between words that no phrase has in a row.

        The filter of such words may leave some of them together, which changes
        no sum. If the text is on disk, so are the groups.

        Args:
            bonds: the filter; see `kernels.phrases.is_bond`.
            progress: function to call with bytes of the text that are done, if
                the groups are counted for the first time.

        Returns:
            `WordGroups`.
        """
        singles = self.singles.copy()
        pieces = self._count(bonds, singles, progress)
        folder = self._text.folder
        if folder is None:
            sequence = np.concatenate([np.zeros(0, np.int32), *pieces])
        else:
            sequence = _store(pieces, folder)
        return WordGroups(sequence, singles, True, self._text)

    def _count(self, bonds, singles, progress):
        """Yield the different groups of each piece; count single words up."""
        from keras_nc.coding.kernels.group_counts import count_groups

        for piece in split_groups(self.sequence, PIECE_WORDS):
            groups = np.empty(2 * piece.size, np.int32)
            table = np.zeros(1 << (piece.size - 1).bit_length(), np.uint64)
            end = count_groups(
                piece, self._has_uses, LONGEST, bonds, singles, groups, table
            )
            yield groups[:end].copy()  # a view would keep the whole buffer
            if not self._has_uses:
                progress(self._text.bytes_of(piece.size))


def split_groups(sequence, size=THREAD_WORDS):
    """Yield pieces of at most `size` words, or 2 * `LONGEST` if that is more.

    A piece ends with a 0. If it has none, a document is longer than a piece:
    then the piece ends after a multiple of `LONGEST` words of the document.
    """
    size = max(size, 2 * LONGEST)
    begin = 0
    while begin < sequence.size:
        piece = sequence[begin : begin + size]
        ends = np.flatnonzero(piece == 0)
        if ends.size:
            piece = piece[: ends[-1] + 1]
        else:
            piece = piece[: piece.size // LONGEST * LONGEST]
        yield piece
        begin += piece.size


def _store(pieces, folder):
    """Return an array of joined pieces, kept in a file without a name.

    The file is on the disk of the folder, unless that cannot be written to.
    """
    if not os.access(folder, os.W_OK):
        folder = None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for piece in pieces:
                file.write(piece.data)
            file.flush()
            if not file.tell():  # which cannot be mapped
                return np.zeros(0, np.int32)
            # Numba would compile again for a read-only array.
            return np.asarray(np.memmap(file, np.int32, "c"))
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise name_full_disk(error, where) from None
