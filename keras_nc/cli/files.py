"""Open the inputs and outputs of commands.

Standard streams may be closed, full, or without a reader. Then the user gets an
error, and no result is lost silently.
"""

import contextlib
import errno
import os
import stat
import sys

from keras_nc.coding.atomic import atomic_file

STANDARD_STREAM = "-"


@contextlib.contextmanager
def open_input(path):
    """Open a file, or standard input for `-`, to read bytes.

    Yields:
        The binary stream, and its size in bytes or `None`. The stream counts
        the bytes read in `num_bytes`.
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
    """Check an output path before any work is done.

    Args:
        path: str.
        force: bool, whether a file may be replaced.
        keep: str, a path that is never replaced: the codebook, which decoding
            needs.

    Raises:
        ValueError: if the path exists, or cannot be a file.
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
    # Nobody wants to replace a device or a folder by a file.
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
    """Open a file to write bytes; write it whole or not at all."""
    try:
        with atomic_file(path) as stream:
            yield stream
    except OSError as error:
        # Errors would name the temporary file, or no file at all.
        name = error.filename
        if name is None or str(name).startswith(f"{path}."):
            error.filename = path
        raise


class NamedStream:
    """A stream that counts the bytes read, and puts its name into errors.

    System errors of reading and writing do not name a file.

    Args:
        stream: the stream to wrap.
        name: str.

    Attributes:
        num_bytes: int, bytes read so far.
    """

    def __init__(self, stream, name):
        self._stream = stream
        self._name = name
        self.num_bytes = 0

    def __getattr__(self, name):
        return getattr(self._stream, name)

    @property
    def buffer(self):
        """The binary stream of a text stream."""
        return NamedStream(self._stream.buffer, self._name)

    def read(self, size=-1):
        """Read as the stream does."""
        with self._naming():
            data = self._stream.read(size)
        self.num_bytes += len(data)
        return data

    def write(self, data):
        """Write as the stream does."""
        with self._naming():
            return self._stream.write(data)

    def flush(self):
        """Flush as the stream does."""
        with self._naming():
            self._stream.flush()

    @contextlib.contextmanager
    def _naming(self):
        try:
            yield
        except OSError as error:
            error.filename = self._name
            raise


def check_standard_streams():
    """Raise an error without standard output; reopen other closed streams.

    If a standard stream is closed, the next file that the process opens gets
    its number, and output of libraries would go to that file. So the null
    device takes the number.

    Raises:
        ValueError: if standard output is closed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # This is the lowest free number. Child processes must inherit it,
            # for the same reason.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdout is None or sys.stdout.closed:
        raise ValueError(
            "Standard output must be open: results go there. Received: one "
            "that is closed. Redirect it to a file, or to /dev/null."
        )


def settle(stream):
    """Flush an output stream; redirect it to nothing if that fails.

    Otherwise Python tries again when the process ends, prints an error of
    several lines and changes the exit code.

    Args:
        stream: text stream, or `None`.
    """
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
