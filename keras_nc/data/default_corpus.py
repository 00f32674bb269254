"""The default corpus: English text that every installation has.

Training, tests and tutorials need text without a download. The sources are the
help topics of Python, and the docstrings of the standard library and of the
dependencies of keras_nc: some 18 MB of English prose, code and tables. The text
depends on the installed versions, so the content hash identifies it.
"""

import dataclasses
import functools
import importlib.metadata
import json
import numbers
import os
import pathlib
import platform
import sys
import tempfile

import zstandard
from absl import logging

from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.inputs import as_choice
from keras_nc.data import docstrings
from keras_nc.data.shard_format import DocumentsHash
from keras_nc.progress import ProgressLine

#: Change this whenever the same sources give other documents.
FORMAT_VERSION = 1
#: The standard library, then the dependencies of keras_nc. A docstring that
#: occurs twice belongs to the first package.
PACKAGES = (
    "stdlib",
    "keras",
    "keras_hub",
    "numpy",
    "tensorflow",
    "tensorflow_text",
    "huggingface_hub",
    "numba",
    "llvmlite",
    "pygments",
    "rich",
    "optree",
    "absl",
    "packaging",
    "zstandard",
    "requests",
    "h5py",
    "markdown_it",
    "regex",
    "kagglehub",
    "tokenizers",
)
_TOPICS = "pydoc_data.topics"
_MIN_DOCUMENT_BYTES = 64
_SPLITS = ("train", "validation")
# One document in 32, by its name, is for validation. This one of the 32
# possible shares has about the mean size, half a megabyte.
_VALIDATION_MODULUS = 32
_VALIDATION_REMAINDER = 9
# Packages whose distribution has another name.
_DISTRIBUTIONS = {"absl": "absl-py", "markdown_it": "markdown-it-py"}


@dataclasses.dataclass(frozen=True, repr=False)
class Corpus:
    """Named documents; iterates, indexes and measures like a list of bytes.

    Args:
        documents: tuple of bytes, one per document.
        names: tuple of str, the name of each document.

    Raises:
        ValueError: if the numbers of documents and names differ.

    Example:
    >>> from keras_nc.data import Corpus
    >>> corpus = Corpus(documents=(b"one", b"three"), names=("a", "b"))
    >>> corpus.describe()
    '2 documents, 8 bytes, content hash 743662b6397dfc6a'
    >>> list(corpus)
    [b'one', b'three']
    """

    documents: tuple[bytes, ...]
    names: tuple[str, ...]

    def __post_init__(self):
        if len(self.documents) != len(self.names):
            raise ValueError(
                "A corpus has one name per document. Received: "
                f"{len(self.documents)} documents and {len(self.names)} names. "
                "Pass two tuples of the same length."
            )

    def __len__(self):
        return len(self.documents)

    def __iter__(self):
        return iter(self.documents)

    def __getitem__(self, index):
        return self.documents[index]

    def __repr__(self):
        return f"<Corpus: {self.describe()}>"

    @functools.cached_property
    def num_bytes(self):
        """Size of all documents, in bytes."""
        return sum(map(len, self.documents))

    @functools.cached_property
    def content_hash(self):
        """SHA-256 of all names and documents in their order, 64 hex digits."""
        names = [name.encode() for name in self.names]
        found = DocumentsHash()
        for name, document in zip(names, self.documents, strict=True):
            found.add(name)
            found.add(document)
        return found.hexdigest()

    def describe(self):
        """Return one line: documents, bytes, the hash's first 16 digits."""
        return (
            f"{len(self):,} documents, {self.num_bytes:,} bytes, "
            f"content hash {self.content_hash[:16]}"
        )


