"""The different groups of words of a text, and how often each occurs.

Between two neighbouring words that no phrase holds, there is always a cut. So a
text falls into groups of words. The uses of windows in a group depend on its
words alone, and groups that are alike are counted once. A text has far fewer
different groups than words.
"""

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

    def __init__(self, sequence, singles, is_counted, text):
        self.sequence = sequence
        self.singles = singles
        self._is_counted = is_counted
        self._text = text

    @classmethod
    def of_text(cls, text):
        """Return the documents of a `CandidateText` as groups.

        They are not counted before `split`.
        """
        singles = np.zeros(text.starts.size + 1, np.int64)
        return cls(text.sequence, singles, False, text)

    def split(self, bonds, progress):
        """Split the groups where no phrase holds two words.

        If the text is on disk, so are the groups.

        Args:
            bonds: which words phrases may have in a row; see
                `kernels.phrases.is_bond`.
            progress: function to call with bytes of the text that are done, if
                these groups are not counted yet.

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
                piece, self._is_counted, LONGEST, bonds, singles, groups, table
            )
            yield groups[:end].copy()
            if not self._is_counted:
                progress(self._text.bytes_of(piece.size))


def split_groups(sequence, size=THREAD_WORDS):
    """Return pieces of a sequence, of at most `size`, that end with a group.

    In a group of more words, which a document may be before groups are counted,
    they end after a multiple of `LONGEST` words.
    """
    size = max(size, 2 * LONGEST)
    pieces = []
    begin = 0
    while begin < sequence.size:
        piece = sequence[begin : begin + size]
        ends = np.flatnonzero(piece == 0)
        if ends.size:
            piece = piece[: ends[-1] + 1]
        else:
            piece = piece[: piece.size // LONGEST * LONGEST]
        pieces.append(piece)
        begin += piece.size
    return pieces


def _store(pieces, folder):
    """Return an array of joined pieces, kept in a file without a name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            for piece in pieces:
                file.write(piece.data)
            file.flush()
        except OSError as error:
            raise name_full_disk(error, folder) from None
        if not file.tell():  # which cannot be mapped
            return np.zeros(0, np.int32)
        return np.asarray(np.memmap(file, np.int32, "r+"))
