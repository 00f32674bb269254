"""Embeddings made from bytes: `embedding="bytes"`."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_nc.coding import Codebook
from keras_nc.entropy_models import UnigramModel
from keras_nc.evaluation import body_parameters
from keras_nc.evaluation import flops_per_byte
from keras_nc.evaluation import training_flops_per_token
from keras_nc.layers.byte_ngrams import NGRAM_ROWS
from keras_nc.layers.byte_ngrams import RowSums
from keras_nc.layers.byte_ngrams import ngram_rows
from keras_nc.models import ByteBackbone
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import CompressedCausalLMPreprocessor
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer

TINY = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16)
#: For so few steps TensorFlow need not compile.
JIT = keras.backend.backend() == "jax"
TEXTS = [b"to be or not", b"to be that is", b"the question", b"be"]


@pytest.fixture(scope="module")
def codebook():
    text = b"to be or not to be that is the question " * 9
    return Codebook.paper(UnigramModel.from_text(text), window_bits=9)


@pytest.fixture(scope="module")
def tokenizer(codebook):
    return EqualInfoTokenizer(codebook)


@pytest.fixture
def make(make_m2, tokenizer):
    """A function that makes a model with n-grams that are not zero."""

    def make(**kwargs):
        keras.utils.set_random_seed(0)
        model = make_m2(
            tokenizer,
            8,
            **{**TINY, "embedding": "bytes", "vocabulary": tokenizer, **kwargs},
        )
        ngrams = np.random.default_rng(0).normal(size=(NGRAM_ROWS, 16)) / 8
        model.backbone.token_embedding.ngrams.assign(ngrams)
        return model

    return make


def logits(model, batch):
    return ops.convert_to_numpy(model({k: v for k, v in batch.items()}))


def table_of(model):
    table = model.backbone.token_embedding.folded_table()
    return ops.convert_to_numpy(table)


@pytest.mark.parametrize("logits_bytes", [1 << 28, 4096 * 3])
def test_gradients(make, tokenizer, logits_bytes):
    model = make()
    x, y, weights = model.preprocessor(TEXTS)
    embedding = model.backbone.token_embedding
    model.compile(
        keras.optimizers.SGD(1.0),
        logits_bytes=logits_bytes,
        z_loss=0.1,
        jit_compile=JIT,
    )
    plain = model.fold_embedding()
    loss = plain.train_on_batch(x, y, weights)
    before = [
        ops.convert_to_numpy(v)
        for v in (embedding.embeddings, embedding.ngrams)
    ]
    found = model.train_on_batch(x, y, weights)
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    free, ngrams = (
        ops.convert_to_numpy(v) - old
        for v, old in zip(
            (embedding.embeddings, embedding.ngrams), before, strict=True
        )
    )
    # A free vector moves like that of a plain table. An n-gram's moves with all
    # ids that have it.
    moved = ops.convert_to_numpy(plain.backbone.token_embedding.embeddings)
    moved = moved - (table_of(model) - free - sums_of(tokenizer, ngrams))
    np.testing.assert_allclose(free, moved, atol=1e-5)
    rows, offsets = ngram_rows(tokenizer.get_vocabulary())
    counts = np.diff(offsets)
    expected = np.zeros_like(ngrams)
    scaled = free[: len(counts)] / np.sqrt(np.maximum(counts, 1))[:, None]
    np.add.at(expected, rows, np.repeat(scaled, counts, axis=0))
    assert np.abs(ngrams).max() > 1e-4
    np.testing.assert_allclose(ngrams, expected, atol=1e-5)


def sums_of(tokenizer, ngrams):
    """Return what vectors of n-grams add to a table."""
    rows, offsets = ngram_rows(tokenizer.get_vocabulary())
    counts = np.diff(offsets)
    sums = np.zeros((len(counts), ngrams.shape[1]))
    np.add.at(sums, np.repeat(np.arange(len(counts)), counts), ngrams[rows])
    return sums / np.sqrt(np.maximum(counts, 1))[:, None]


def test_a_step_computes_the_table_once(make, monkeypatch):
    model = make()
    x, y, _ = model.preprocessor(TEXTS)
    calls, add = [], RowSums.__call__
    monkeypatch.setattr(
        RowSums, "__call__", lambda *args: calls.append(1) or add(*args)
    )
    model(x)
    assert len(calls) == 1
    model.logits_bytes = 4096
    model({**x, "target_ids": y}, training=True)
    assert len(calls) == 2


def test_folding(make, tmp_path):
    model = make()
    model.compile(
        keras.optimizers.SGD(0.1),
        sampler="greedy",
        z_loss=1e-4,
        jit_compile=JIT,
    )
    folded = model.fold_embedding()
    assert type(folded) is CompressedCausalLM
    plain = folded.backbone
    assert plain.embedding == "plain"
    assert plain.token_embedding.packed_vocabulary is None
    added = NGRAM_ROWS * 16
    assert plain.count_params() == model.backbone.count_params() - added
    assert folded.z_loss == model.z_loss
    batch, *targets = model.preprocessor(TEXTS)
    expected = logits(model, batch)
    np.testing.assert_allclose(logits(folded, batch), expected, atol=1e-5)
    prompts = ["to b", b"that"]
    assert folded.generate(prompts) == model.generate(prompts)
    model.save_to_preset(tmp_path / "bytes")
    model.save_to_preset(tmp_path / "plain", fold_embedding=True)
    card = (tmp_path / "bytes" / "README.md").read_text()
    assert "made from bytes" in card and f"{model.count_params():,}" in card
    for name, saved in (("bytes", model), ("plain", folded)):
        again = CompressedCausalLM.from_preset(tmp_path / name)
        assert again.backbone.embedding == name
        assert again.backbone.get_config() == saved.backbone.get_config()
        np.testing.assert_allclose(logits(again, batch), expected, atol=1e-5)
    # Models do not share weights: one is trained, the other stays.
    folded.train_on_batch(batch, *targets)
    np.testing.assert_allclose(logits(model, batch), expected, atol=1e-6)


def test_folding_in_mixed_precision(make):
    model = make(dtype="mixed_bfloat16")
    folded = model.fold_embedding()
    # The table is rounded once, wherever it is used.
    ids = np.arange(512)[None]
    vectors = [
        ops.convert_to_numpy(
            ops.cast(each.backbone.token_embedding(ids), "float32")
        )
        for each in (model, folded)
    ]
    np.testing.assert_array_equal(*vectors)
    batch = model.preprocessor(TEXTS)[0]
    np.testing.assert_array_equal(logits(folded, batch), logits(model, batch))


def test_a_backbone_is_saved_without_its_tokenizer(make, tmp_path):
    backbone = make().backbone
    backbone.save_to_preset(tmp_path / "bytes")
    backbone.save_to_preset(tmp_path / "plain", fold_embedding=True)
    ids = np.array([[1, 70, 300]])
    batch = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    expected = ops.convert_to_numpy(backbone(batch))
    for name in ("bytes", "plain"):
        again = CompressedBackbone.from_preset(tmp_path / name)
        assert again.embedding == name
        found = ops.convert_to_numpy(again(batch))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    clone = keras.models.clone_model(backbone)
    clone.set_weights(backbone.get_weights())
    found = ops.convert_to_numpy(clone(batch))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("change", ["lora", "lora of the table", "quantize"])
def test_folding_of_changed_models(make, change):
    model = make()
    if change == "lora":
        model.backbone.enable_lora(2)
        query = model.backbone.transformer_layers[0].attention.query
        query.lora_kernel_b.assign(np.ones(query.lora_kernel_b.shape))
    elif change == "lora of the table":
        table = model.backbone.token_embedding
        table.enable_lora(2)
        table.lora_embeddings_b.assign(np.ones((2, 16)))
    else:
        model.quantize("int8")
    batch = model.preprocessor(TEXTS)[0]
    folded = model.fold_embedding()
    np.testing.assert_allclose(
        logits(folded, batch), logits(model, batch), atol=1e-4
    )


def test_every_kind_of_vocabulary(tokenizer):
    table = [
        CompressedBackbone(
            512, embedding="bytes", vocabulary=vocabulary, **TINY
        ).get_config()["vocabulary"]
        for vocabulary in (
            tokenizer,
            tokenizer.scheme,
            tokenizer.get_vocabulary(),
        )
    ]
    assert len(set(table)) == 1
    plain = CompressedBackbone(512, vocabulary=tokenizer, **TINY)
    assert "vocabulary" not in plain.get_config()
    # More ids than the tokenizer has.
    larger = CompressedBackbone(
        300, embedding="bytes", vocabulary=ByteTokenizer(), **TINY
    )
    preprocessor = CompressedCausalLMPreprocessor(ByteTokenizer(), 8)
    CompressedCausalLM(larger, preprocessor)


def test_what_is_counted(make):
    backbone = make().backbone
    plain = backbone.fold_embedding()
    table = backbone.token_embedding.count_params()
    assert table == (512 + NGRAM_ROWS) * 16
    assert body_parameters(backbone) == body_parameters(plain)
    assert flops_per_byte(backbone, 2.0) == flops_per_byte(plain, 2.0)
    assert training_flops_per_token(backbone, 8) == (
        training_flops_per_token(plain, 8)
    )


def test_what_is_refused(tokenizer, codebook):
    def create(vocabulary=tokenizer, embedding="bytes", **kwargs):
        return CompressedBackbone(
            512,
            embedding=embedding,
            vocabulary=vocabulary,
            **{**TINY, **kwargs},
        )

    with pytest.raises(ValueError, match="Received: embedding='hashes'"):
        create(embedding="hashes")
    with pytest.raises(ValueError, match="Pass `vocabulary=tokenizer`"):
        create(None)
    split = EqualInfoTokenizer(codebook, token_bits=3)
    for shared in (split, split.scheme, GZipTokenizer()):
        with pytest.raises(ValueError, match="in which several ids stand for"):
            create(shared)
    with pytest.raises(ValueError, match="512 ids for vocabulary_size=511"):
        CompressedBackbone(511, embedding="bytes", vocabulary=tokenizer, **TINY)
    with pytest.raises(ValueError, match="Single bytes have no n-grams"):
        ByteBackbone(embedding="bytes", vocabulary=ByteTokenizer(), **TINY)
    with pytest.raises(ValueError, match="vocabulary of another tokenizer"):
        CompressedCausalLM(
            create(), CompressedCausalLMPreprocessor(ByteTokenizer(), 8)
        )
    with pytest.raises(ValueError, match="are not quantized"):
        create(dtype="int8_from_float32")
