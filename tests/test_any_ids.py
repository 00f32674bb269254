"""Any row of ids gives the right result or one clear error.

Tests are also targets of `tests.fuzz_loaders`, so they take no fixtures.
"""

import functools

import numpy as np
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from tests.damage import ARRAYS
from tests.damage import PARSES
from tests.damage import TEXT
from tests.damage import codebook
from tests.damage import counts
from tests.damage import refusal


@functools.cache
def tokenizers():
    made = [EqualInfoTokenizer(codebook(parse)) for parse in PARSES]
    made.append(EqualInfoTokenizer(codebook(), token_bits=3))
    made += [GZipTokenizer(bits) for bits in (8, 16)]
    made += [ArithmeticTokenizer(counts(), bits) for bits in (8, 16)]
    made.append(ArithmeticTokenizer(UnigramModel.from_text(TEXT)))
    for W, N in ((24, 8), (32, 16)):
        made.append(LiveWindowTokenizer(counts(), window_bits=W, token_bits=N))
    return made


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.integers(0, 12),
    st.lists(st.integers(-2, 70_000)) | ARRAYS,
    st.booleans(),
)
def test_any_ids(which, ids, skip_special):
    tokenizer = tokenizers()[which]
    try:
        text = tokenizer.detokenize(ids, skip_special=skip_special)
    except (ValueError, TypeError) as error:
        assert "Received" in str(error), error
    else:  # the ids are those of the text, or another segmentation of it
        texts = text if isinstance(text, list) else [text]
        for text in texts:
            assert tokenizer.detokenize(tokenizer(text)) == text


@settings(deadline=None)  # the first one compiles kernels
@given(
    st.integers(0, 12),
    st.binary(max_size=80),
    st.lists(st.tuples(st.integers(0, 200), st.integers(3, 600)), max_size=3),
)
def test_changed_ids(which, text, changes):
    tokenizer = tokenizers()[which]
    ids = np.array(tokenizer(text))
    for at, value in changes:
        if ids.size:
            ids[at % ids.size] = value % tokenizer.vocabulary_size()
    with refusal():
        tokenizer.detokenize(ids)
