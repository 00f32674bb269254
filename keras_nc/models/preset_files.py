"""Save the files of a preset, all or none, on any disk."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile

from keras_nc.coding.atomic import atomic_path

#: This file names the class by which keras-hub finds all other classes.
CONFIG_FILE = "config.json"
TASK_FILES = ("task.json", "task.weights.h5")
#: Files of a backbone. Its weights are in one file or in several. The files of
#: a task are included, because an older task describes an older backbone.
BACKBONE_FILES = (
    CONFIG_FILE,
    "metadata.json",
    "model*.weights.h5",
    "model.weights.json",
    *TASK_FILES,
)
#: Files of a preprocessor and its tokenizer.
PREPROCESSOR_FILES = (
    "preprocessor.json",
    "tokenizer.json",
    "assets/tokenizer/*",
    *TASK_FILES,
)

#: Directories of incomplete presets.
_unfinished = set()


@contextlib.contextmanager
def new_preset(preset_dir, files):
    """Yield a directory whose files become a preset once all are written.

    If the block raises, the older preset stays as it was. If the process is
    killed, a directory `.<letters>.saving` remains beside the older preset.
    If it is killed while files take their places, the preset has no
    `config.json`, and cannot be loaded.

    Args:
        preset_dir: str. Where the preset goes. If an outer call yielded this
            directory, it is yielded again: the files are part of that preset.
        files: Patterns of the files that the older preset may have.

    Yields:
        A path, str.
    """
    preset_dir = os.fspath(preset_dir)
    if "://" in preset_dir:
        raise ValueError(
            "A preset is saved to a directory. Received: preset_dir="
            f"{preset_dir!r}. Save it to one, then call "
            "`keras_hub.upload_preset(handle, directory)`."
        )
    target = os.path.realpath(preset_dir)
    if target in _unfinished:
        yield target
        return
    if os.path.exists(target) and not os.path.isdir(target):
        raise ValueError(
            "A preset is saved to a directory. Received: preset_dir="
            f"{preset_dir!r}, which is a file. Choose another name."
        )
    is_new = not os.path.exists(target)
    os.makedirs(target, exist_ok=True)
    try:
        # Inside `preset_dir`, because its parent may be on another disk.
        with tempfile.TemporaryDirectory(".saving", ".", target) as aside:
            new, old = os.path.join(aside, "new"), os.path.join(aside, "old")
            os.mkdir(new)
            _unfinished.add(new)
            try:
                yield new
            finally:
                _unfinished.remove(new)
            exchange(new, old, target, files)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(target)
        raise


def exchange(new, old, target, files):
    """Replace the files of an older preset by those of a new one.

    Args:
        new: str. A directory of complete files.
        old: str. A directory for the older files.
        target: str. The preset's directory.
        files: Patterns of the files that the older preset may have.
    """
    ours = [path for path in pathlib.Path(new).rglob("*") if path.is_file()]
    for path in ours:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    ours = [os.path.relpath(path, new) for path in ours]
    theirs = {path for path in ours if os.path.lexists(f"{target}/{path}")}
    for pattern in files:
        for path in pathlib.Path(target).glob(pattern):
            if not path.is_dir():
                theirs.add(os.path.relpath(path, target))
    # Without a configuration, nothing can be loaded. So remove it first, and
    # put the new one in place last.
    theirs = sorted(theirs, key=lambda path: path != CONFIG_FILE)
    ours = sorted(ours, key=lambda path: path == CONFIG_FILE)
    moves = [(target, old, path) for path in theirs]
    moves += [(new, target, path) for path in ours]
    done = []
    try:
        for source, into, path in moves:
            done.append((source, into, path))
            move(os.path.join(source, path), os.path.join(into, path))
    except BaseException:
        for source, into, path in reversed(done):
            if os.path.lexists(os.path.join(into, path)):
                move(os.path.join(into, path), os.path.join(source, path))
        raise


def move(source, target):
    """Move a file; `target` is complete or does not exist.

    A folder of a preset may be a link to another disk.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        os.unlink(source)
