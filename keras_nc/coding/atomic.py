"""Files that are there whole or not at all."""

import contextlib
import os
import secrets


@contextlib.contextmanager
def atomic_file(path):
    """Open a binary file that takes its place only when it is complete.

    If the block raises, the path is as it was before. A process that is killed
    leaves `<path>.<hexadecimal digits>.tmp` behind and the path untouched.

    Args:
        path: where the file goes.

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
    # In the same folder, so that replacing is one step.
    temporary = f"{os.fspath(path)}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
