"""A corpus in memory: documents as bytes, each with a name."""

import dataclasses
import functools
import hashlib


@dataclasses.dataclass(frozen=True, repr=False)
class Corpus:
    """Named documents; iterates, indexes and measures like a list of bytes.

    Args:
        documents: tuple of bytes, one per document.
        names: tuple of str, the name of each document.

    Raises:
        ValueError: if the numbers of documents and names differ.

    Example:
    >>> from keras_nc.data import Corpus
    >>> corpus = Corpus(documents=(b"one", b"three"), names=("a", "b"))
    >>> corpus.describe()
    '2 documents, 8 bytes, content hash 743662b6397dfc6a'
    >>> list(corpus)
    [b'one', b'three']
    """

    documents: tuple[bytes, ...]
    names: tuple[str, ...]

    def __post_init__(self):
        if len(self.documents) != len(self.names):
            raise ValueError(
                "A corpus has one name per document. Received: "
                f"{len(self.documents)} documents and {len(self.names)} names."
            )

    def __len__(self):
        return len(self.documents)

    def __iter__(self):
        return iter(self.documents)

    def __getitem__(self, index):
        return self.documents[index]

    def __repr__(self):
        return f"<Corpus: {self.describe()}>"

    @functools.cached_property
    def num_bytes(self):
        """Size of all documents, in bytes."""
        return sum(map(len, self.documents))

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of all names and documents in their order, 64 hex digits."""
        digest = hashlib.sha256()
        for name, document in zip(self.names, self.documents, strict=True):
            # The length before each part keeps the parts apart.
            for part in (name.encode(), document):
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
        return digest.hexdigest()

    def describe(self):
        """Return one line: documents, bytes, the hash's first 16 digits."""
        return (
            f"{len(self):,} documents, {self.num_bytes:,} bytes, "
            f"content hash {self.content_hash[:16]}"
        )
