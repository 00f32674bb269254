"""Standard streams that may be closed, full, or without a reader."""

import contextlib
import os
import sys


class NamedStream:
    """A stream that counts what is read, and whose errors have its name.

    The system's errors of reading and writing name no file.

    Args:
        stream: what to read from or write to.
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
    """Refuse to work without standard output, and keep all three numbers.

    The next file that a process opens takes the number of a standard stream
    that is closed, and what libraries print ends up in that file. The null
    device takes it instead.

    Raises:
        ValueError: if standard output is closed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. Processes started from here
            # inherit it, for the same reason.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdout is None or sys.stdout.closed:
        raise ValueError(
            "Standard output must be open: results go there. Received: one "
            "that is closed. Redirect it to a file, or to /dev/null."
        )


def settle(stream):
    """Flush an output stream; send it nowhere if it takes nothing more.

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
