"""Find and open what an input names: files, URLs and data sets.

A name is a path, a pattern, a URL of fsspec such as `gs://bucket/*.jsonl.zst`,
`tfds:NAME` or `hf:NAME`. The name of a data set may have a split after `#`, by
default `train`: `tfds:c4/en:3.1.0#validation`, `hf:allenai/c4:en#train`.
"""

import contextlib
import dataclasses
import glob
import importlib
import io
import os
import shutil
import tempfile

#: Prefixes of the names of data sets, and what comes before a split.
_TFDS, _HUGGING_FACE = "tfds:", "hf:"
_SPLIT = "#"


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the input that can be read by itself.

    Attributes:
        name: str, a path, a URL, or the name of a data set with its split.
        shard: int, which shard of the data set, or `None` for a file.
        num_shards: int, how many the data set has, or `None` for a file.
        size: int, stored bytes, or `None` if that is not known.
        version: str that differs if a file was written again, or `None` if
            that is not known.
    """

    name: str
    shard: int | None = None
    num_shards: int | None = None
    size: int | None = None
    version: str | None = None

    def __str__(self):
        if self.shard is None:
            return self.name
        return f"{self.name}, shard {self.shard}"


def is_dataset(name):
    """Return whether a name is that of a data set, not of a file."""
    return name.startswith((_TFDS, _HUGGING_FACE))


def is_url(name):
    """Return whether a name is a URL, which fsspec opens."""
    return "://" in name


def split_name(name):
    """Split the name of a data set.

    Args:
        name: str.

    Returns:
        Three str: the kind, `"tfds"` or `"hf"`; the name without kind and
        split; and the split.

    Example:
    >>> split_name("tfds:c4/en:3.1.0#validation")
    ('tfds', 'c4/en:3.1.0', 'validation')
    """
    kind, _, rest = name.partition(":")
    rest, _, split = rest.partition(_SPLIT)
    return kind, rest, split or "train"


def need(module, extra, what):
    """Import an optional package.

    Args:
        module: str.
        extra: str, the extra of this package that installs it.
        what: str, what needs it.

    Returns:
        The module.

    Raises:
        ImportError: if it is not installed. The error names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} must have the package {module.partition('.')[0]!r}. "
            f"Received: an installation without it ({error}). Install the "
            f'extra [{extra}], as in `pip install "keras-nc[{extra}]"`.'
        ) from error


def find_files(patterns):
    """List the files that patterns match, and the data sets that are named.

    Args:
        patterns: a path, pattern, URL or name, or a sequence of them; `**`
            stands for any number of folders.

    Returns:
        A list of str: each file and data set once, in the order of the names.

    Raises:
        ValueError: if a pattern matches no file, or if there is no pattern.
        ImportError: if a URL needs a package that is not installed.
    """
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    found = {}
    for pattern in map(os.fspath, patterns):
        matches = _match(pattern)
        if not matches:
            raise ValueError(
                "Each pattern must match at least one file. Received: "
                f"{pattern!r}, which matches none. For all files below a "
                "folder, use 'folder/**/*'."
            )
        for match in matches:
            # `a` and `./a` are one file.
            is_path = not is_dataset(match) and not is_url(match)
            found.setdefault(
                os.path.abspath(match) if is_path else match, match
            )
    if not found:
        raise ValueError(
            "`patterns` must name at least one file. Received: an empty "
            "sequence. Pass a path or a glob pattern."
        )
    return sorted(found.values())


def _match(pattern):
    """List the files of one pattern."""
    # A path that exists is not a pattern, even if it has brackets.
    if os.path.isfile(pattern):
        return [pattern]
    if is_dataset(pattern):
        return [pattern]
    if is_url(pattern):
        system, path = _file_system(pattern)
        if system.isfile(path):
            return [pattern]
        matches = system.glob(path, detail=True).items()
        return [
            system.unstrip_protocol(name)
            for name, info in matches
            if info["type"] == "file"
        ]
    return list(filter(os.path.isfile, glob.glob(pattern, recursive=True)))


def describe(name):
    """Return the size and the version of a file; see `Part`."""
    if not is_url(name):
        status = os.stat(name)
        return status.st_size, str(status.st_mtime_ns)
    system, path = _file_system(name)
    return system.size(path), system.ukey(path)


def _file_system(url):
    """Return the file system of a URL and the path in it."""
    fsspec = need("fsspec", "remote", f"The URL {url!r}")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(
            "A URL must have the package of its protocol. Received: "
            f"{url!r} without it ({error}). Install the extra [remote], as in "
            '`pip install "keras-nc[remote]"`.'
        ) from error


def open_binary(name):
    """Open a file, or what a URL names, to read bytes.

    Args:
        name: str or path.

    Returns:
        A buffered binary stream with `peek`. The caller closes it.
    """
    name = os.fspath(name)
    if not is_url(name):
        return open(name, "rb")
    system, path = _file_system(name)
    return io.BufferedReader(system.open(path, "rb"))


@contextlib.contextmanager
def local_copy(name):
    """Yield a path with the content of a file, for readers that need a path."""
    if not is_url(name):
        yield name
        return
    with tempfile.NamedTemporaryFile() as copy:
        with open_binary(name) as stream:
            shutil.copyfileobj(stream, copy)
        copy.flush()
        yield copy.name
