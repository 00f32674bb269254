"""The folder of a run: its configuration, and the files of each stage."""

import contextlib
import dataclasses
import json
import os
import pathlib

from keras_nc.coding.archive import atomic_file
from recipes.flags import say

_MANIFEST = "config.json"
#: The number of the process that uses the folder.
_LOCK = f"{_MANIFEST}.lock"


def claim_workdir(setting):
    """Make the workdir, or check that it has the same configuration.

    It is made only after all text has been read without an error, so errors in
    the text leave nothing behind.

    Raises:
        ValueError: If it holds something else, or the text has an error.
    """
    path = setting.workdir / _MANIFEST
    mine = json.loads(json.dumps(setting.describe()))  # tuples are lists
    its = read_json(path)
    if its is not None:
        found = first_difference(mine, its)
        if found is not None:
            name, ours, theirs = found
            raise ValueError(
                f"--workdir {setting.workdir} was made with {name}={theirs!r}. "
                f"Received: {ours!r}. Use the same flags, or another --workdir."
            )
        return
    setting.need_one_process("making the --workdir (recipes.tokenize_corpus)")
    if setting.workdir.exists():
        # Ignore the files of a process that was killed here.
        found = [
            file.name
            for file in setting.workdir.iterdir()
            if not file.name.startswith(f"{_MANIFEST}.")
        ]
    else:
        found = []
    if found:
        raise ValueError(
            f"--workdir {setting.workdir} holds files that no recipe made. "
            "Choose an empty or new folder."
        )
    split = setting.check_text()
    setting.workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, {**mine, "split": dataclasses.asdict(split)})
    if split.document:
        what = "the end of the longest document"
        if split.position == 0:
            what = "the longest document"
        say(
            f"Held out: {what}, {split.size:,} "
            f"{'byte' if split.size == 1 else 'bytes'}, because the usual 1 in "
            "32 documents are none here, or too many"
        )


@contextlib.contextmanager
def only_process(folder):
    """Keep other processes out of a workdir during the block.

    The system ends the lock with the process, even if that is killed.

    Args:
        folder: `pathlib.Path` of a workdir that exists.

    Raises:
        ValueError: If another process uses the workdir.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with open(folder / _LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(
                "A workdir is for one process at a time. Received: --workdir "
                f"{folder}, which process {file.read().strip()} uses. Wait for "
                "its end, or choose another --workdir."
            ) from None
        except OSError:
            pass  # a disk without locks
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def read_split(workdir):
    """Read the choice of held-out text from a workdir.

    Returns:
        The fields of a `Split`, a dict; `None` if there is no workdir yet.
    """
    manifest = read_json(workdir / _MANIFEST)
    return None if manifest is None else manifest.get("split", {})


def first_difference(mine, its, prefix=""):
    """Find the first key of a dict whose value is another one elsewhere.

    Args:
        mine: dict of JSON values.
        its: dict of JSON values, which may have more keys.
        prefix: str, put before the name.

    Returns:
        A tuple: the name with dots, as in `"m2_training.steps"`, and both
        values; `None` if there is no difference.
    """
    for key, value in mine.items():
        other = its.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found = first_difference(value, other, f"{prefix}{key}.")
            if found is not None:
                return found
        elif value != other:
            return f"{prefix}{key}", value, other
    return None


def write_json(path, value):
    """Write JSON, whole or not at all, and return the value."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(json.dumps(value, indent=1).encode() + b"\n")
    return value


def read_json(path):
    """Read a file of `write_json`; `None` if the stage is not finished.

    Raises:
        ValueError: If the file is damaged.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
        if isinstance(value, dict):
            return value
        error = f"{type(value).__name__} instead of an object"
    except ValueError as caught:
        error = caught
    what = "the folder" if path.name == _MANIFEST else "it"
    raise ValueError(
        f"{path} must be as it was written. Received: a damaged file "
        f"({error}). Delete {what} and run the same command again."
    )


def need(path, recipe):
    """Read the result of a stage; if there is none, name its recipe.

    Raises:
        ValueError: If the stage has not been run.
    """
    result = read_json(path)
    if result is None:
        raise ValueError(
            f"{path} must be there first. Received: a workdir without it. Run "
            f"`python -m recipes.{recipe}` with the same flags."
        )
    return result
