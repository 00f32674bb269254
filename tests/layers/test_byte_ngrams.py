import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_nc.layers import TokenEmbedding
from keras_nc.layers.byte_ngrams import NGRAM_ROWS
from keras_nc.layers.byte_ngrams import RowSums
from keras_nc.layers.byte_ngrams import ngram_rows
from keras_nc.layers.byte_ngrams import pack_vocabulary
from keras_nc.layers.byte_ngrams import to_vocabulary
from keras_nc.layers.byte_ngrams import unpack_vocabulary

TOKENS = [b"", b"a", b"\x00", b"\xff", b" the", b"the", b"aaaa", b"x" * 300]


def row_of(ngram):
    """Hash symbols: byte b is b + 1, the marks are 257 and 258."""
    key = 0
    for symbol in ngram:
        key = key * 259 + symbol
    return (key * 0x9E3779B97F4A7C15) % 2**64 >> 51


def test_every_ngram_of_a_token_counts():
    rows, offsets = ngram_rows(TOKENS)
    assert np.diff(offsets).tolist() == [3 * len(token) for token in TOKENS]
    for token, (start, end) in zip(
        TOKENS, itertools.pairwise(offsets), strict=True
    ):
        symbols = [257, *(byte + 1 for byte in token), 258] if token else []
        expected = [
            row_of(symbols[i : i + size])
            for size in (2, 3, 4)
            for i in range(len(symbols) - size + 1)
        ]
        assert sorted(rows[start:end].tolist()) == sorted(expected)


def test_rows_are_a_format():
    rows, _ = ngram_rows([b" the"])
    assert NGRAM_ROWS == 8192
    assert rows.tolist() == [
        4845,
        5295,
        1454,
        3881,
        5527,
        4196,
        2715,
        161,
        1348,
        4759,
        7372,
        4574,
    ]


@pytest.mark.parametrize("tokens", [[], [b""], [b"", b""]])
def test_no_bytes_no_ngrams(tokens):
    rows, offsets = ngram_rows(tokens)
    assert len(rows) == 0 and offsets.tolist() == [0] * (len(tokens) + 1)


def test_sums_of_lists_of_any_length():
    rng = np.random.default_rng(0)
    lengths = np.array([0, 1, 2, 15, 16, 17, 33, 256, 300, 0, 5000, 0])
    indices = rng.integers(0, 50, lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    table = rng.normal(size=(60, 3)).astype("float32")
    expected = [
        table[indices[start:end]].sum(axis=0, dtype="float64")
        for start, end in itertools.pairwise(offsets)
    ]
    sums = RowSums(indices, offsets, 60)(ops.convert_to_tensor(table))
    np.testing.assert_allclose(
        ops.convert_to_numpy(sums), expected, rtol=1e-5, atol=1e-4
    )


def test_sums_of_nothing():
    sums = RowSums(np.zeros(0, "int32"), np.zeros(4, "int64"), 5)
    table = ops.ones((5, 2))
    assert not ops.convert_to_numpy(sums(table)).any()


def test_vocabularies_as_text():
    for tokens in ([], [b""], TOKENS):
        packed = pack_vocabulary(tokens)
        assert packed.isascii() and unpack_vocabulary(packed) == tokens
        assert to_vocabulary(packed) == to_vocabulary(tokens) == tokens


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:-8],
        lambda packed: "#" + packed,
        lambda packed: packed[:20] + "AAAA" + packed[24:],
        lambda packed: "",
        lambda packed: "é",
    ],
)
def test_damaged_text_is_refused(change):
    packed = change(pack_vocabulary(TOKENS))
    with pytest.raises(ValueError, match="must be complete"):
        unpack_vocabulary(packed)


@pytest.mark.parametrize("given", [["a"], 3, {"a": 1}, b"abc", [b"a", None]])
def test_vocabularies_are_lists_of_bytes(given):
    with pytest.raises(ValueError, match="a tokenizer or a list of bytes"):
        TokenEmbedding(300, 4, given)


def test_a_row_is_a_free_vector_and_ngrams():
    embedding = TokenEmbedding(9, 4, TOKENS)
    embedding.build()
    rng = np.random.default_rng(0)
    free = ops.convert_to_numpy(embedding.embeddings).astype("float64")
    untrained = ops.convert_to_numpy(embedding.folded_table())
    np.testing.assert_array_equal(untrained, free)
    ngrams = rng.normal(size=(NGRAM_ROWS, 4)).astype("float32")
    embedding.ngrams.assign(ngrams)
    rows, offsets = ngram_rows(TOKENS)
    for i, (start, end) in enumerate(itertools.pairwise(offsets)):
        if end > start:
            vectors = ngrams[rows[start:end]]
            free[i] += vectors.sum(axis=0, dtype="float64") / np.sqrt(
                end - start
            )
    table = ops.convert_to_numpy(embedding.folded_table())
    # Rows without bytes, and those that are no ids, are free.
    np.testing.assert_allclose(table, free, atol=1e-3)
    ids = np.array([[0, 4, 8]])
    np.testing.assert_allclose(
        ops.convert_to_numpy(embedding(ids)),
        free[ids] * 2.0,
        rtol=1e-5,
        atol=1e-4,
    )
    hidden = rng.normal(size=(1, 2, 4)).astype("float32")
    logits = ops.convert_to_numpy(embedding(hidden, reverse=True))
    expected = (hidden @ free.T)[..., :9]
    np.testing.assert_allclose(logits[..., :9], expected, atol=5e-3)
    again = TokenEmbedding.from_config(embedding.get_config())
    assert again.get_config() == embedding.get_config()


def test_only_ids_of_the_vocabulary():
    with pytest.raises(ValueError, match="8 ids for vocabulary_size=7"):
        TokenEmbedding(7, 4, TOKENS)


def test_tables_made_from_bytes_are_not_quantized():
    with pytest.raises(ValueError, match="are not quantized"):
        TokenEmbedding(9, 4, TOKENS, dtype="int8_from_float32")
    embedding = TokenEmbedding(9, 4, TOKENS)
    embedding.build()
    with pytest.raises(ValueError, match="are not quantized"):
        embedding.quantize("int8", type_check=False)


def test_lora_freezes_ids_and_ngrams():
    embedding = TokenEmbedding(9, 4, TOKENS)
    embedding.build()
    embedding.enable_lora(2)
    names = [v.name for v in embedding.trainable_variables]
    assert names == ["lora_embeddings_a", "lora_embeddings_b"]
    embedding.lora_embeddings_b.assign(np.ones((2, 4)))
    saved = {}
    embedding.save_own_variables(saved)
    again = TokenEmbedding(9, 4, TOKENS)
    again.build()
    again.load_own_variables(
        {name: ops.convert_to_numpy(value) for name, value in saved.items()}
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(again.folded_table()),
        ops.convert_to_numpy(embedding.folded_table()),
        atol=1e-6,
    )


def test_the_shared_table_ends_with_the_step():
    embedding = TokenEmbedding(9, 4, TOKENS)
    embedding.build()
    with pytest.raises(KeyError), embedding.shared_table():
        first = embedding.table
        with embedding.shared_table():
            assert embedding.table is first
        assert embedding.table is first
        raise KeyError
    embedding.ngrams.assign(np.ones((NGRAM_ROWS, 4)))
    assert not np.allclose(
        ops.convert_to_numpy(embedding.table), ops.convert_to_numpy(first)
    )
    assert keras.ops.is_tensor(first)
