"""Write files whole, and read archives only if every byte is right.

Writing is atomic: a file is complete or does not exist. An archive is a zip of
`.npy` arrays without pickled objects, a `.npz` file. Reading it checks every
byte, and any fault raises the same error. Most archives hold a format version
and a fingerprint; `ArchiveFormat` describes them.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import os
import secrets
import stat
import zipfile
from collections.abc import Callable

import numpy as np

#: The dtype kinds of scalars.
_KINDS = {int: "i", str: "U"}


@contextlib.contextmanager
def atomic_path(path, suffix="", sync=True):
    """Yield a temporary path that replaces `path` once it is complete.

    If the block raises, `path` is as it was before. A process that is killed
    leaves `<path>.<hexadecimal digits>.tmp<suffix>` behind, and `path`
    untouched. If `path` is a link, the file that it points to is replaced.

    Args:
        path: where the file goes; its folder must exist.
        suffix: str, the ending of the temporary name, for writers that need
            one.
        sync: bool. Whether to wait until the content is on the disk. Without
            it, a power failure may leave `path` empty.

    Yields:
        A path, str, in the folder of the file.

    Raises:
        OSError: if the file cannot be written there. The error names `path`,
            not the temporary file.
    """
    target = _find_target(path)
    # The same folder is on the same disk, so replacing is atomic.
    temporary = f"{target}.{secrets.token_hex(8)}.tmp{suffix}"
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        if temporary not in str(error):
            raise name_full_disk(error, path) from None
        # The user does not know the temporary file, so name `path`.
        reason = error.strerror or str(error)
        reason = reason.replace(temporary, target)
        raise OSError(error.errno, reason, os.fspath(path)) from None
    except BaseException:
        _remove(temporary)
        raise


def name_full_disk(error, path):
    """Put a path into an OSError if the path could not take all bytes.

    Python names no file when writing fails.

    Args:
        error: an OSError.
        path: what was written.

    Returns:
        The error.
    """
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if is_full and error.filename is None:
        error.filename = os.fspath(path)
    return error


def _remove(path):
    with contextlib.suppress(OSError):
        os.unlink(path)


def _find_target(path):
    """Return the file to replace, links resolved, or raise an OSError."""
    path = os.fsdecode(path)
    target = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(
            errno.ENOENT,
            "The folder of a file must exist: make it first. Received",
            path,
        )
    try:
        mode = os.stat(path).st_mode
    except OSError:  # no such file yet
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode) or not os.path.basename(path):
        raise IsADirectoryError(
            errno.EISDIR,
            "A file cannot replace a folder: name a file in it. Received",
            path,
        )
    if not stat.S_ISREG(mode):
        # Replacing would delete a device or a pipe.
        raise OSError(
            errno.EINVAL,
            "A file can only replace a file: choose another path. Received",
            path,
        )
    return target


@contextlib.contextmanager
def atomic_file(path, sync=True):
    """Open a binary file that replaces `path` once it is complete.

    Args:
        path: where the file goes; see `atomic_path`.
        sync: bool; see `atomic_path`.

    Yields:
        A binary stream.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(f"{folder}/name") as file:
    ...         _ = file.write(b"content")
    ...     os.listdir(folder)
    ['name']
    """
    with (
        atomic_path(path, sync=sync) as temporary,
        open(temporary, "xb") as file,
    ):
        yield file


def fingerprint_of(*parts):
    """Hash strings, bytes and arrays as if they were joined.

    All fingerprints of the package come from here.

    Args:
        parts: str, which are hashed as UTF-8, bytes or contiguous arrays.

    Returns:
        str, the SHA-256 in 64 hexadecimal digits.

    Example:
    >>> fingerprint_of("ab", b"c") == fingerprint_of("abc")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


class FaultError(ValueError):
    """Describe in a few words what is wrong with the content of a file."""


