"""Split the text of a run into training text and held-out text."""

import dataclasses
import hashlib

from keras_nc.data import cut_position

#: One document in this many is held out, by the hash of its bytes.
_HELD_OUT_SHARE = 32
#: A document is cut only if this many bytes of it can be held out, or a
#: quarter of all text.
_HELD_OUT_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Split:
    """The choice of held-out documents.

    Args:
        document: str, SHA-256 of the one document that is held out, 64 hex
            digits. `None`: one in 32 is, by the hash of its bytes.
        position: int, where that document is cut; the part before is for
            training.
        size: int, the bytes of that document that are held out.
    """

    document: str | None = None
    position: int = 0
    size: int = 0

    def part(self, document, held_out):
        """Return the held-out part of a document, or the part for training.

        Args:
            document: bytes.
            held_out: bool.

        Returns:
            bytes, maybe empty.
        """
        digest = hashlib.sha256(document)
        if self.document is None:
            is_held_out = digest.digest()[0] % _HELD_OUT_SHARE == 0
            return document if is_held_out == held_out else b""
        if digest.hexdigest() != self.document:
            return b"" if held_out else document
        start, stop = (0, self.position)
        if held_out:
            start, stop = (self.position, len(document))
        return document[start:stop]


def choose_split(documents):
    """Choose the text to hold out, so that every data set has some.

    Hold out one document in 32, by the hash of its bytes. If this is no text,
    or more than half, hold out the end of the longest document instead: 1/32 of
    all text or some kilobytes, or the whole document if it is short. Cut copies
    of it at the same place, so that no held-out text is in the training text.

    Args:
        documents: iterable of bytes.

    Returns:
        A `Split`.

    Raises:
        ValueError: If the text is too short to be cut in two.
    """
    split = Split()
    total = by_hash = copies = 0
    longest = b""
    for document in documents:
        total += len(document)
        by_hash += len(split.part(document, held_out=True))
        if len(document) > len(longest):
            longest, copies = document, 0
        copies += document == longest
    if 0 < by_hash <= total / 2:
        return split
    size = _held_out_bytes(total)
    position = 0
    if len(longest) >= 2 * size or copies * len(longest) > total / 2:
        size = min(size, _held_out_bytes(len(longest)))
        position = cut_position(longest, len(longest) - size)
        if position == 0:
            raise ValueError(
                "The text must be long enough to train on a part of it and to "
                f"hold another one out. Received: {longest!r} in --data. Give "
                "more text to --data."
            )
    digest = hashlib.sha256(longest).hexdigest()
    return Split(digest, position, len(longest) - position)


def _held_out_bytes(total):
    return max(total // _HELD_OUT_SHARE, min(total // 4, _HELD_OUT_BYTES), 1)
