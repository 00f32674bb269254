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

import numpy as np

from keras_nc.coding._arithmetic_checks import as_codes
from keras_nc.coding._arithmetic_checks import as_lengths
from keras_nc.coding._arithmetic_checks import as_table
from keras_nc.coding._arithmetic_checks import capacities
from keras_nc.coding._arithmetic_checks import check_lengths
from keras_nc.coding._arithmetic_checks import check_tables
from keras_nc.coding._arithmetic_checks import join_streams
from keras_nc.coding._arithmetic_checks import refuse
from keras_nc.coding._arithmetic_checks import split_text
from keras_nc.coding.inputs import join_documents
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
    """Decodes several documents at once, byte by byte.

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
