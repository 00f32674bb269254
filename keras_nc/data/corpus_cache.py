"""The default corpus on disk, so that sources are parsed only once."""

import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import tempfile

import zstandard
from absl import logging

from keras_nc.coding.atomic import atomic_file
from keras_nc.data import docstrings
from keras_nc.data.corpus import Corpus

# Packages whose distribution has another name.
_DISTRIBUTIONS = {"absl": "absl-py", "markdown_it": "markdown-it-py"}


def cache_directory():
    """Return the folder for caches, a `pathlib.Path`; it need not exist."""
    if os.environ.get("KERAS_NC_CACHE"):
        return pathlib.Path(os.environ["KERAS_NC_CACHE"])
    if os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(os.environ["XDG_CACHE_HOME"], "keras_nc")
    try:
        return pathlib.Path.home() / ".cache" / "keras_nc"
    except RuntimeError:  # a user without a home
        return pathlib.Path(tempfile.gettempdir(), "keras_nc")


def cache_file(format_version, packages):
    """Return the cache file for the corpus of the installed versions.

    Args:
        format_version: int, version of the rules that make the documents.
        packages: sequence of str, names of the packages read.

    Returns:
        A `pathlib.Path`.
    """
    parts = [
        str(format_version),
        platform.python_implementation(),
        sys.version,
        *(f"{name} {_version(name)}" for name in packages),
    ]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return cache_directory() / f"default-corpus-{key[:16]}.json.zst"


def write(file, documents):
    """Write documents, all or nothing; only log an error of the disk.

    Args:
        file: `pathlib.Path`.
        documents: sequence of pairs of name, str, and UTF-8 document, bytes.
    """
    content = {
        "content_hash": _content_hash(documents),
        "documents": [[name, text.decode()] for name, text in documents],
    }
    packed = zstandard.compress(json.dumps(content).encode())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as stream:
            stream.write(packed)
    except OSError as error:
        logging.info("The corpus is not cached in %s (%s).", file, error)


def read(file):
    """Read documents back.

    Args:
        file: `pathlib.Path`.

    Returns:
        A tuple of pairs of name and document, or None if there is no such
        file or it is damaged.
    """
    try:
        packed = file.read_bytes()
    except OSError:
        return None
    try:
        content = json.loads(zstandard.decompress(packed))
        documents = tuple(
            (name, text.encode()) for name, text in content["documents"]
        )
        if _content_hash(documents) == content["content_hash"]:
            return documents
    # ValueError covers bad JSON, bad Unicode and an empty list.
    except (zstandard.ZstdError, ValueError, LookupError, TypeError):
        pass
    except AttributeError:  # a number in the place of a text
        pass
    logging.info("The cached corpus %s is damaged; building it again.", file)
    return None


def _content_hash(documents):
    names, texts = zip(*documents, strict=True)
    return Corpus(documents=texts, names=names).content_hash


def _version(package):
    """Return a str that identifies the installed state of a package."""
    if package == "stdlib":
        return ""  # the version of Python, already in the key
    if docstrings.find_package(package) is None:
        return "absent"
    name = _DISTRIBUTIONS.get(package, package)
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    # Try builds under another name, such as tensorflow-cpu. This is slow.
    names = _packages_distributions().get(package, ())
    return " ".join(f"{n} {importlib.metadata.version(n)}" for n in names)


@functools.lru_cache(maxsize=1)
def _packages_distributions():
    return importlib.metadata.packages_distributions()
