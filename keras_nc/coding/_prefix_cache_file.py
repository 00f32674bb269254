"""The prefix cache file, and what a cache must fulfil.

A cache file is an `.npz` archive without pickled objects. Format version 1 has
these fields and no others, for n prefixes numbered by length and then in
lexicographic order, 0 being the empty one:

    format_version  int64, shape (): 1
    children        uint16, shape (n,): prefixes of one byte more
    bytes           uint8, shape (n,): last byte, 0 for the empty prefix
    frequencies     uint32, shape (n, 256): of the next byte
    fingerprint     str, shape (): SHA-256 in hexadecimal

The fingerprint is taken over the ASCII line

    keras_nc prefix_cache <format_version> <n>

(ended by a newline), then the bytes of `children`, `bytes` and `frequencies`,
little-endian.
"""

import hashlib
import io
import os
import zipfile

import numpy as np

from keras_nc.coding.atomic import atomic_file
from keras_nc.coding.shares import FREQUENCY_BITS

FORMAT_VERSION = 1
#: 256 frequencies, a byte and the number of its children.
BYTES_PER_PREFIX = 4 * 256 + 1 + 2
_DTYPES = {"children": "<u2", "bytes": "|u1", "frequencies": "<u4"}


def fingerprint(fields):
    """Take the SHA-256 of a cache's fields, in hexadecimal."""
    n = len(fields["bytes"])
    line = f"keras_nc prefix_cache {FORMAT_VERSION} {n}\n"
    digest = hashlib.sha256(line.encode("ascii"))
    for name, dtype in _DTYPES.items():
        digest.update(np.ascontiguousarray(fields[name], dtype).data)
    return digest.hexdigest()


def write(path, fields):
    """Write a cache file, whole or not at all."""
    with atomic_file(path) as file:
        np.savez_compressed(
            file,
            format_version=FORMAT_VERSION,
            fingerprint=fingerprint(fields),
            **fields,
        )


def read(path):
    """Read and check a cache file; give its fields."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        fields = _parse(data)
        version = fields.pop("format_version").item()
        fault = None if version == FORMAT_VERSION else f"version {version!r}"
        found = fields.pop("fingerprint").item()
        fault = fault or find_fault(fields)
        if not fault and found != fingerprint(fields):
            fault = "content that does not match its fingerprint"
    except CacheTooLargeError:
        raise
    except Exception as error:  # whatever a damaged archive makes fail
        fault = f"no archive of arrays ({type(error).__name__}: {error})"
    if fault:
        raise ValueError(
            "A prefix cache file must hold one whole cache of format version "
            f"{FORMAT_VERSION}. Received: {os.fspath(path)!r} with {fault}. "
            "Save it again with `PrefixCache.save`, or fetch it again."
        )
    return fields


class CacheTooLargeError(ValueError):
    """A cache that would not fit into half of the machine's memory."""


def check_memory(num_prefixes):
    """Raise a CacheTooLargeError if a cache would not fit."""
    needed = num_prefixes * BYTES_PER_PREFIX
    bound = _memory_bytes() // 2
    if needed > bound:
        raise CacheTooLargeError(
            "A cache must fit into half of the machine's memory, "
            f"{bound >> 20:,} MiB here. Received: {num_prefixes:,} prefixes of "
            f"{BYTES_PER_PREFIX:,} bytes, {needed >> 20:,} MiB. Keep fewer "
            "prefixes."
        )


def _memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 8 << 30


def _parse(data):
    """Arrays of an archive, none of which is larger than it may be."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                shape, dtype = _header(member)
            # What the array takes, whatever the size of the file.
            size = np.prod([1, *shape], dtype=object) * dtype.itemsize
            check_memory(int(size) // BYTES_PER_PREFIX)
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"damaged field {damaged!r}")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _header(member):
    """Shape and dtype that an `.npy` file says it has."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"arrays of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    return shape, dtype


def find_fault(fields):
    """Say why fields are no cache, or give None."""
    if set(fields) != set(_DTYPES):
        return f"fields {sorted(fields)}"
    n = fields["bytes"].size
    shapes = {"children": (n,), "bytes": (n,), "frequencies": (n, 256)}
    for name, dtype in _DTYPES.items():
        array = fields[name]
        if array.shape != shapes[name] or array.dtype != np.dtype(dtype):
            return f"{name} of dtype={array.dtype}, shape={array.shape}"
    if n == 0:
        return "no prefix"
    children = fields["children"].astype(np.int64)
    firsts = 1 + np.cumsum(children) - children
    if children.sum() != n - 1 or (firsts <= np.arange(n)).any():
        return "children that are no trie"
    parents = np.repeat(np.arange(n), children)
    steps = np.diff(fields["bytes"][1:].astype(np.int64))
    if (steps[np.diff(parents) == 0] <= 0).any():
        return "children that do not ascend"
    sums = fields["frequencies"].sum(axis=1, dtype=np.uint64)
    if sums.min() == 0 or sums.max() >> (FREQUENCY_BITS + 1):
        return f"frequencies with sums from {sums.min()} to {sums.max()}"
    return None
