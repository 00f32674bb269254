"""Generate damage to files, and small contents of files."""

import contextlib
import functools
import io
import pathlib
import tempfile

import numpy as np
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import stepper_for

TEXT = b"A rose is a rose is a rose, is it not? It is: a rose's rose. " * 8
PARSES = ("greedy", "aligned", "flexible", "likely", "likely_aligned")


def array_of(dtype, shape, data):
    """An array that repeats a few bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = np.resize(np.frombuffer(data, np.uint8), size)
    return data.view(dtype).reshape(shape) if size else np.zeros(shape, dtype)


DTYPES = ("|u1", "<u2", ">u2", "<u4", "<i4", "<i8", "<f4", "|b1", "|S2", "<c8")
#: Replacements for a field: another type, shape or value.
ARRAYS = st.builds(
    array_of,
    st.sampled_from(DTYPES),
    st.lists(st.sampled_from((0, 1, 2, 3, 256, 512)), max_size=2),
    st.binary(min_size=1, max_size=16),
)
VALUES = st.one_of(
    ARRAYS,
    st.integers(-3, 70_000).map(np.int64),
    st.text(max_size=9).map(np.str_),
    st.sampled_from((*PARSES, "arithmetic", "tunstall")).map(np.str_),
)
#: Numbers that are added at places of an array, modulo its type.
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**4), st.integers(1, 255)), max_size=4
)
#: Places of a file, and the new bytes there.
OVERWRITTEN = st.lists(
    st.tuples(st.integers(0, 10**5), st.binary(max_size=9)), max_size=3
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@functools.cache
def counts():
    return NGramModel.from_text(TEXT, order=3)


@functools.cache
def codebook(parse="greedy"):
    return Codebook.build(
        counts(),
        TEXT,
        window_bits=9,
        allocation="tunstall",
        parse=parse,
        prune=False,
        rounds=0,
    )


@functools.cache
def prefix_cache():
    return PrefixCache.build(
        stepper_for(counts(), 1, 64), TEXT, window_bits=24, max_prefixes=20
    )


@functools.cache
def folder():
    return pathlib.Path(tempfile.mkdtemp(prefix="keras_nc-"))


def archive(fields):
    data = io.BytesIO()
    np.savez(data, **fields)
    return data.getvalue()


def overwrite(data, pieces):
    data = bytearray(data)
    for at, piece in pieces:
        at %= len(data)
        data[at : at + len(piece)] = piece
    return bytes(data)


def change(fields, name, value, changes):
    """Replace a field or some of its numbers; `None` changes nothing."""
    fields = dict(fields)
    if value is not None:
        fields[name] = value
    array = np.array(fields[name])
    if array.dtype.kind in "iu" and array.size:
        for at, by in changes:
            array.flat[at % array.size] += np.array(by).astype(array.dtype)
        fields[name] = array
    return fields


@contextlib.contextmanager
def refusal(*words):
    """Check that a ValueError tells what was received and what to do."""
    try:
        yield
    except ValueError as error:
        assert "Received" in str(error), error
        assert all(word in str(error) for word in words), error
