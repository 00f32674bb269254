"""Code whole documents as streams, with the model in the loop.

A stream is the arithmetic code of one whole document; `arithmetic` states how
bytes become code. The model's context restarts every `context_bytes` bytes of
a document. Steppers of unigram and n-gram models code whole documents in Numba.
Any other stepper is asked once per byte position of a batch of documents.
"""

import threading

import numpy as np

from keras_nc.coding.arithmetic import ArithmeticDecoder
from keras_nc.coding.arithmetic import ArithmeticEncoder
from keras_nc.coding.arithmetic import as_codes
from keras_nc.coding.arithmetic import as_lengths
from keras_nc.coding.arithmetic import capacities
from keras_nc.coding.arithmetic import check_lengths
from keras_nc.coding.arithmetic import join_streams
from keras_nc.coding.arithmetic import refuse
from keras_nc.coding.arithmetic import split_text
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import check_exact
from keras_nc.coding.shares import check_precision
from keras_nc.coding.shares import check_stepper
from keras_nc.coding.shares import cumulate
from keras_nc.coding.shares import stepper_frequencies


class StreamCoder:
    """Turn documents into streams and back.

    Args:
        stepper: the source of probabilities, from
            `entropy_models.stepper_for(model, batch_size, context_bytes)`. The
            context restarts after `context_bytes` bytes. `batch_size` documents
            are coded side by side; it changes no code.

            A stepper may have methods that code all documents at once:
            `encode_streams(text, bounds, precision, out, firsts, ends)` writes
            the code of document i, `text[bounds[i]:bounds[i + 1]]`, to `out`
            from `firsts[i]` on, and its end to `ends[i]`;
            `decode_streams(codes, offsets, precision, text, bounds)` writes
            the documents to `text` and returns the number of a damaged one and
            its fault, as `kernels.range_coder` has them.
        precision: bits of a probability, 14 to 24.

    Raises:
        ValueError: if the precision is out of range.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel, stepper_for
    >>> model = UnigramModel.from_text(b"to be or not to be")
    >>> coder = StreamCoder(stepper_for(model, 1, context_bytes=1024))
    >>> codes, offsets = coder.encode_batch([b"to be", b""])
    >>> offsets.tolist()
    [0, 4, 4]
    >>> coder.decode_batch(codes, offsets, [5, 0])
    [b'to be', b'']
    """

    def __init__(self, stepper, precision=16):
        check_stepper(stepper)
        self.precision = check_precision(precision)
        self._stepper = stepper
        self._lock = threading.Lock()

    def encode_batch(self, documents):
        """Encode each document as one stream.

        Args:
            documents: `str` or bytes, or a list of them.

        Returns:
            All codes joined, uint8, and offsets, int64 of shape
            (documents + 1,).
        """
        text, bounds = join_documents(documents)
        if not hasattr(self._stepper, "encode_streams"):
            with self._lock:
                return self._encode_steps(text, bounds)
        firsts = capacities(np.diff(bounds), self.precision)
        out = np.empty(firsts[-1], np.uint8)
        ends = np.empty(bounds.size - 1, np.int64)
        self._stepper.encode_streams(
            text, bounds, self.precision, out, firsts, ends
        )
        return join_streams(out, firsts, ends)

    def decode_batch(self, codes, offsets, lengths):
        """Undo `encode_batch`.

        Args:
            codes: all codes joined, uint8.
            offsets: where they begin and end, int64 of shape (documents + 1,).
            lengths: bytes of each document, integers of shape (documents,).

        Returns:
            The documents, a list of bytes.

        Raises:
            ValueError: if a code is damaged.
        """
        check_exact(self._stepper, "Streams that are decoded")
        lengths = as_lengths(lengths)
        codes, offsets = as_codes(codes, offsets, lengths.size)
        check_lengths(lengths, offsets, self.precision)
        if not hasattr(self._stepper, "decode_streams"):
            with self._lock:
                return self._decode_steps(codes, offsets, lengths)
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        text = np.empty(bounds[-1], np.uint8)
        document, fault = self._stepper.decode_streams(
            codes, offsets, self.precision, text, bounds
        )
        if fault:
            refuse(document, fault)
        return split_text(text, bounds)

    def _encode_steps(self, text, bounds):
        lengths = np.diff(bounds)
        streams = [None] * lengths.size
        for batch in self._batches(lengths):
            encoder = ArithmeticEncoder(lengths[batch], self.precision)
            tables = _Tables(self._stepper, lengths[batch], self.precision)
            for t in range(lengths[batch].max()):
                # Bytes beyond the end of a document are ignored.
                at = np.minimum(bounds[batch] + t, text.size - 1)
                symbols = text[at]
                encoder.encode(tables.next(), symbols)
                tables.feed(symbols)
            codes, ends = encoder.get_compressed()
            for d, a, b in zip(batch, ends, ends[1:], strict=False):
                streams[d] = codes[a:b]
        offsets = np.cumsum([0, *map(len, streams)])
        streams.append(np.zeros(0, np.uint8))
        return np.concatenate(streams), offsets.astype(np.int64)

    def _decode_steps(self, codes, offsets, lengths):
        texts = [None] * lengths.size
        for batch in self._batches(lengths):
            parts = [codes[offsets[d] : offsets[d + 1]] for d in batch]
            ends = np.cumsum([0, *map(len, parts)])
            decoder = ArithmeticDecoder(
                np.concatenate(parts), ends, lengths[batch], self.precision
            )
            tables = _Tables(self._stepper, lengths[batch], self.precision)
            columns = []
            for _ in range(lengths[batch].max()):
                symbols = decoder.decode(tables.next())
                tables.feed(symbols)
                columns.append(symbols)
            decoder.close()
            rows = np.array(columns, np.uint8).reshape(-1, batch.size).T
            for d, row in zip(batch, rows, strict=True):
                texts[d] = row[: lengths[d]].tobytes()
        return texts

    def _batches(self, lengths):
        """Return batches of documents of similar lengths."""
        order = np.argsort(-lengths, kind="stable")
        B = self._stepper.batch_size
        return [order[i : i + B] for i in range(0, order.size, B)]


class _Tables:
    """Tables of the next byte of each document, step by step."""

    def __init__(self, stepper, lengths, precision):
        self._stepper = stepper
        self._precision = precision
        self._position = 0
        # The last batch may have fewer documents than the stepper has rows.
        self._rows = slice(lengths.size)
        self._lengths = np.zeros(stepper.batch_size, np.int64)
        self._lengths[self._rows] = lengths
        stepper.restart(np.ones(stepper.batch_size, bool))

    def next(self):
        rows = stepper_frequencies(self._stepper, self._rows)
        return cumulate(rows, self._precision)

    def feed(self, symbols):
        self._position += 1
        active = self._position < self._lengths
        if self._position % self._stepper.context_bytes == 0:
            self._stepper.restart(active)
        else:
            next_bytes = np.zeros(active.size, np.uint8)
            next_bytes[self._rows] = symbols
            self._stepper.step(next_bytes, active)
