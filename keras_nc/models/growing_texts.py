"""Decode texts while they are generated, and find stop strings."""

import codecs

import numpy as np

from keras_nc.coding.inputs import as_documents


class GrowingTexts:
    """The bytes of rows of ids that grow, up to stop strings.

    If every window has bytes of its own, each window is decoded once. If a code
    stands for a whole document, it is decoded again whenever it grows.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`.
        documents: A list of bytes, the prompts.
        stops: A list of bytes, the stop strings.
    """

    def __init__(self, tokenizer, documents, stops):
        self._tokenizer = tokenizer
        self._starts = [len(document) for document in documents]
        self._stops = stops
        self._texts = [b""] * len(documents)
        self._decoded = [0] * len(documents)
        self._ends = [None] * len(documents)
        layout = tokenizer.layout
        lengths = (tokenizer.token_lengths, layout.code_lengths)
        self._per_window = None
        if any(length is not None for length in lengths):
            self._per_window = layout.tokens_per_window

    def update(self, token_ids, mask):
        """Decode the new ids.

        Args:
            token_ids: An int array of shape `(B, S)`.
            mask: A bool array of shape `(B, S)`: where there are ids.
        """
        special = self._tokenizer.special_token_ids
        known = mask & ~np.isin(token_ids, special)
        rows = [row[at] for row, at in zip(token_ids, known, strict=True)]
        texts = self._decode(rows)
        overlap = max(map(len, self._stops), default=1) - 1
        for i, text in enumerate(texts):
            if self._ends[i] is None:
                seen = max(self._starts[i], len(self._texts[i]) - overlap)
                self._ends[i] = end_of_stop(text, self._stops, seen)
        self._texts = texts

    def _decode(self, rows):
        """Return the bytes of all rows."""
        if self._per_window is None:
            return self._tokenizer.decode_generated(rows)
        complete = [len(row) - len(row) % self._per_window for row in rows]
        new = self._tokenizer.decode_generated(
            [
                row[start:end]
                for row, start, end in zip(
                    rows, self._decoded, complete, strict=True
                )
            ]
        )
        self._decoded = complete
        return [a + b for a, b in zip(self._texts, new, strict=True)]

    def continuations(self):
        """Return the bytes after the prompts, up to a stop string's end."""
        return [
            text[start:end]
            for text, start, end in zip(
                self._texts, self._starts, self._ends, strict=True
            )
        ]

    def stopped(self):
        """Return which rows hold a stop string, a bool array `(B,)`."""
        return np.array([end is not None for end in self._ends])


def end_of_stop(text, stops, start=0):
    """Find the end of the stop string that is complete first.

    Args:
        text: bytes.
        stops: A list of bytes.
        start: int. Where the search begins.

    Returns:
        int, or `None` if the text holds none.

    Example:
    >>> end_of_stop(b"one, two. three.", [b".", b"e."])
    9
    """
    found = ((text.find(stop, start), len(stop)) for stop in stops)
    return min((at + n for at, n in found if at >= 0), default=None)


def to_stop_strings(stop):
    """Check stop strings.

    Args:
        stop: `None`, a `str` or `bytes`, or several of them.

    Returns:
        A list of bytes, empty for `None`.

    Raises:
        ValueError: If the list is empty, or one of the strings is.
    """
    if stop is None:
        return []
    stops = as_documents(stop)
    if not stops or b"" in stops:
        raise ValueError(
            "`stop` must be `None`, a text or a list of texts, of at least one "
            f"byte each. Received: stop={stop!r}. Pass `None` to stop at the "
            "end id only."
        )
    return stops


def new_parts(growing, as_str):
    """Yield the new part of each growing text.

    Args:
        growing: An iterable of lists of bytes.
        as_str: A list of bool: which texts are yielded as `str`.
    """
    decoders = [
        codecs.getincrementaldecoder("utf-8")("replace") if is_str else None
        for is_str in as_str
    ]

    def decode(i, part, final=False):
        return decoders[i].decode(part, final) if decoders[i] else part

    lengths = [0] * len(as_str)
    for texts in growing:
        parts = []
        for i, text in enumerate(texts):
            parts.append(decode(i, text[lengths[i] :]))
            lengths[i] = len(text)
        if any(parts):
            yield parts
    last = [decode(i, b"", final=True) for i in range(len(as_str))]
    if any(last):
        yield last
