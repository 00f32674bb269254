"""Whole documents as streams of an arithmetic coder, driven by a model.

The model's context restarts every `context_bytes` bytes of a document. Tables
of static models and of counts are looked up in Numba. Any other model is asked
once for each byte position of all documents of a batch.
"""

import numpy as np

from keras_nc.coding import ArithmeticDecoder
from keras_nc.coding import ArithmeticEncoder
from keras_nc.coding import decode_static
from keras_nc.coding import encode_static
from keras_nc.coding._arithmetic_checks import as_codes
from keras_nc.coding._arithmetic_checks import as_lengths
from keras_nc.coding._arithmetic_checks import capacities
from keras_nc.coding._arithmetic_checks import check_lengths
from keras_nc.coding._arithmetic_checks import join_streams
from keras_nc.coding._arithmetic_checks import refuse
from keras_nc.coding._arithmetic_checks import split_text
from keras_nc.coding.checks import as_integer
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import check_precision
from keras_nc.coding.shares import cumulate
from keras_nc.coding.shares import cumulative_frequencies
from keras_nc.coding.shares import stepper_frequencies
from keras_nc.entropy_models.ngram import NGramModel
from keras_nc.entropy_models.stepping import stepper_for
from keras_nc.entropy_models.unigram import UnigramModel

#: Documents side by side. It changes the speed and not the codes.
BATCH_SIZE = 32


def encode_streams(model, documents, precision=16, context_bytes=1024):
    """Code documents, each as one stream.

    Args:
        model: An `EntropyModel`.
        documents: `str` or bytes, or a list of them.
        precision: int. Bits of a probability, 14 to 24.
        context_bytes: int. Bytes after which the model's context restarts.

    Returns:
        All codes joined, uint8, and offsets, int64 of shape (documents + 1,).

    Example:
    >>> model = UnigramModel.from_text(b"to be or not to be")
    >>> codes, offsets = encode_streams(model, [b"to be", b""])
    >>> offsets.tolist()
    [0, 4, 4]
    >>> decode_streams(model, codes, offsets, [5, 0])
    [b'to be', b'']
    """
    precision, context_bytes = _settings(precision, context_bytes)
    documents = as_documents(documents)
    if isinstance(model, UnigramModel):
        return encode_static(documents, _static_table(model, precision))
    if isinstance(model, NGramModel):
        return _encode_counts(model, documents, precision, context_bytes)
    return _encode_steps(model, documents, precision, context_bytes)


def decode_streams(
    model, codes, offsets, lengths, precision=16, context_bytes=1024
):
    """Undo `encode_streams`.

    Args:
        model: The same model.
        codes: All codes joined, uint8.
        offsets: Where they begin and end, int64 of shape (documents + 1,).
        lengths: Bytes of each document, integers of shape (documents,).
        precision: int. As for encoding.
        context_bytes: int. As for encoding.

    Returns:
        The documents, a list of bytes.

    Raises:
        ValueError: If a code is damaged.
    """
    precision, context_bytes = _settings(precision, context_bytes)
    if isinstance(model, UnigramModel):
        table = _static_table(model, precision)
        return decode_static(codes, offsets, lengths, table)
    lengths = as_lengths(lengths)
    codes, offsets = as_codes(codes, offsets, lengths.size)
    check_lengths(lengths, offsets, precision)
    decode = _decode_counts if isinstance(model, NGramModel) else _decode_steps
    return decode(model, codes, offsets, lengths, precision, context_bytes)


def check_context(context_bytes):
    """Raise a ValueError unless a context of that many bytes can be."""
    as_integer("context_bytes", context_bytes)


def _settings(precision, context_bytes):
    """Both as Python integers, checked."""
    check_precision(precision)
    return int(precision), as_integer("context_bytes", context_bytes)


def _static_table(model, precision):
    return cumulative_frequencies(model.probabilities([b""]), precision)[0]


def _tries(model):
    return model._counts.arrays, model._start_counts.arrays


def _encode_counts(model, documents, precision, context_bytes):
    from keras_nc.entropy_models import _stream_kernels

    text, bounds = join_documents(documents)
    firsts = capacities(np.diff(bounds), precision)
    out = np.empty(firsts[-1], np.uint8)
    ends = np.empty(len(documents), np.int64)
    _stream_kernels.encode(
        _tries(model),
        text,
        bounds,
        context_bytes,
        precision,
        out,
        firsts,
        ends,
    )
    return join_streams(out, firsts, ends)


def _decode_counts(model, codes, offsets, lengths, precision, context_bytes):
    from keras_nc.entropy_models import _stream_kernels

    bounds = np.concatenate([[0], np.cumsum(lengths)])
    text = np.empty(bounds[-1], np.uint8)
    document, fault = _stream_kernels.decode(
        _tries(model), codes, offsets, context_bytes, precision, text, bounds
    )
    if fault:
        refuse(document, fault)
    return split_text(text, bounds)


def _batches(lengths):
    """Documents that are coded side by side: of similar lengths."""
    order = np.argsort(-lengths, kind="stable")
    return [order[i : i + BATCH_SIZE] for i in range(0, order.size, BATCH_SIZE)]


class _Tables:
    """The table of the next byte of each document, step by step."""

    def __init__(self, model, lengths, precision, context_bytes):
        longest = max(1, min(int(lengths.max()), context_bytes))
        self._stepper = stepper_for(model, lengths.size, longest)
        self._lengths = lengths
        self._precision = precision
        self._context_bytes = context_bytes
        self._position = 0

    def next(self):
        return cumulate(stepper_frequencies(self._stepper), self._precision)

    def feed(self, symbols):
        self._position += 1
        if self._position % self._context_bytes == 0:
            self._stepper.restart(np.ones(self._lengths.size, bool))
        else:
            active = self._position < self._lengths
            self._stepper.step(symbols, active)


def _encode_steps(model, documents, precision, context_bytes):
    text, bounds = join_documents(documents)
    lengths = np.diff(bounds)
    streams = [None] * len(documents)
    for batch in _batches(lengths):
        encoder = ArithmeticEncoder(lengths[batch], precision)
        tables = _Tables(model, lengths[batch], precision, context_bytes)
        for t in range(lengths[batch].max()):
            # Beyond their end, documents show any byte; nobody looks.
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


def _decode_steps(model, codes, offsets, lengths, precision, context_bytes):
    texts = [None] * lengths.size
    for batch in _batches(lengths):
        parts = [codes[offsets[d] : offsets[d + 1]] for d in batch]
        ends = np.cumsum([0, *map(len, parts)])
        decoder = ArithmeticDecoder(
            np.concatenate(parts), ends, lengths[batch], precision
        )
        tables = _Tables(model, lengths[batch], precision, context_bytes)
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
