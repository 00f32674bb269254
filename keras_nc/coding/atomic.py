"""Files that are there whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat


@contextlib.contextmanager
def atomic_path(path, suffix=""):
    """Give a path to write to that becomes `path` only when it is complete.

    If the block raises, `path` is as it was before. A process that is killed
    leaves `<path>.<hexadecimal digits>.tmp<suffix>` behind, and `path`
    untouched. A link stays a link: the file that it points to is replaced.

    Args:
        path: where the file goes; its folder must exist.
        suffix: str, how the temporary name ends, for writers that want it so.

    Yields:
        A path, str, in the folder of the file.

    Raises:
        OSError: if the file cannot be written there. The error names `path`,
            not the temporary file.
    """
    target = _find_target(path)
    # In the same folder, so that replacing is one step on one disk.
    temporary = f"{target}.{secrets.token_hex(8)}.tmp{suffix}"
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        if temporary not in str(error):
            raise
        # The name of the temporary file says nothing to a user.
        reason = error.strerror or str(error)
        reason = reason.replace(temporary, target)
        raise OSError(error.errno, reason, os.fspath(path)) from None
    except BaseException:
        _remove(temporary)
        raise


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
        # Otherwise a device or a pipe would be gone.
        raise OSError(
            errno.EINVAL,
            "A file can only replace a file: choose another path. Received",
            path,
        )
    return target


@contextlib.contextmanager
def atomic_file(path):
    """Open a binary file that takes its place only when it is complete.

    Args:
        path: where the file goes; see `atomic_path`.

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
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        yield file
