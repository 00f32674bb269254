"""Hashed n-grams of the bytes of tokens, and sums of their vectors."""

import base64
import binascii
import zlib

import keras
import numpy as np
from keras import ops

#: Rows of the table of n-gram vectors: a power of two. With `SIZES` and the
#: hash below, it is a part of the format of saved models.
NGRAM_ROWS = 8_192
#: Lengths of the n-grams, marks included.
SIZES = (2, 3, 4)
#: Symbols that mark the beginning and the end of a token. Symbol 0 is none, and
#: byte b is symbol b + 1.
BEGIN, END = 257, 258
#: 2^64 divided by the golden ratio: multiplication spreads keys over the rows.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
#: What is left of the 64 bits of a product numbers the rows.
_SHIFT = np.uint64(64 - (NGRAM_ROWS - 1).bit_length())
#: Lengths of sums; shorter ones are padded to the next. Longer ones are sums of
#: sums.
_LENGTHS = np.array([1, 2, 4, 8, 16])


def ngram_rows(tokens):
    """Return the row of every n-gram of every token.

    A token of b bytes has 3 b n-grams, its marks included. An n-gram that
    occurs twice counts twice. A token without bytes has none.

    Args:
        tokens: A list of bytes.

    Returns:
        A pair: the rows of all tokens, an int32 array, and their offsets, an
        int64 array of `len(tokens) + 1`.

    Example:
    >>> rows, offsets = ngram_rows([b"", b"a", b"ab"])
    >>> offsets.tolist(), bool((rows < NGRAM_ROWS).all())
    ([0, 0, 3, 9], True)
    """
    symbols, owners = _symbols(tokens)
    rows, of_token = [], []
    for size in SIZES:
        count = max(len(symbols) - size + 1, 0)
        # An n-gram lies inside one token.
        inside = owners[:count] == owners[size - 1 :][:count]
        key = np.zeros(count, np.uint64)
        for i in range(size):
            key = key * np.uint64(END + 1) + symbols[i : i + count]
        hashed = (key * _SPREAD) >> _SHIFT
        rows.append(hashed[inside].astype("int32"))
        of_token.append(owners[:count][inside])
    rows, of_token = np.concatenate(rows), np.concatenate(of_token)
    counts = np.bincount(of_token, minlength=len(tokens))
    order = np.argsort(of_token, kind="stable")
    return rows[order], np.concatenate([[0], np.cumsum(counts)])


def _symbols(tokens):
    """Return the symbols of all tokens, uint64, and the token of each."""
    lengths = np.array([len(token) for token in tokens], "int64")
    marked = np.where(lengths > 0, lengths + 2, 0)
    owners = np.repeat(np.arange(len(tokens)), marked)
    ends = np.cumsum(marked)[lengths > 0]
    symbols = np.zeros(len(owners), np.uint64)
    symbols[ends - 1] = END
    symbols[ends - marked[lengths > 0]] = BEGIN
    text = np.frombuffer(b"".join(tokens), "uint8")
    symbols[symbols == 0] = text.astype(np.uint64) + np.uint64(1)
    return symbols, owners


class RowSums:
    """Sums of rows of a table: a product with a fixed sparse matrix.

    Row `i` of the result is the sum of the rows that list `i` names. The
    gradient is such a sum too, with the transposed matrix, so neither direction
    writes to one row from several places. All indices are known beforehand.

    Args:
        indices: The indices of all lists, an int array.
        offsets: An int array of one more than there are lists.
        num_rows: int. Rows of the table.
    """

    def __init__(self, indices, offsets, num_rows):
        num_lists = len(offsets) - 1
        of_list = np.repeat(np.arange(num_lists), np.diff(offsets))
        order = np.argsort(indices, kind="stable")
        uses = np.bincount(indices, minlength=num_rows)
        uses = np.concatenate([[0], np.cumsum(uses)])
        arrange = _Bags if keras.backend.backend() == "torch" else _Gathers
        self._forward = arrange(indices, offsets, num_rows)
        self._backward = arrange(of_list[order], uses, num_lists)

        self._add = ops.custom_gradient(self._sums_and_gradient)
        if keras.backend.backend() == "jax":
            import jax

            # Outside of a compiled step, each gather would be compiled alone.
            self._add = jax.jit(self._add)

    def _sums_and_gradient(self, table):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return self._backward.add(upstream)

        return self._forward.add(table), gradient

    def __call__(self, table):
        """Return the sums, float32 `(lists, D)`, of a table `(rows, D)`."""
        return self._add(ops.cast(table, "float32"))


class _Bags:
    """Sums of rows in torch, which has a kernel for them."""

    def __init__(self, indices, offsets, num_rows):
        self._lists = indices.astype("int64"), offsets[:-1].astype("int64")
        self._on_device = {}

    def add(self, table):
        import torch

        if table.device not in self._on_device:
            self._on_device[table.device] = [
                torch.as_tensor(array, device=table.device)
                for array in self._lists
            ]
        return torch.nn.functional.embedding_bag(
            self._on_device[table.device][0],
            table,
            self._on_device[table.device][1],
            mode="sum",
        )


