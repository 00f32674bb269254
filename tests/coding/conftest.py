import inspect
import pathlib

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel

SIZES = [(9, "arithmetic"), (12, "arithmetic"), (16, "arithmetic")]
SIZES += [(W, "tunstall") for W, _ in SIZES]

#: Windows of the model alone, cut as the paper cuts them.
UNREFINED = dict(parse="greedy", prune=False, rounds=0)


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