@contextlib.contextmanager
def one_error(path, rule, remedy):
    """Turn any exception caused by a damaged file into one ValueError.

    System errors, such as a missing file, pass through unchanged.

    Args:
        path: the file or folder that is read.
        rule: str, what the file must hold: a sentence without a full stop.
        remedy: str, what to do, a sentence.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        fault = str(error)
        if not isinstance(error, FaultError):
            fault = f"content that cannot be read ({type(error).__name__}"
            fault += f": {error})" if str(error) else ")"
        raise ValueError(
            f"{rule}. Received: {os.fspath(path)!r} with {fault}. {remedy}"
        ) from None


def write_arrays(path, arrays, compress=False):
    """Write arrays to an archive.

    Args:
        path: where the file goes; see `atomic_file`.
        arrays: dict from names to arrays or scalars.
        compress: bool, whether to deflate them.
    """
    write = np.savez_compressed if compress else np.savez
    with atomic_file(path) as file:
        write(file, **arrays)


def read_arrays(path):
    """Read all arrays of an archive.

    Args:
        path: a file.

    Returns:
        A dict from names to arrays.

    Raises:
        Exception: of any kind if the file is damaged; see `one_error`.
    """
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    try:
        return _parse(data)
    except OSError as error:  # the content is bad: the file was read
        raise FaultError(str(error)) from error


def _parse(data):
    bound = memory_bytes() // 2
    with zipfile.ZipFile(data) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                size = _array_bytes(member)
            # A small file may claim to hold a very large array.
            if size > bound:
                raise FaultError(
                    f"an array of {size >> 20:,} MiB, which is more than half "
                    "of this machine's memory"
                )
        damaged = archive.testzip()
    if damaged:
        raise FaultError(f"damaged field {damaged!r}")
    data.seek(0)
    with np.load(data, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _array_bytes(member):
    """Return how many bytes of data the header of an `.npy` file claims."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise FaultError(f"arrays of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    return int(np.prod([1, *shape], dtype=object) * dtype.itemsize)


def memory_bytes():
    """Return the bytes of memory of this machine, or 8 GiB if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


@dataclasses.dataclass(frozen=True)
class ArchiveFormat:
    """An archive with a format version and a fingerprint.

    Besides its own fields, a file holds `format_version`, an int64, and
    `fingerprint`, a str: the SHA-256 in hexadecimal over the ASCII line

        keras_nc <kind> <version> <values>

    (single spaces, ended by a newline) and then the arrays, one after another,
    in little-endian order.

    Attributes:
        kind: str, the name in that line.
        title: str, what errors call it.
        version: int, the only version that is read.
        scalars: dict from the names of scalars to `int` or `str`.
        arrays: dict from the names of arrays to their dtypes, in the order of
            the fingerprint.
        values: function of the fields that returns the values in that line.
        find_fault: function of the fields. Returns in a few words what is wrong
            with them, or `None`.
        remedy: str, the last sentence of errors.
        compress: bool, whether files are deflated.
    """

    kind: str
    title: str
    version: int
    scalars: dict
    arrays: dict
    values: Callable
    find_fault: Callable
    remedy: str
    compress: bool = False

    def fingerprint(self, fields):
        """Return the fingerprint of a dict of fields, in hexadecimal."""
        values = [self.kind, self.version, *self.values(fields)]
        line = " ".join(["keras_nc", *map(str, values)]) + "\n"
        return fingerprint_of(
            line,
            *(
                np.ascontiguousarray(fields[name], dtype)
                for name, dtype in self.arrays.items()
            ),
        )

    def write(self, path, fields):
        """Write a dict of fields to a file, whole or not at all."""
        arrays = dict(fields)
        arrays["format_version"] = self.version
        arrays["fingerprint"] = self.fingerprint(fields)
        for name, kind in self._all_scalars.items():
            if kind is int:
                arrays[name] = np.int64(arrays[name])
        write_arrays(path, arrays, self.compress)

    def read(self, path):
        """Read a file and check all of it.

        Args:
            path: a file that `write` wrote.

        Returns:
            A dict of the fields, scalars as Python values.

        Raises:
            ValueError: if the file is damaged, foreign or of another version.
            OSError: if the file cannot be read.
        """
        rule = (
            f"A {self.title} file must hold one whole {self.title} of format "
            f"version {self.version}"
        )
        with one_error(path, rule, self.remedy):
            return self._check(read_arrays(path))

    @property
    def _all_scalars(self):
        return {"format_version": int, **self.scalars, "fingerprint": str}

    def _check(self, fields):
        version = fields.get("format_version", np.zeros(1))
        if version.shape == () and version.item() != self.version:
            raise FaultError(f"format_version={version.item()!r}")
        if set(fields) != {*self._all_scalars, *self.arrays}:
            raise FaultError(f"fields {sorted(fields)}")
        for name, kind in self._all_scalars.items():
            array = fields[name]
            if array.shape != () or array.dtype.kind != _KINDS[kind]:
                raise FaultError(
                    f"{name} with dtype={array.dtype}, shape={array.shape}"
                )
            fields[name] = array.item()
        del fields["format_version"]
        fingerprint = fields.pop("fingerprint")
        fault = self.find_fault(fields)
        if fault is None and fingerprint != self.fingerprint(fields):
            fault = "content that does not match its fingerprint"
        if fault is not None:
            raise FaultError(fault)
        return fields
