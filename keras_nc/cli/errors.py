"""Turn errors that a user can fix into one line, without a traceback."""

import contextlib
import errno
import sys

import click

from keras_nc.cli.files import NamedStream
from keras_nc.cli.files import check_standard_streams
from keras_nc.cli.files import settle

OUTPUT = "standard output"
INTERRUPTED = 130  # the exit code of shells after Ctrl-C

_REMEDIES = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
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
    """End the process with one line if the block raises a user's error.

    Bad options, values, files and disks, and output that cannot be written,
    give exit code 2 and a line on standard error that begins with
    `<program>: error: `. Ctrl-C gives a line and exit code 130. Any other
    exception is a bug and keeps its traceback.

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
        with _flushed_output():
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
            # `... | head` has seen enough.
            settle(sys.stdout)
            sys.exit(1)
        _exit(program, f"error: {describe(error)}", 2)
    except ValueError as error:
        _exit(program, f"error: {error}", 2)
    except MemoryError as error:
        reason = f": {error}" if str(error) else ""
        remedy = "Use smaller inputs, or a machine with more memory."
        _exit(program, f"error: Out of memory{reason}. {remedy}", 2)
    except ImportError as error:
        remedy = "Install it, or set KERAS_BACKEND to an installed backend."
        _exit(program, f"error: {error}. {remedy}", 2)
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


def describe(error):
    """Describe an error of the system and its remedy in one sentence."""
    rule = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f": {str(error.filename)!r}"
    return f"{rule}{where}. {_REMEDIES.get(error.errno, 'Try again.')}"


def _exit(program, message, code):
    settle(sys.stdout)
    # Messages of libraries may have several lines. Join them.
    line = f"{program}: {' '.join(message.split())}"
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    settle(sys.stderr)
    sys.exit(code)
