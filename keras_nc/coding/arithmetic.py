"""Arithmetic coding of whole documents, in integers.

An interval of 64 bits moves over the bytes of the code. It has a `low` and a
`span`, which start as 0 and 2^64 - 1. All arithmetic is modulo 2^64. In a table
of `P` bits, a byte has the parts `[below, above)` of 2^P. Coding it narrows the
interval:

    step = span >> P;  low += step * below;  span = step * (above - below)

An overflow of `low` is a carry into the bytes before it. While `span` is below
2^56, the first byte of `low` becomes the next byte of the code, and both move
up by 8 bits. After the last byte of text, one more byte ends the code: the
first byte of `low`, rounded up. Rounding may carry.

The decoder knows the number of bytes. It finds each byte by the part in which
the code lies, and reads zeros after the end of the code. The span never has
fewer than 56 bits, so rounding costs less than 2^-30 bits per byte. The end
costs at most one byte. The decoder refuses a code that no encoder writes.
"""

import itertools

import numpy as np

from keras_nc.coding.inputs import as_byte_array
from keras_nc.coding.inputs import join_documents
from keras_nc.coding.shares import FREQUENCY_BITS
from keras_nc.coding.shares import MIN_PRECISION
from keras_nc.coding.shares import check_precision


class ArithmeticEncoder:
    """Encode several documents at once, byte by byte.

    This is for models in the loop. Every call takes the next byte of each
    document and its table. For one table that never changes, use
    `encode_static`.

    Args:
        lengths: bytes of each document, integers of shape (B,).
        precision: bits of the tables' sums, 14 to 24.

    Example:
    >>> from keras_nc.coding.shares import cumulative_frequencies
    >>> uniform = cumulative_frequencies(np.full((2, 256), 1 / 256), 16)
    >>> encoder = ArithmeticEncoder([2, 2])
    >>> for column in np.array([[72, 105], [111, 107]], np.uint8).T:
    ...     encoder.encode(uniform, column)
    >>> codes, offsets = encoder.get_compressed()
    >>> decoder = ArithmeticDecoder(codes, offsets, [2, 2])
    >>> rows = [decoder.decode(uniform) for _ in range(2)]
    >>> decoder.close()
    >>> [bytes(document) for document in np.transpose(rows)]
    [b'Hi', b'ok']
    """

    def __init__(self, lengths, precision=16):
        self._precision = check_precision(precision)
        self._left = as_lengths(lengths)
        self._firsts = capacities(self._left, self._precision)
        self._codes = np.empty(self._firsts[-1], np.uint8)
        B = self._left.size
        self._has_text = self._left > 0
        self._lows = np.zeros(B, np.uint64)
        self._spans = np.full(B, (1 << 64) - 1, np.uint64)
        self._ats = self._firsts[:-1].copy()

    def encode(self, tables, symbols):
        """Code the next byte of every document that has one left.

        Args:
            tables: of `cumulative_frequencies`, uint32 of shape (B, 257).
            symbols: the bytes, uint8 of shape (B,); those of documents
                without any left are ignored.
        """
        from keras_nc.coding.kernels import range_coder

        tables = check_tables(tables, self._left.size, self._precision)
        active = self._left > 0
        wrong = range_coder.encode_step(
            self._lows,
            self._spans,
            self._ats,
            tables,
            np.ascontiguousarray(symbols, np.uint8),
            active,
            self._precision,
            self._codes,
        )
        if wrong >= 0:
            raise ValueError(
                "Every byte must have a part of the table. Received: no part "
                f"for byte {symbols[wrong]} of document {wrong}. Make tables "
                "with `cumulative_frequencies`."
            )
        self._left[active] -= 1

    def get_compressed(self):
        """Return the codes once all bytes are coded.

        Returns:
            All codes joined, uint8, and offsets, int64 of shape (B + 1,).
        """
        from keras_nc.coding.kernels import range_coder

        if self._left.any():
            raise ValueError(
                "A code is complete when every byte is coded. Received: "
                f"{self._left.max()} bytes left. Call `encode` for them."
            )
        range_coder.end_streams(
            self._lows, self._ats, self._has_text, self._codes
        )
        self._has_text[:] = False  # a second call changes nothing
        return join_streams(self._codes, self._firsts, self._ats)


