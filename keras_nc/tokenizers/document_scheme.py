"""Schemes that compress a document as a whole."""

import abc
import itertools

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Prompt
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout


class DocumentScheme(Scheme):
    """Compress each document as a whole; a token is N bits of the result.

    An id is 3 plus the next N bits, most significant first, with N = 8 or 16.
    With N = 16, a zero byte may fill the last token. An empty document has no
    ids. Ids stand for no bytes of their own, so a document can only be decoded
    from all of its ids. If special ids are skipped, they also separate
    documents.

    Args:
        token_bits: int. Bits of a token, `N`: 8 or 16.
    """

    def __init__(self, token_bits):
        if token_bits not in (8, 16):
            raise ValueError(
                "`token_bits` must be 8 or 16: a token is one byte of the "
                f"compressed text, or two. Received: token_bits={token_bits!r}"
            )
        self.token_bits = int(token_bits)

    @abc.abstractmethod
    def compress(self, documents):
        """Return the compressed form of each document, a list of bytes."""

    @abc.abstractmethod
    def decompress(self, streams):
        """Return documents from compressed forms; a zero byte may be added."""

    @property
    def vocabulary_size(self):
        """3 + 2^N."""
        return NUM_SPECIAL + (1 << self.token_bits)

    @property
    def layout(self):
        """The `TokenLayout`: any N bits may follow any others."""
        return TokenLayout.one_token(
            np.arange(self.vocabulary_size) >= NUM_SPECIAL
        )

    def encode_batch(self, documents):
        """Compress documents, and cut the result into tokens."""
        documents = [bytes(document) for document in documents]
        streams = iter(self.compress([text for text in documents if text]))
        rows = [next(streams) if text else b"" for text in documents]
        size = self.token_bits // 8
        rows = [row + bytes(-len(row) % size) for row in rows]
        pieces = np.frombuffer(b"".join(rows), f">u{size}")
        offsets = np.cumsum([0, *map(len, rows)], dtype="int64") // size
        return pieces.astype("int32") + NUM_SPECIAL, offsets

    def decode(self, ids, skip_special=False):
        """Join tokens, and decompress them."""
        ids = np.asarray(ids)
        special = (ids >= 0) & (ids < NUM_SPECIAL)
        wrong = (ids < 0) | (ids >= self.vocabulary_size)
        if not skip_special:
            wrong |= special
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"Ids must be from {NUM_SPECIAL} to {self.vocabulary_size - 1}."
                f" Received: id {int(ids[at])} at position {at}. Pass "
                "`skip_special=True` to drop pad, start and end ids."
            )
        bounds = [-1, *np.flatnonzero(special).tolist(), len(ids)]
        runs = [ids[a + 1 : b] for a, b in itertools.pairwise(bounds)]
        streams = [
            (run - NUM_SPECIAL).astype(f">u{self.token_bits // 8}").tobytes()
            for run in runs
            if run.size
        ]
        return b"".join(self.decompress(streams))

    def token_bytes(self, token_id):
        """Raise an error: a token stands for no bytes of its own."""
        raise ValueError(
            "A token of a compressed text stands for no bytes of its own. "
            f"Received: id {token_id}. Decode whole documents."
        )

    def split_prompt(self, prompt):
        """Commit nothing of an empty prompt; raise an error for any other."""
        if prompt:
            raise ValueError(
                "The first bits of a compressed text depend on all of it, by "
                "its length or by a table of its bytes, so prompts cannot be "
                f"continued. Received: a prompt of {len(prompt)} bytes for the "
                f"scheme {self.name!r}. Use equal-info windows."
            )
        return Prompt(np.zeros(0, "int32"))


def refuse_ids(what):
    """Raise the ValueError for ids that are not one whole document."""
    raise ValueError(
        "Ids must be those of one whole document, in order. Received: "
        f"{what}. They are damaged or cut; decode what was encoded, with the "
        "tokenizer that encoded it."
    )
