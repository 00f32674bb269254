"""Where commands read from and write to."""

import contextlib
import errno
import os
import stat
import sys

from keras_nc.cli.standard_streams import NamedStream
from keras_nc.coding.atomic import atomic_file

STANDARD_STREAM = "-"


@contextlib.contextmanager
def open_input(path):
    """Open a file, or standard input for `-`, to read bytes.

    Yields:
        The binary stream, and its size in bytes or `None`. The stream counts
        what was read in `num_bytes`.
    """
    if path == STANDARD_STREAM:
        if sys.stdin is None or sys.stdin.closed:
            raise ValueError(
                "Standard input must be open to be read. Received: '-' with "
                "standard input closed. Redirect it from a file, or pass a "
                "file's name."
            )
        yield NamedStream(sys.stdin.buffer, "standard input"), None
        return
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        regular = stat.S_ISREG(status.st_mode)
        size = status.st_size if regular else None
        yield NamedStream(stream, path), size


def check_output(path, force, keep):
    """Refuse an output before any work is done for it.

    Args:
        path: str.
        force: bool, whether a file may be replaced.
        keep: str, a path that is never replaced: the codebook, without which
            nothing can be decoded.

    Raises:
        ValueError: if the path is taken, or can be no file.
        OSError: if its folder is missing.
    """
    if path == STANDARD_STREAM:
        raise ValueError(
            "Output must be a file, which is written whole or not at all. "
            "Received: '-'. Pass a name with -o."
        )
    folder = os.path.dirname(path) or os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if not os.path.lexists(path):
        return
    # To replace a device or a folder by a file is never what was meant.
    if not os.path.isfile(path):
        raise ValueError(
            f"Output must be a file. Received: {path!r}, which is none. Pass "
            "another name with -o."
        )
    if os.path.exists(keep) and os.path.samefile(path, keep):
        raise ValueError(
            "Output must not replace the codebook, which decoding needs. "
            f"Received: {path!r}. Pass another name with -o."
        )
    if not force:
        raise ValueError(
            f"Output must not exist yet. Received: {path!r}. Pass --force to "
            "replace it, or another name with -o."
        )


@contextlib.contextmanager
def open_output(path):
    """Open a file to write bytes; it is there whole or not at all."""
    try:
        with atomic_file(path) as stream:
            yield stream
    except OSError as error:
        # The temporary file's name would say nothing to the user, and errors
        # of writing name no file at all.
        name = error.filename
        if name is None or str(name).startswith(f"{path}."):
            error.filename = path
        raise