class ArithmeticDecoder:
    """Decode several documents at once, byte by byte.

    Args:
        codes: all codes joined, uint8.
        offsets: where they begin and end, int64 of shape (B + 1,).
        lengths: bytes of each document, integers of shape (B,).
        precision: bits of the tables' sums, 14 to 24.

    Raises:
        ValueError: here, in `decode` or in `close`, if a code is damaged.
            Damage may also give other bytes: a checksum tells.
    """

    def __init__(self, codes, offsets, lengths, precision=16):
        from keras_nc.coding.kernels import range_coder

        self._precision = check_precision(precision)
        self._left = as_lengths(lengths)
        self._codes, offsets = as_codes(codes, offsets, self._left.size)
        self._lengths = self._left.copy()
        check_lengths(self._lengths, offsets, self._precision)
        self._ends = offsets[1:]
        self._ats = offsets[:-1].copy()
        self._spans = np.full(self._left.size, (1 << 64) - 1, np.uint64)
        self._distances = np.zeros(self._left.size, np.uint64)
        range_coder.begin_states(self._codes, offsets, self._distances)

    @property
    def active(self):
        """Documents that have bytes left, bool of shape (B,)."""
        return self._left > 0

    def decode(self, tables):
        """Decode the next byte of every document that has one left.

        Args:
            tables: of `cumulative_frequencies`, uint32 of shape (B, 257).

        Returns:
            The bytes, uint8 of shape (B,), 0 where none was left.
        """
        from keras_nc.coding.kernels import range_coder

        tables = check_tables(tables, self._left.size, self._precision)
        symbols = np.zeros(self._left.size, np.uint8)
        active = self.active
        document, fault = range_coder.decode_step(
            self._distances,
            self._spans,
            self._ats,
            tables,
            symbols,
            active,
            self._precision,
            self._codes,
            self._ends,
        )
        if fault:
            refuse(document, fault)
        self._left[active] -= 1
        return symbols

    def close(self):
        """Check that every code ends where its last byte does."""
        from keras_nc.coding.kernels import range_coder

        for d in range(self._left.size):
            at, end = int(self._ats[d]), int(self._ends[d])
            if self._left[d]:
                raise ValueError(
                    "A decoder may be closed when all bytes are decoded. "
                    f"Received: {self._left[d]} bytes left of document {d}"
                )
            fault = range_coder.fault_at_end(
                self._distances[d], at, end, self._lengths[d]
            )
            if fault:
                refuse(d, fault)


def encode_static(documents, table):
    """Code documents with one table for all their bytes.

    Args:
        documents: `str` or bytes, or a list of them.
        table: a row of `cumulative_frequencies`, uint32 of shape (257,).

    Returns:
        All codes joined, uint8, and offsets, int64 of shape (documents + 1,).

    Example:
    >>> from keras_nc.coding.shares import cumulative_frequencies
    >>> table = cumulative_frequencies(np.full((1, 256), 1 / 256), 16)[0]
    >>> codes, offsets = encode_static([b"to be", b""], table)
    >>> offsets.tolist()
    [0, 6, 6]
    >>> decode_static(codes, offsets, [5, 0], table)
    [b'to be', b'']
    """
    from keras_nc.coding.kernels import range_coder

    table, precision = as_table(table)
    text, offsets = join_documents(documents)
    firsts = capacities(np.diff(offsets), precision)
    codes = np.empty(firsts[-1], np.uint8)
    ends = np.empty(len(firsts) - 1, np.int64)
    range_coder.encode_static(
        text, offsets, table, precision, codes, firsts, ends
    )
    return join_streams(codes, firsts, ends)


def decode_static(codes, offsets, lengths, table):
    """Undo `encode_static`.

    Args:
        codes: all codes joined, uint8.
        offsets: where they begin and end, int64 of shape (documents + 1,).
        lengths: bytes of each document, integers of shape (documents,).
        table: the table that they were coded with.

    Returns:
        The documents, a list of bytes.

    Raises:
        ValueError: if a code is damaged.
    """
    from keras_nc.coding.kernels import range_coder

    table, precision = as_table(table)
    lengths = as_lengths(lengths)
    codes, offsets = as_codes(codes, offsets, lengths.size)
    check_lengths(lengths, offsets, precision)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    text = np.empty(bounds[-1], np.uint8)
    document, fault = range_coder.decode_static(
        codes, offsets, table, precision, text, bounds
    )
    if fault:
        refuse(document, fault)
    return split_text(text, bounds)


def split_text(text, bounds):
    """Cut an array of uint8 into a list of bytes."""
    data = text.tobytes()
    return [data[a:b] for a, b in itertools.pairwise(bounds.tolist())]


