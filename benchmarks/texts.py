"""Text to measure on, from every installation, in four domains."""

import gettext
import glob
import pathlib
import random
import sys
import sysconfig
import unicodedata

from keras_nc.data import default_corpus
from keras_nc.data import read_documents
from keras_nc.data import take_bytes

#: Beginnings of the Unicode names of letters, by script.
SCRIPTS = ("GREEK", "CYRILLIC", "HEBREW", "ARABIC", "DEVANAGARI", "HIRAGANA")
#: The least bytes of real messages.
ENOUGH = 100_000
#: How many catalogues of a language to read; some systems have hundreds.
CATALOGUES = 4
#: Languages of many scripts for which translations are common.
LANGUAGES = (
    *("de", "fr", "es", "pl", "fi", "hu", "tr", "vi", "el", "ru", "uk", "bg"),
    *("ja", "ko", "zh_CN", "zh_TW", "ar", "he", "fa", "hi", "th", "ka"),
)


def training_text(patterns, max_bytes=None):
    """Return documents to learn from, a list of bytes.

    Args:
        patterns: Files to read, a list of str; none for the default corpus.
        max_bytes: int, or `None` for all.
    """
    if not patterns:
        return list(default_corpus("train", max_bytes))
    return _read(patterns, max_bytes, "data")


def held_out_text(patterns, max_bytes=None):
    """Return documents to measure on, a list of bytes."""
    if not patterns:
        return list(take_bytes(default_corpus("validation"), max_bytes))
    return _read(patterns, max_bytes, "held_out")


def _read(patterns, max_bytes, name):
    documents = list(take_bytes(read_documents(patterns), max_bytes))
    if not documents:
        raise ValueError(
            f"The text must not be empty. Received: no text in `{name}` "
            f"{' '.join(patterns)}. Give other files."
        )
    return documents


def pieces(documents, characters):
    """Cut documents into valid UTF-8 of a number of characters at most."""
    cut = []
    for document in documents:
        text = document.decode(errors="ignore").replace("\0", "")
        for start in range(0, len(text), characters):
            cut.append(text[start : start + characters].encode())
    return cut


def domains(max_bytes):
    """Return text of four kinds; tokenizers have learned from docstrings only.

    Args:
        max_bytes: int. Most bytes of each.

    Returns:
        A dict from what the text is to documents, a list of bytes.
    """
    return {
        "prose: held-out documents of the default corpus": held_out_text(
            [], max_bytes
        ),
        "source code: standard library, docstrings seen": list(
            take_bytes(_modules(), max_bytes)
        ),
        **_other_languages(max_bytes),
        "random bytes": [random.Random(0).randbytes(max_bytes)],
    }


def _modules():
    """Yield one module in five of the standard library."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "pydoc_data", "__pycache__"}
    paths = [
        path
        for path in sorted(root.rglob("*.py"))
        if not skipped & set(path.relative_to(root).parts)
    ]
    return (path.read_bytes() for path in paths[::5])


def _other_languages(max_bytes):
    """Return translations of programs' messages, or generated words."""
    documents = []
    for language in LANGUAGES:
        found = sorted(
            path
            for prefix in sorted({sys.prefix, "/usr"})
            for path in glob.glob(
                f"{prefix}/share/locale/{language}/LC_MESSAGES/*.mo"
            )
        )
        messages = [m for path in found[:CATALOGUES] for m in _messages(path)]
        if messages:
            documents.append("\n".join(messages).encode())
    if sum(map(len, documents)) < ENOUGH:
        label = "non-English: generated words of six scripts"
        return {label: list(take_bytes(_generated(), max_bytes))}
    each = max_bytes // len(documents)
    label = f"non-English: program messages in {len(documents)} languages"
    # Take an equal share of each language, and cut no character.
    cut = [d[:each].decode(errors="ignore").encode() for d in documents]
    return {label: cut}


def _messages(path):
    with open(path, "rb") as file:
        try:
            catalogue = gettext.GNUTranslations(file)
        except (OSError, ValueError, LookupError):  # a damaged one
            return []
    # The first message, without a name, describes the file.
    return [text for name, text in catalogue._catalog.items() if name and text]


def _generated():
    """Yield words of random letters, the n-th as frequent as 1 / n."""
    generator = random.Random(0)
    for script in SCRIPTS:
        letters = [
            chr(c)
            for c in range(0x300, 0x3100)
            if unicodedata.name(chr(c), "").startswith(f"{script} ")
            and unicodedata.category(chr(c)) in ("Ll", "Lo")
        ]
        words = [
            "".join(generator.choices(letters, k=generator.randint(2, 9)))
            for _ in range(5_000)
        ]
        weights = [1 / n for n in range(1, len(words) + 1)]
        text = " ".join(generator.choices(words, weights, k=20_000))
        yield text.encode()
