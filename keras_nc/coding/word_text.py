"""A text as a sequence of numbered words.

A word, here, is what lies between two boundaries of `mark_words`. To choose
windows of words and phrases, only three things of a text are needed: its
distinct words, their counts, and the sequence of their numbers. All three can
be made in parts and joined.
"""

import contextlib
import itertools
import json
import pathlib
import tempfile

import numpy as np

from keras_nc.coding.archive import name_full_disk
from keras_nc.coding.archive import read_arrays
from keras_nc.coding.archive import write_arrays
from keras_nc.coding.inputs import group_documents
from keras_nc.coding.inputs import iterate_documents
from keras_nc.coding.inputs import join_documents

LONGEST_WORD = 255  # bytes; longer words are read as several
HEAD_BYTES = 1 << 20  # of the beginning of the text
BLOCK_BYTES = 1 << 25  # of documents that are numbered together
MEMORY_BYTES = 1 << 27  # of a text whose numbers `temporary` keeps in memory
_SEQUENCE = "sequence.int32"
_WORDS = "words.npz"
_FIELDS = ("letters", "lengths", "counts", "head")


class WordText:
    r"""The words of a text, for `Codebook.build`.

    Make one with `from_documents`, in memory or, for a large text, on disk.
    Several workers can each read a part of the documents. `join` then gives
    what one worker would have made of all documents, byte for byte. On disk,
    memory is needed for the distinct words, not for the text.

    Attributes:
        letters: uint8, the bytes of the distinct words, joined, in the order
            in which they first occur.
        lengths: int64 of shape (words,), bytes of each distinct word.
        counts: int64 of shape (words,), how often it occurs.
        sequence: int32, the number of each word of the text, from 1 on, with a
            0 after each document.
        head: bytes, the beginning of the text.

    Example:
    >>> parts = [WordText.from_documents([d]) for d in (b"a b", b"b a b\n")]
    >>> text = WordText.join(parts)
    >>> text.letters.tobytes(), text.counts.tolist()
    (b'a bb a\n', [1, 2, 1, 1, 1])
    >>> text.sequence.tolist()
    [1, 2, 0, 3, 4, 2, 5, 0]
    """

    def __init__(self, letters, lengths, counts, sequence, head, folder=None):
        self.letters = letters
        self.lengths = lengths
        self.counts = counts
        self.sequence = sequence
        self.head = head
        #: The folder of the files, or `None` if all is in memory.
        self.folder = folder
        #: Where each distinct word begins in the letters, int64.
        self.starts = np.cumsum(lengths) - lengths

    @classmethod
    def from_documents(cls, documents, folder=None):
        """Number the words of documents.

        Args:
            documents: `str` or bytes, or an iterable of them, read once.
            folder: where the text is kept, with 4 bytes for each of its words.
                It is created if missing; `load` reads it again. `None`, the
                default, keeps the text in memory.

        Returns:
            A `WordText`.
        """
        blocks = group_documents(iterate_documents(documents), BLOCK_BYTES)
        return cls.join((_number(block) for block in blocks), folder)

    @classmethod
    @contextlib.contextmanager
    def temporary(cls, documents, folder, memory_bytes=MEMORY_BYTES):
        """Number the words of documents for the time of a `with` block.

        A text of more than `memory_bytes` is kept in a new folder, which is
        deleted after the block. So the text may be larger than memory.

        Args:
            documents: see `from_documents`.
            folder: where the new folder is made, on a disk with room for 4
                bytes for each word, about as much as the text has, and for the
                groups of words while a codebook is built.
            memory_bytes: int, bytes of text that are numbered in memory.

        Yields:
            A `WordText`.

        Example:
        >>> with WordText.temporary(["a b", "b"], ".", memory_bytes=2) as text:
        ...     text.sequence.tolist(), text.folder is None
        ([1, 2, 0, 3, 0], False)
        """
        # Blocks are no larger than what may be held.
        size = min(BLOCK_BYTES, memory_bytes)
        blocks = group_documents(iterate_documents(documents), size)
        held, room = [], memory_bytes
        for block in blocks:
            room -= sum(map(len, block))
            held.append(_number(block))
            if room < 0:
                break
        if room >= 0:
            yield cls.join(held)
            return
        parts = itertools.chain(_pop_all(held), map(_number, blocks))
        with tempfile.TemporaryDirectory(
            prefix=".words-", dir=folder
        ) as temporary:
            yield cls.join(parts, temporary)

    @classmethod
    def join(cls, parts, folder=None):
        """Join the parts of a text.

        Args:
            parts: an iterable of `WordText`, in the order of the text.
            folder: see `from_documents`; another one than those of the parts.

        Returns:
            A `WordText`, the same as if the documents of all parts had been
            numbered together.
        """
        words = Vocabulary()
        head = b""
        with _SequenceWriter(folder) as written:
            for part in parts:
                numbers = words.add(part.letters, part.lengths, part.counts)
                numbers = np.append(np.int32(0), numbers + np.int32(1))
                size = BLOCK_BYTES // 4
                for start in range(0, part.sequence.size, size):
                    piece = part.sequence[start : start + size]
                    written.append(numbers[piece])
                head += part.head[: HEAD_BYTES - len(head)]
        text = cls(*words.arrays, written.sequence, head, folder)
        if folder is not None:
            head = np.frombuffer(head, np.uint8)
            fields = (text.letters, text.lengths, text.counts, head)
            arrays = dict(zip(_FIELDS, fields, strict=True))
            arrays["size"] = json.dumps(int(text.sequence.size))
            write_arrays(pathlib.Path(folder, _WORDS), arrays)
        return text

    @classmethod
    def load(cls, folder):
        """Return the text that is kept in a folder.

        Args:
            folder: path.

        Returns:
            A `WordText`.

        Raises:
            ValueError: if the folder does not hold a complete one.
        """
        try:
            arrays = read_arrays(pathlib.Path(folder, _WORDS))
            size = json.loads(arrays["size"].item())
            letters, lengths, counts, head = (arrays[n].copy() for n in _FIELDS)
            sequence = _map(folder)
            if sequence.size != size or lengths.sum() != letters.size:
                raise ValueError("its files do not belong together")
        except Exception as error:
            raise ValueError(
                "A folder of numbered words must be complete. Received: "
                f"{folder}, where it is not: {error}. Make it again with "
                "`WordText.from_documents`."
            ) from error
        return cls(letters, lengths, counts, sequence, head.tobytes(), folder)