def capacities(lengths, precision):
    """Return where the code of each document begins in a large enough buffer.

    Args:
        lengths: bytes of each document, int64 of shape (B,).
        precision: bits of the tables' sums.

    Returns:
        int64 of shape (B + 1,); the last is the size of the buffer.
    """
    # A byte costs `precision` bits at most, and rounding next to nothing.
    sizes = lengths * precision // 8 + lengths // (1 << 20) + 10
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def check_lengths(lengths, offsets, precision):
    """Raise a ValueError for a length that is too large for its code."""
    # The cheapest byte is one that leaves a single part to each other byte.
    cheapest = -np.log2(1 - 255 / (1 << precision))
    most = np.diff(offsets) * (8 / cheapest)
    bad = lengths > most
    if bad.any():
        d = int(np.argmax(bad))
        raise ValueError(
            f"A code of {int(offsets[d + 1] - offsets[d])} bytes stands for "
            f"{int(most[d])} bytes at most. Received: a length of "
            f"{int(lengths[d])} for document {d}. The code is damaged or cut."
        )


def refuse(document, fault):
    """Raise the ValueError for a fault that a kernel found."""
    from keras_nc.coding.kernels import range_coder

    what = {
        range_coder.NO_SYMBOL: "one that lies in the part of no byte",
        range_coder.TOO_SHORT: "one that is too short for its bytes",
        range_coder.TOO_LONG: "one that is too long for its bytes",
        range_coder.NOT_SHORTEST: "one with another last byte",
    }[fault]
    raise ValueError(
        "A code must be one that this coder writes, with the same model. "
        f"Received: {what}, for document {document}. The code is damaged or "
        "cut, or the model is another one."
    )


def check_tables(tables, B, precision):
    """Return tables as the kernels take them, or raise a ValueError."""
    tables = np.ascontiguousarray(tables)
    if (
        tables.shape != (B, 257)
        or tables.dtype != np.uint32
        or (tables[:, -1] != 1 << precision).any()
    ):
        raise ValueError(
            f"`tables` must be uint32 of shape ({B}, 257), and end with "
            f"2^{precision}. Received: dtype={tables.dtype}, "
            f"shape={tables.shape}. Make them with `cumulative_frequencies`."
        )
    return tables


def as_table(table):
    """Check a table for all bytes; return it and its precision."""
    table = np.ascontiguousarray(table)
    precision = int(table[-1]).bit_length() - 1 if table.size else 0
    steps = np.diff(table.astype(np.int64))
    if (
        table.shape != (257,)
        or table.dtype != np.uint32
        or not MIN_PRECISION <= precision <= FREQUENCY_BITS
        or table[0] != 0
        or table[-1] != 1 << precision
        or steps.min() < 1
    ):
        raise ValueError(
            "`table` must be uint32 of shape (257,), and rise from 0 to a "
            f"power of two from 2^{MIN_PRECISION} to 2^{FREQUENCY_BITS}. "
            f"Received: dtype={table.dtype}, shape={table.shape}. Make it "
            "with `cumulative_frequencies`."
        )
    return table, precision


def as_lengths(lengths):
    """Check lengths of documents; return them as int64."""
    array = np.asarray(lengths)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.min() < 0:
        raise ValueError(
            "`lengths` must be non-negative integers along one axis. "
            f"Received: dtype={array.dtype}, shape={array.shape}"
        )
    if array.max() > 1 << 48:
        raise ValueError(
            "A document must have fewer than 2^48 bytes. Received: a length "
            f"of {array.max()}"
        )
    return array.astype(np.int64)


def as_codes(codes, offsets, B):
    """Check joined codes and their offsets; return both."""
    codes = as_byte_array(codes)
    offsets = np.asarray(offsets, np.int64)
    if (
        offsets.shape != (B + 1,)
        or offsets[0] != 0
        or offsets[-1] != codes.size
        or (np.diff(offsets) < 0).any()
    ):
        raise ValueError(
            f"`offsets` must rise from 0 to the {codes.size} bytes of the "
            f"codes, one more than the {B} lengths. Received: "
            f"shape={offsets.shape}. Pass what the encoder gave."
        )
    return codes, offsets


def join_streams(codes, firsts, ends):
    """Join the codes of a buffer; return them and their offsets."""
    rows = [codes[a:b] for a, b in zip(firsts, ends, strict=False)]
    offsets = np.concatenate([[0], np.cumsum(ends - firsts[:-1])])
    joined = np.concatenate(rows) if rows else np.zeros(0, np.uint8)
    return joined, offsets.astype(np.int64)
