"""Atomic writes: a file is complete or does not exist."""

import contextlib
import errno
import os
import secrets
import stat


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
        sync: bool. Whether to wait until the content is on the disk. If not,
            `path` may be an empty file after a power failure.

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
            raise
        # The user does not know the temporary file, so name `path`.
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
