"""Turn errors that a user can fix into one line, without a traceback.

Standard streams may be closed, full, or without a reader. Then the user gets an
error, too, and no result is lost silently.
"""

import contextlib
import errno
import os
import re
import signal
import sys
import threading
import warnings

import click

OUTPUT = "standard output"
INTERRUPTED = 130  # the exit code of shells after Ctrl-C

_REMEDIES = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EEXIST: "Choose another name.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EACCES: "Choose a path that you may use, or change its permissions.",
    errno.EPERM: "Choose a path that you may use, or change its permissions.",
    errno.EROFS: "Choose a path on a disk that can be written to.",
    errno.ENOSPC: "Free some space, or choose another disk.",
    errno.EDQUOT: "Free some space, or choose another disk.",
    errno.EFBIG: "Choose a disk that takes files so large.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EBADF: "Open it, or redirect it to a file.",
    errno.EIO: "Check the terminal or the disk, and try again.",
}


@contextlib.contextmanager
def one_line_errors(program):
    """Turn errors of the block that a user can fix into one line and exit.

    The line goes to standard error and begins with `<program>: error: `; the
    exit code is 2. This covers bad options, bad values, bad files, full disks,
    and output that cannot be written. Ctrl-C gives a line and exit code 130.
    Any other exception is a bug and keeps its traceback. Warnings for users
    are also one line each.

    Args:
        program: str, the name that the line begins with.

    Raises:
        SystemExit: with the code 2 or 130; 1 if nobody reads standard output.

    Example:
    >>> with one_line_errors("recipe"):
    ...     int("3")
    3
    """
    output = sys.stdout
    try:
        check_standard_streams()
        sys.stdout = NamedStream(output, OUTPUT)
        with _flushed_output(), _one_line_warnings(program):
            yield
    except (KeyboardInterrupt, click.Abort):
        _exit(program, "interrupted", INTERRUPTED)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else program
        message = f"error: {error.format_message()} See `{command} --help`."
        _exit(program, message, 2)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and error.filename == OUTPUT:
            # The reader has seen enough, as in `... | head`.
            flush_or_drop(sys.stdout)
            sys.exit(1)
        _exit(program, f"error: {describe(error)}", 2)
    except ValueError as error:
        _exit(program, f"error: {error}", 2)
    except MemoryError as error:
        reason = f": {error}" if str(error) else ""
        remedy = "Use a smaller input, or a machine with more memory."
        _exit(program, f"error: Out of memory{reason}. {remedy}", 2)
    except ImportError as error:
        message = str(error)
        if not message.endswith("."):  # the error of Python, without a remedy
            message += ". Install it, or set KERAS_BACKEND to an installed "
            message += "backend."
        _exit(program, f"error: {message}", 2)
    finally:
        sys.stdout = output


@contextlib.contextmanager
def _flushed_output():
    """Flush standard output after the block, unless it raises an error."""
    # Flush here, because an error at exit would print a traceback.
    try:
        yield
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


@contextlib.contextmanager
def _one_line_warnings(program):
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_in_one_line(message, category, *where, **others):
            if category is UserWarning:
                text = " ".join(str(message).split())
                print(f"{program}: warning: {text}", file=sys.stderr)
            else:
                show(message, category, *where, **others)

        warnings.showwarning = show_in_one_line
        yield


@contextlib.contextmanager
def option_names(names):
    """Name the options of a command, not arguments, in a ValueError.

    Args:
        names: dict from the names of arguments to those of options. Errors
            have the former in backquotes, with or without a value.

    Example:
    >>> with option_names({"overwrite": "--force"}):
    ...     raise ValueError("Or pass `overwrite=True`.")
    Traceback (most recent call last):
    ValueError: Or pass --force.
    """

    def rename(match):
        name = names.get(match[1])
        value = "" if match[2] in (None, "=True") else match[2]
        return f"{name}{value}" if name else match[0]

    try:
        yield
    except ValueError as error:
        message = re.sub(r"`(\w+)(=[^`]*)?`", rename, str(error))
        raise ValueError(message) from error


@contextlib.contextmanager
def orderly_termination(wait=False, code=0):
    """End a command on SIGTERM, after its temporary files are deleted.

    Schedulers send this signal before they take a machine away. They start a
    command again that ended with code 0, so only commands that can be continued
    may end with it.

    Args:
        wait: bool. Whether the block ends itself, after it has saved its state.
            A second signal does not wait.
        code: int, the exit code.

    Yields:
        A function without arguments that returns whether the signal came.

    Raises:
        SystemExit: with `code`, if the signal comes.
    """
    came = False

    def end(number, frame):
        nonlocal came
        if came or not wait:
            raise SystemExit(code)
        came = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)


def describe(error):
    """Describe an error of the system and its remedy in one sentence."""
    rule = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f": {str(error.filename)!r}"
    return f"{rule}{where}. {_REMEDIES.get(error.errno, 'Try again.')}"


def _exit(program, message, code):
    flush_or_drop(sys.stdout)
    # Messages of libraries may have several lines. Join them.
    line = f"{program}: {' '.join(message.split())}"
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    flush_or_drop(sys.stderr)
    sys.exit(code)


class NamedStream:
    """A stream that counts the bytes read, and puts its name into errors.

    Errors of the system do not say which file was read or written.

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
    """Refuse a closed standard output; open the other streams if closed.

    If a standard stream is closed, the next file that the process opens gets
    its number, and the output of libraries would go to that file. So open the
    null device under each free number.

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
            "Standard output must be open, because results go there. Received: "
            "a closed standard output. Redirect it to a file, or to /dev/null."
        )


def flush_or_drop(stream):
    """Flush an output stream, or send it to the null device if that fails.

    Otherwise Python would try again when the process ends, print an error of
    several lines, and change the exit code.

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