class Vocabulary:
    """Distinct words, numbered in the order in which they are added."""

    def __init__(self):
        self._letters = np.empty(1 << 16, np.uint8)
        self._starts = np.zeros(1 << 12, np.int64)
        self._lengths = np.zeros(1 << 12, np.int64)
        self._hashes = np.zeros(1 << 12, np.uint64)
        self._counts = np.zeros(1 << 12, np.int64)
        self._table = np.full(1 << 13, -1, np.int32)
        self._known = 0
        self._used = 0

    @property
    def arrays(self):
        """Letters, lengths and counts; see `WordText`."""
        return (
            self._letters[: self._used].copy(),
            self._lengths[: self._known].copy(),
            self._counts[: self._known].copy(),
        )

    def add(self, letters, lengths, counts):
        """Add distinct words, and return their numbers, int32, from 0 on."""
        from keras_nc.coding.kernels import words

        self._letters = _grown(self._letters, self._used + letters.size)
        most = self._known + lengths.size
        names = ("_starts", "_lengths", "_hashes", "_counts")
        for name in names:
            setattr(self, name, _grown(getattr(self, name), most))
        if 2 * most > self._table.size:
            self._table = np.full(2 * self._starts.size, -1, np.int32)
            words.refill(self._table, self._hashes[: self._known])
        numbers = np.empty(lengths.size, np.int32)
        self._known, self._used = words.add_words(
            letters, lengths, counts, numbers, self._letters, self._starts,
            self._lengths, self._hashes, self._counts, self._table,
            self._known, self._used,
        )  # fmt: skip
        return numbers


class _SequenceWriter:
    """Write a sequence to a folder, or to memory."""

    def __init__(self, folder):
        self._folder = folder
        self._pieces = [np.zeros(0, np.int32)]
        self._file = None

    def __enter__(self):
        if self._folder is not None:
            folder = pathlib.Path(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Without this file, the folder is not complete.
            (folder / _WORDS).unlink(missing_ok=True)
            self._file = open(folder / _SEQUENCE, "wb")
        return self

    def append(self, piece):
        if self._file is None:
            self._pieces.append(piece)
            return
        try:
            self._file.write(piece.astype("<i4", copy=False).data)
            self._file.flush()
        except OSError as error:
            raise name_full_disk(error, self._file.name) from None

    def __exit__(self, *error):
        if self._file is None:
            return
        try:
            self._file.close()  # which writes what could not be written before
        except OSError as failure:
            raise name_full_disk(failure, self._file.name) from None

    @property
    def sequence(self):
        if self._folder is None:
            return np.concatenate(self._pieces)
        return _map(self._folder)


def _map(folder):
    """Return the sequence of a folder, mapped into memory."""
    path = pathlib.Path(folder, _SEQUENCE)
    if not path.stat().st_size:  # which cannot be mapped
        return np.zeros(0, np.int32)
    # Mode "c" changes no file. Numba would compile again for a read-only
    # array.
    return np.asarray(np.memmap(path, "<i4", "c"))


def _pop_all(parts):
    """Yield the items of a list, each after it was taken out of the list."""
    parts.reverse()
    while parts:
        yield parts.pop()


def _number(documents):
    """Return the `WordText` of documents that fit into memory."""
    from keras_nc.coding.kernels.words import mark_words
    from keras_nc.coding.kernels.words import number_words

    text, offsets = join_documents(documents)
    marks = mark_words(text, offsets)
    sequence, starts, lengths, counts = number_words(
        text, offsets, marks, LONGEST_WORD
    )
    sequence += 1
    places = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    letters = text[places + np.arange(places.size)]
    head = text[:HEAD_BYTES].tobytes()
    return WordText(letters, lengths, counts, sequence, head)


def _grown(array, least):
    """Return an array of at least `least` elements; grow it by doubling."""
    size = array.size
    while size < least:
        size *= 2
    if size == array.size:
        return array
    grown = np.zeros(size, array.dtype)
    grown[: array.size] = array
    return grown
