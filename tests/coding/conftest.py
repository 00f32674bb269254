import inspect
import pathlib

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel

SIZES = [(9, "arithmetic"), (12, "arithmetic"), (16, "arithmetic")]
SIZES += [(W, "tunstall") for W, _ in SIZES]

#: Windows of the model alone, cut as the paper cuts them.
UNREFINED = dict(parse="greedy", prune=False, rounds=0)

#: Special tokens: one is the start of another, one is not ASCII.
CHAT = ["<|user|>", "<|user|>2", "<|end|>", "\u65e5\u672c \u00e9"]
TEXTS = [
    "",
    "a",
    "\0a\0\0",
    "The shells she sells are sea shells, I'm sure.\n\n  So it is.  ",
    "def f(x):\n\treturn [x ** 2 for x in range(10)]\n" * 9,
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u65e5\u672c\u8a9e",
    "\U0001f642\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7\u65e5\u672c"
    "\u65e5\u672c \u00e9",
    "a" * 3000 + " " * 2000 + "\n" * 500,
    "abab" * 500,
    "<pad>\u27e8pad\u27e9\u27e80\u27e9<s></s><unk>\u0120\u010a",
    "".join(map(chr, range(1, 0x3000, 7))),
]


def windows_of(codebook):
    """Return the windows by their ids."""
    return {
        i: codebook.token_bytes(i)
        for i in np.flatnonzero(codebook.token_lengths).tolist()
    }


@pytest.fixture(scope="session")
def text():
    return pathlib.Path(inspect.__file__).read_bytes()


@pytest.fixture(scope="session")
def ngram(text):
    return NGramModel.from_text(text, order=3)


@pytest.fixture(scope="session")
def codebooks(ngram):
    return {
        (W, allocation): Codebook.build(
            ngram, window_bits=W, allocation=allocation, **UNREFINED
        )
        for W, allocation in SIZES
    }


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[1]}{size[0]}")
def codebook(request, codebooks):
    return codebooks[request.param]


@pytest.fixture(scope="session")
def arithmetic9(codebooks):
    return codebooks[9, "arithmetic"]


@pytest.fixture(scope="session")
def geometric():
    """Integer counts that halve from byte to byte: no float decides."""
    return UnigramModel(np.maximum(1, (1 << 20) >> np.arange(256).clip(max=30)))


@pytest.fixture(scope="session")
def books(text):
    text = text[:30_000]
    model = NGramModel.from_text(text, order=3)
    settings = dict(units="any", window_bits=10)
    return {
        parse: Codebook.build(model, text, parse=parse, **settings)
        for parse in ("aligned", "likely", "likely_aligned")
    } | {"likely_words": Codebook.build(text=text, window_bits=10)}


@pytest.fixture(scope="session")
def chat(books):
    return TextTokenizer(books["likely"], CHAT)
