"""The whole path: text, codebook, shards, M2, bits per byte, text."""

import math

import keras
import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.data import PackedSequences
from keras_nc.data import default_corpus
from keras_nc.data import write_shards
from keras_nc.entropy_models import NGramModel
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import CompressedCausalLMPreprocessor
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

SEQUENCE_LENGTH = 128
BATCH_SIZE = 8
STEPS = 80


@pytest.fixture(scope="module")
def documents():
    return {
        "train": list(default_corpus("train", max_bytes=1_000_000)),
        "validation": list(default_corpus("validation", max_bytes=100_000)),
    }


@pytest.fixture(scope="module")
def tokenizer(documents):
    train = documents["train"]
    codebook = Codebook.build(
        NGramModel.from_text(train),
        train,
        window_bits=10,
        allocation="tunstall",
        rounds=1,
        parse="greedy",
        prune=False,
    )
    return EqualInfoTokenizer(codebook)


@pytest.fixture(scope="module")
def shards(documents, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return {
        split: write_shards(texts, tokenizer, folder / split, progress=False)
        for split, texts in documents.items()
    }


def unigram_bits_per_byte(train, validation, vocabulary_size):
    counts = np.bincount(
        train.tokens(0, train.num_tokens), minlength=vocabulary_size
    )
    log2 = np.log2((counts + 1.0) / (counts.sum() + vocabulary_size))
    ids = validation.tokens(0, validation.num_tokens)
    return -log2[ids].sum() / validation.num_bytes


def test_a_tiny_m2_learns(shards, tokenizer, capsys):
    train, validation = shards["train"], shards["validation"]
    vocabulary_size = tokenizer.vocabulary_size()
    causal_lm = CompressedCausalLM(
        CompressedBackbone(
            vocabulary_size,
            num_layers=2,
            num_heads=4,
            hidden_dim=64,
            intermediate_dim=192,
        ),
        CompressedCausalLMPreprocessor(tokenizer, SEQUENCE_LENGTH),
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-4, STEPS, warmup_target=0.01, warmup_steps=STEPS // 10
    )
    causal_lm.compile(keras.optimizers.AdamW(schedule), sampler="greedy")
    causal_lm.fit(
        PackedSequences(train, SEQUENCE_LENGTH, BATCH_SIZE, steps=STEPS),
        verbose=0,
    )
    held_out = PackedSequences(
        validation, SEQUENCE_LENGTH, BATCH_SIZE, shuffle=False
    )
    result = causal_lm.evaluate(held_out, verbose=0, return_dict=True)

    # By hand: mean nats of every token once, over the bytes of the documents.
    found = result["bits_per_byte"]
    nats = sum_of_nats(causal_lm, held_out)
    by_hand = nats / (math.log(2) * validation.num_bytes)
    assert found == pytest.approx(by_hand, rel=1e-5)

    ratio = validation.num_tokens / validation.num_bytes
    uniform = math.log2(vocabulary_size) * ratio
    unigram = unigram_bits_per_byte(train, validation, vocabulary_size)
    with capsys.disabled():
        print(
            f"\n{keras.backend.backend()}: {1 / ratio:.3f} bytes/token; "
            f"bits/byte: M2 {found:.3f}, unigram {unigram:.3f}, "
            f"uniform {uniform:.3f}"
        )
    assert found < unigram - 0.4 < uniform - 0.4

    prompt = "Returns the "
    assert causal_lm.generate(prompt, max_length=24).startswith(prompt)


def sum_of_nats(causal_lm, sequences):
    total = 0.0
    for i in range(len(sequences)):
        x, y, weight = sequences[i]
        nats = causal_lm({**x, "target_ids": y})
        nats = keras.ops.convert_to_numpy(nats).astype("float64")
        total += (nats * weight).sum()
    return total


def test_restarted_training_sees_the_same_batches(shards):
    train = shards["train"]
    data = PackedSequences(train, 64, 4, seed=3, steps=20)
    rest = PackedSequences(train, 64, 4, seed=3, steps=8, start_step=12)
    for i in range(8):
        for a, b in zip(
            keras.tree.flatten(data[12 + i]),
            keras.tree.flatten(rest[i]),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_tokens_decode_to_the_documents(shards, documents, tokenizer):
    for split, texts in documents.items():
        for i in range(0, len(texts), 37):
            ids = shards[split].document(i)
            assert ids[-1] == tokenizer.end_token_id
            assert tokenizer.detokenize(ids[:-1]) == texts[i]
