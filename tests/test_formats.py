"""Files can be read from their documentation, without the package."""

import inspect
import io
import itertools
import lzma
import sys
import zlib

import numpy as np
import pytest

from keras_nc.cli.block_coders import CodeBlocks
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.encode import encode_stream
from keras_nc.coding import AdaptiveCoder
from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.data import write_shards
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
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
        allocation="arithmetic",
        rounds=0,
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


@pytest.mark.parametrize(
    "window_bits, token_bits", [(24, 16), (40, 8), (128, 16)]
)
def test_live_windows_of_counts(tmp_path, window_bits, token_bits):
    # Cache and model differ, and the cache counts.
    other = UnigramModel.from_text(DOCUMENTS[0])
    cache = PrefixCache.build(
        stepper_for(other, 4, 64), DOCUMENTS, window_bits=64, max_prefixes=40
    )
    model = UnigramModel.from_text(b"".join(DOCUMENTS))
    tokenizer = LiveWindowTokenizer(model, window_bits, token_bits, cache)
    tokenizer.scheme.save_assets(tmp_path)
    f = np.floor(model.probabilities([b""])[0] * 2**24).astype(int).tolist()
    table = independent_decoder.read_cache(tmp_path / "prefix_cache.npz")
    assert len(table) == 40 and max(map(len, table)) > 1
    for document in DOCUMENTS:
        ids = tokenizer(document).tolist()
        data = b"".join((i - 3).to_bytes(token_bits // 8, "big") for i in ids)
        data, crc = data[:-4], data[-4:]
        assert crc == zlib.crc32(document).to_bytes(4, "big")
        found = independent_decoder.decode_live_windows(
            data, window_bits, f, table
        )
        assert found == document


@pytest.mark.parametrize("parse", ["greedy", "likely"])
def test_encoded_files(monkeypatch, tmp_path, parse):
    codebook = Codebook.build(
        UnigramModel.from_text(b"".join(DOCUMENTS)),
        DOCUMENTS,
        window_bits=10,
        parse=parse,
        prune=parse != "greedy",
        allocation="arithmetic",
        rounds=0,
    )
    codebook.save(tmp_path / "codebook.npz")
    windows = independent_decoder.read_codebook(tmp_path / "codebook.npz")
    costs = independent_decoder.read_costs(tmp_path / "codebook.npz")
    # Repeats, so that guesses are made; noise that is stored as it is; and a
    # table, which LZMA packs best.
    code = DOCUMENTS[-1]
    table = b"".join(b"%d;%d\xd0\xb0\n" % (i, i * i) for i in range(2000))
    code += code[500:2000] + code[:1000]
    texts = (code, bytes(range(256)), table, b"")
    for text, module in itertools.product(texts, (lzma, None)):
        monkeypatch.setitem(sys.modules, "lzma", module)
        sink = io.BytesIO()
        encode_stream(CodeBlocks(codebook), io.BytesIO(text), sink)
        data = sink.getvalue()
        found = independent_decoder.read_encoded(data, windows, costs)
        assert found == text
        blocks = list(ContainerReader(io.BytesIO(data)).blocks())
        assert module or not any(block.by_lzma for block in blocks)
        assert not module or text != table or blocks[0].by_lzma


@pytest.mark.parametrize("vocabulary", [9, 200, 3000, 5000])
@pytest.mark.parametrize("has_costs", [False, True])
def test_codes_of_every_number_of_digits(vocabulary, has_costs):
    rng = np.random.default_rng(vocabulary)
    costs = rng.integers(0, 1 << 14, vocabulary).astype(np.uint16)
    ids = rng.integers(0, vocabulary, 300) ** 2 // vocabulary
    ids = np.concatenate([ids, ids[:200], ids[150:300], ids[:60]])
    coder = AdaptiveCoder(
        np.ones(vocabulary, bool), costs if has_costs else None
    )
    found = independent_decoder.decode_adaptive(
        coder.encode(ids),
        ids.size,
        [b"a"] * vocabulary,
        costs.tolist() if has_costs else None,
    )
    assert found == ids.tolist()
