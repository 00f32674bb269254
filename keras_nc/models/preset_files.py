"""The files of a preset, which are there whole or not at all, on any disk."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile

from keras_nc.coding.atomic import atomic_path

#: keras-hub finds by it the class of what a preset holds.
CONFIG_FILE = "config.json"
TASK_FILES = ("task.json", "task.weights.h5")
#: What a backbone is saved as, in one file of weights or in several. A task
#: that was saved before describes another backbone.
BACKBONE_FILES = (
    CONFIG_FILE,
    "metadata.json",
    "model*.weights.h5",
    "model.weights.json",
    *TASK_FILES,
)
#: What a preprocessor is saved as, with its tokenizer.
PREPROCESSOR_FILES = (
    "preprocessor.json",
    "tokenizer.json",
    "assets/tokenizer/*",
    *TASK_FILES,
)

#: Directories of presets that are not complete yet.
_unfinished = set()


@contextlib.contextmanager
def new_preset(preset_dir, files):
    """Give a directory whose files become a preset when all are written.

    If the block raises, the older preset stays as it was. A process that is
    killed leaves a directory `.<letters>.saving` behind and the older preset,
    or, if it is killed between two files that take their places, a preset
    without `config.json`, which nothing loads.

    Args:
        preset_dir: str. Where the preset goes. If it is such a directory
            itself, it is given: the files are part of a larger preset.
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
        # Inside, for what is beside it may be on another disk.
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
    """Put the files of a new preset into the places of an older one.

    Args:
        new: str. A directory of files that are complete.
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
    # Without a configuration nothing is loaded: it goes first, comes last.
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
    """Move a file, to another disk if need be; `target` is whole or not there.

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
