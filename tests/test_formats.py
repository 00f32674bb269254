"""Files can be read by what their documentation says, without the package."""

import inspect
import zlib

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.data import write_shards
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from tests import independent_decoder

DOCUMENTS = [
    b"she sells sea shells",
    b"",
    b"\x00\xff" * 20,
    inspect.getsource(inspect).encode()[:5000],
]


@pytest.mark.parametrize("token_bits", [12, 6, 4])
@pytest.mark.parametrize("parse", ["greedy", "likely_aligned"])
def test_shards_of_windows(tmp_path, token_bits, parse):
    codebook = Codebook.build(
        UnigramModel.from_text(b"".join(DOCUMENTS)),
        DOCUMENTS,
        window_bits=12,
        parse=parse,
        prune=parse != "greedy",
    )
    codebook.save(tmp_path / "codebook.npz")
    tokenizer = EqualInfoTokenizer(codebook, token_bits)
    write_shards(DOCUMENTS, tokenizer, tmp_path / "shards", progress=False)
    windows = independent_decoder.read_codebook(tmp_path / "codebook.npz")
    rows = independent_decoder.read_shards(tmp_path / "shards")
    texts = [
        independent_decoder.decode_windows(windows, ids, 12, token_bits)
        for ids in rows
    ]
    assert texts == DOCUMENTS


@pytest.mark.parametrize("precision", [14, 24])
def test_streams_of_counts(precision):
    counts = np.bincount(list(b"".join(DOCUMENTS)), minlength=256)
    tokenizer = ArithmeticTokenizer(UnigramModel(counts), precision=precision)
    f = np.floor(tokenizer.scheme.model.probabilities([b""])[0] * 2**24)
    for document in filter(None, DOCUMENTS):
        stream = bytes(i - 3 for i in tokenizer(document).tolist())
        found = independent_decoder.decode_stream(
            stream, f.astype(int).tolist(), precision
        )
        assert found == document
        assert zlib.crc32(document).to_bytes(4, "big") in stream[:6]