def default_corpus(split="train", max_bytes=None):
    """Return English text that comes with Python and the dependencies.

    A document is one help topic, or all docstrings of one module in source
    order, joined by blank lines; a docstring that occurs twice is kept once.
    Sources are parsed, never imported. The first call takes about half a
    minute; later ones read a cache in `$KERAS_NC_CACHE`, or `keras_nc` under
    `$XDG_CACHE_HOME` or `~/.cache`. Documents come in the order of a hash of
    their names, so that any part of the corpus is mixed text, and the same
    hash assigns one in 32 to validation.

    Args:
        split: `"train"` or `"validation"`.
        max_bytes: upper bound of the size in bytes, or None for the whole
            split. Documents are taken in order; those that do not fit are
            skipped.

    Returns:
        A `Corpus`.

    Raises:
        ValueError: on another split, or if no document fits `max_bytes`.
        RuntimeError: if this installation holds no source text at all.

    Example:
    >>> from keras_nc.data import default_corpus
    >>> corpus = default_corpus("validation", max_bytes=10_000)
    >>> 5_000 < corpus.num_bytes <= 10_000
    True
    >>> b"the" in b" ".join(corpus)
    True
    """
    split = as_choice("split", split, _SPLITS)
    if isinstance(max_bytes, numbers.Integral):
        max_bytes = int(max_bytes)  # small NumPy integers would overflow
    documents = _documents_of(cache_file(FORMAT_VERSION, PACKAGES))
    chosen = []
    room = float("inf") if max_bytes is None else max_bytes
    for name, document in documents:
        if split_of(name) == split and len(document) <= room:
            chosen.append((name, document))
            room -= len(document)
    if not chosen:
        raise ValueError(
            f"No document of the default corpus fits `max_bytes`. Received: "
            f"max_bytes={max_bytes}. Use 10,000 or more."
        )
    names, texts = zip(*chosen, strict=True)
    corpus = Corpus(documents=texts, names=names)
    logging.info("Default corpus, %s: %s.", split, corpus.describe())
    return corpus


def split_of(name):
    """Return the split, a str, to which the document `name` belongs."""
    remainder = int(fingerprint_of(name)[-8:], 16) % _VALIDATION_MODULUS
    return _SPLITS[remainder == _VALIDATION_REMAINDER]


def build_documents(packages=PACKAGES):
    """Read all documents from the sources, without the cache.

    Args:
        packages: sequence of str, names of packages; `"stdlib"` is the
            standard library. Those not installed are skipped.

    Returns:
        A tuple of pairs of name, str, and document, bytes, in the order of
        the hashes of the names.

    Raises:
        RuntimeError: if there is no document.
    """
    seen = set()
    documents = []
    with ProgressLine("Reading docstrings") as progress:
        for package in packages:
            modules = docstrings.find_modules(package)
            if not modules:
                logging.info("Default corpus: %s is not installed.", package)
            for module, path in modules:
                size = 0
                for name, texts in _read_module(module, path):
                    document = _join(texts, seen)
                    if len(document) >= _MIN_DOCUMENT_BYTES:
                        documents.append((name, document))
                        size += len(document)
                progress.update(size, module)
    if not documents:
        raise RuntimeError(
            "The default corpus needs the Python sources of the standard "
            f"library or of one of {', '.join(packages[1:])}. Received: an "
            "installation where none was found. Pass text of your own, for "
            "example with `keras_nc.data.read_documents`."
        )
    return tuple(sorted(documents, key=lambda item: fingerprint_of(item[0])))


def _read_module(module, path):
    """Yield the name and the texts of each document in a source file."""
    try:
        source = path.read_bytes()
    except OSError as error:
        logging.info("Default corpus: cannot read %s (%s).", path, error)
        return
    if module == _TOPICS:
        for topic, text in docstrings.extract_topics(source).items():
            yield f"{module}/{topic}", [text.strip()]
    else:
        yield module, docstrings.extract_docstrings(source)


def _join(texts, seen):
    """Join the texts that are new, and add them to those seen."""
    fresh = []
    for text in texts:
        if text not in seen:
            seen.add(text)
            fresh.append(text)
    # A string literal may hold half a surrogate pair, which UTF-8 does not.
    return "\n\n".join(fresh).encode("utf-8", "replace")


def load_documents(file):
    """Return the documents of a cache file; build and write it if needed."""
    documents = read_cache(file)
    if documents is None:
        documents = build_documents()
        write_cache(file, documents)
    return documents


_documents_of = functools.lru_cache(maxsize=1)(load_documents)


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
    key = fingerprint_of("\n".join(parts))
    return cache_directory() / f"default-corpus-{key[:16]}.json.zst"


def write_cache(file, documents):
    """Write documents to the cache; if the disk refuses, only log it.

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


def read_cache(file):
    """Read documents from the cache.

    Args:
        file: `pathlib.Path`.

    Returns:
        A tuple of pairs of name and document, or None if the file is missing
        or damaged.
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
