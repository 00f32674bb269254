"""Files that are there whole or not at all."""

import contextlib
import os
import secrets


@contextlib.contextmanager
def atomic_path(path, suffix=""):
    """Give a path to write to that becomes `path` only when it is complete.

    If the block raises, `path` is as it was before. A process that is killed
    leaves `<path>.<hexadecimal digits>.tmp<suffix>` behind, and `path`
    untouched.

    Args:
        path: where the file goes.
        suffix: str, how the temporary name ends, for writers that want it so.

    Yields:
        A path, str, in the same folder.
    """
    # In the same folder, so that replacing is one step.
    temporary = f"{os.fspath(path)}.{secrets.token_hex(8)}.tmp{suffix}"
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


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
