"""The default corpus: English text that every installation has.

Training, tests and tutorials need text without a download. The sources are the
help topics of Python, and the docstrings of the standard library and of the
dependencies of keras_nc: some 18 MB of English prose, code and tables. The text
depends on the installed versions, so the content hash identifies it.
"""

import functools
import hashlib
import numbers

from absl import logging

from keras_nc.data import corpus_cache
from keras_nc.data import docstrings
from keras_nc.data.corpus import Corpus
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
    if split not in _SPLITS:
        raise ValueError(
            f"`split` must be one of {_SPLITS}. Received: split={split!r}"
        )
    if isinstance(max_bytes, numbers.Integral):
        max_bytes = int(max_bytes)  # small NumPy integers would overflow
    documents = _load(corpus_cache.cache_file(FORMAT_VERSION, PACKAGES))
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
    remainder = int.from_bytes(_digest(name)[-4:], "big") % _VALIDATION_MODULUS
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
            f"library or of one of {', '.join(packages[1:])}; none was found. "
            "Give text of your own, e.g. with keras_nc.data.read_documents."
        )
    return tuple(sorted(documents, key=lambda item: _digest(item[0])))


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


def _digest(name):
    return hashlib.sha256(name.encode()).digest()


@functools.lru_cache(maxsize=1)
def _load(file):
    documents = corpus_cache.read(file)
    if documents is None:
        documents = build_documents()
        corpus_cache.write(file, documents)
    return documents