class _Gathers:
    """Sums of rows by gathers of equal length.

    Segment sums are slow in XLA on CPUs, and need atomic additions on GPUs. So
    lists are cut into pieces of at most 16 indices, and pieces of one length
    are added together: one gather for the first index of all, one for the
    second, and so on. If a list had several pieces, their sums are added in
    the same way.
    """

    def __init__(self, indices, offsets, num_rows):
        self._levels = []
        while True:
            matrices, places, offsets = _pieces(indices, offsets, num_rows)
            self._levels.append(matrices)
            if len(places) == len(offsets) - 1:  # a piece for each list
                break
            indices, num_rows = places, len(places)
        self._places = places

    def add(self, table):
        for matrices in self._levels:
            table = ops.concatenate([table, ops.zeros_like(table[:1])])
            table = ops.concatenate(
                [sum(_take(table, i) for i in m.T) for m in matrices]
            )
        return _take(table, self._places)


def _pieces(indices, offsets, num_rows):
    """Cut lists of indices into pieces.

    Returns:
        Index matrices `(pieces, length)`, in which `num_rows` fills up; where
        each piece is in their joined rows; and the offsets of the pieces of
        each list.
    """
    counts = np.diff(offsets)
    most = _LENGTHS[-1]
    pieces = np.maximum(-(-counts // most), 1)  # an empty list has an empty one
    new_offsets = np.concatenate([[0], np.cumsum(pieces)])
    of_list = np.repeat(np.arange(len(counts)), pieces)
    starts = (np.arange(len(of_list)) - new_offsets[of_list]) * most
    lengths = np.minimum(counts[of_list] - starts, most)
    starts = starts + offsets[of_list]
    padded = _LENGTHS[np.searchsorted(_LENGTHS, lengths)]
    order = np.argsort(padded, kind="stable")
    places = np.empty(len(order), "int32")
    places[order] = np.arange(len(order))
    filled = np.append(indices, np.full(most, num_rows)).astype("int32")
    matrices = []
    for length in np.unique(padded):
        chosen = order[padded[order] == length]
        steps = np.arange(length)
        matrix = filled[starts[chosen][:, None] + steps]
        matrix[steps >= lengths[chosen][:, None]] = num_rows
        matrices.append(matrix)
    return matrices, places, new_offsets


def _take(table, indices):
    """Return rows; all indices are known to be in range."""
    if keras.backend.backend() == "jax":
        # Faster: `ops.take` would test each index.
        return table.at[indices].get(mode="promise_in_bounds")
    return ops.take(table, indices, axis=0)


# === Vocabularies in configurations ===


def to_vocabulary(given):
    """Return the bytes of all ids.

    Args:
        given: A tokenizer of `keras_nc.tokenizers` or a `Scheme`; a list of
            bytes, empty for ids that stand for none; or a str that
            `pack_vocabulary` returned.

    Returns:
        A list of bytes.

    Raises:
        ValueError: If ids have no bytes of their own.
    """
    if isinstance(given, str):
        return unpack_vocabulary(given)
    for name in ("get_vocabulary", "vocabulary"):
        if hasattr(given, name):
            _ = given.layout  # raises an error if assets are not loaded yet
            if given.token_lengths is None:
                raise ValueError(
                    "Embeddings can be made from bytes only if every id stands "
                    "for bytes of its own. Received: a "
                    f"{type(given).__name__}, in which several ids stand for "
                    "bytes together. Leave out `embedding`."
                )
            given = getattr(given, name)()
            break
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(token, bytes) for token in given
    ):
        raise ValueError(
            "`vocabulary` must be a tokenizer or a list of bytes, one for each "
            f"id. Received: {type(given).__name__}"
        )
    return list(given)


def pack_vocabulary(tokens):
    """Write the bytes of all ids as a str, for a JSON configuration.

    Args:
        tokens: A list of bytes.

    Returns:
        str: in base64 and deflated, the number of tokens, their lengths, and
        their bytes. All numbers are little-endian uint32.

    Example:
    >>> unpack_vocabulary(pack_vocabulary([b"", b"a", b"the"]))
    [b'', b'a', b'the']
    """
    numbers = np.array([len(tokens), *map(len, tokens)], "<u4")
    content = numbers.tobytes() + b"".join(tokens)
    return base64.b64encode(zlib.compress(content, 9)).decode()


def unpack_vocabulary(packed):
    """Return the list of bytes that `pack_vocabulary` wrote."""
    try:
        content = zlib.decompress(base64.b64decode(packed, validate=True))
        count = int(np.frombuffer(content[:4], "<u4")[0])
        start = 4 + 4 * count
        lengths = np.frombuffer(content[4:start], "<u4").astype("int64")
        ends = start + np.cumsum(lengths)
        if len(lengths) != count or start + lengths.sum() != len(content):
            raise ValueError("lengths that do not fit")
    except (ValueError, IndexError, binascii.Error, zlib.error) as error:
        raise ValueError(
            "A packed vocabulary must be complete. Received: a str of "
            f"{len(packed)} characters: {error}. Load the preset again, or "
            "pass the tokenizer."
        ) from error
    return [
        content[end - length : end]
        for length, end in zip(lengths, ends, strict=True)
    ]
