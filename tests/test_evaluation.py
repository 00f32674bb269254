import gzip
import itertools
import lzma
import math
import random
import sys

import brotli
import keras
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keras_nc import evaluation
from keras_nc.data import PackedSequences
from keras_nc.data import write_shards
from keras_nc.evaluation import compressors_bits_per_byte
from keras_nc.evaluation import instability
from keras_nc.evaluation import levenshtein
from keras_nc.models import ByteBackbone
from keras_nc.models import CompressedBackbone
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")
TEXTS = [b"to be or not to be", b"that is the question", b"?"]


@pytest.fixture
def byte_shards(tmp_path):
    return write_shards(TEXTS, ByteTokenizer(), tmp_path / "bytes")


def test_bits_per_byte_are_the_nats_of_all_tokens(make_m1, byte_shards):
    model = make_m1()
    before = model.optimizer
    got = evaluation.bits_per_byte(
        model, byte_shards, sequence_length=8, batch_size=2, progress=False
    )
    assert model.optimizer is before
    nats = 0.0
    for x, y, weight in PackedSequences(
        byte_shards, 8, batch_size=1, shuffle=False
    ):
        logits = keras.ops.convert_to_numpy(model(x)).astype("float64")
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        scores = np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        nats -= (scores * weight).sum()
    expected = nats / math.log(2) / sum(map(len, TEXTS))
    assert got == pytest.approx(expected, rel=1e-5)


def test_split_windows_are_scored_too(make_m2, codebooks, tmp_path):
    tokenizer = EqualInfoTokenizer(codebooks[12], token_bits=4)
    shards = write_shards(TEXTS, tokenizer, tmp_path)
    model = make_m2(tokenizer)
    got = evaluation.bits_per_byte(
        model, shards, sequence_length=8, batch_size=2, progress=False
    )
    assert 0.5 < got / evaluation.uniform_bits_per_byte(shards) < 2


def test_shards_of_another_tokenizer_are_refused(
    make_m2, codebooks, byte_shards
):
    model = make_m2(EqualInfoTokenizer(codebooks[12]))
    with pytest.raises(ValueError, match="the tokenizer that made them"):
        evaluation.bits_per_byte(
            model, byte_shards, sequence_length=8, batch_size=2
        )


def test_uniform_and_unigram(byte_shards, tmp_path):
    tokens, size = byte_shards.num_tokens, byte_shards.num_bytes
    assert evaluation.uniform_bits_per_byte(byte_shards) == pytest.approx(
        math.log2(259) * tokens / size
    )
    counts = evaluation.token_counts(byte_shards)
    assert counts.sum() == tokens and counts[2] == len(TEXTS)
    probability = (counts + 1) / (tokens + 259)
    expected = -(counts * np.log2(probability)).sum() / size
    got = evaluation.unigram_bits_per_byte(byte_shards, byte_shards)
    assert got == pytest.approx(expected)


def test_unigram_refuses_other_tokens(byte_shards, codebooks, tmp_path):
    tokenizer = EqualInfoTokenizer(codebooks[12])
    other = write_shards(TEXTS, tokenizer, tmp_path / "windows")
    with pytest.raises(ValueError, match="the tokenizer that made them"):
        evaluation.unigram_bits_per_byte(byte_shards, other)


def test_flops_of_the_papers_sizes():
    """25m over windows of 5.31 bytes: 15.4M with the 6.0M of M1 (table 2)."""
    with keras.StatelessScope():
        m2 = CompressedBackbone.from_size("25m", 65_536)
        m1 = ByteBackbone.from_size("3m")
    flops = evaluation.flops_per_byte(m2, 5.31, m1)
    # The paper's 6.0M for M1 are 1.91 FLOPs per parameter, not two.
    assert flops.paper == pytest.approx(15.4e6, rel=0.03)
    assert flops.run == pytest.approx(2 * 25.17e6 / 5.31, rel=0.01)
    assert flops.with_logits - flops.run == pytest.approx(
        2 * 65_536 * 512 / 5.31
    )


def test_flops_need_a_ratio():
    with keras.StatelessScope():
        m1 = ByteBackbone.from_size("3m")
    with pytest.raises(ValueError, match="bytes_per_token=0"):
        evaluation.flops_per_byte(m1, 0)


def test_nothing_to_score_is_refused(make_m1, byte_shards, tmp_path):
    empty = write_shards([b"", b""], ByteTokenizer(), tmp_path / "empty")
    model = make_m1(num_layers=1)
    for score in (
        lambda: evaluation.uniform_bits_per_byte(empty),
        lambda: evaluation.unigram_bits_per_byte(byte_shards, empty),
        lambda: evaluation.unigram_bits_per_byte(empty, empty),
        lambda: evaluation.bits_per_byte(
            model, empty, sequence_length=8, batch_size=2
        ),
    ):
        with pytest.raises(ValueError, match=r"2 documents of 0 bytes\."):
            score()
    # Empty documents count, too: they have end ids.
    assert evaluation.token_counts(empty).tolist()[:4] == [0, 0, 2, 0]
    got = evaluation.unigram_bits_per_byte(empty, byte_shards)
    assert 8 < got < math.inf


def test_end_ids_alone_have_no_bits_per_byte(make_m1, tmp_path):
    empty = write_shards([b"", b""], ByteTokenizer(), tmp_path / "empty")
    model = make_m1(num_layers=1)
    batches = PackedSequences(empty, 8, batch_size=1, shuffle=False)
    result = model.evaluate(batches, verbose=0, return_dict=True)
    assert math.isfinite(result["loss"])
    assert math.isnan(result["bits_per_byte"])


def test_numpy_numbers_are_settings(make_m1, byte_shards):
    model = make_m1(num_layers=1)
    scores = [
        evaluation.bits_per_byte(
            model,
            byte_shards,
            sequence_length=kind(8),
            batch_size=kind(2),
            progress=False,
        )
        for kind in (int, np.int64, np.uint8)
    ]
    assert scores[0] == scores[1] == scores[2]
    for odd in (0, 8.0):
        with pytest.raises((TypeError, ValueError), match="sequence_length"):
            evaluation.bits_per_byte(
                model, byte_shards, sequence_length=odd, batch_size=2
            )
    for ratio in (math.inf, math.nan, -1):
        with pytest.raises(ValueError, match="positive and finite"):
            evaluation.flops_per_byte(model.backbone, ratio)
    ratio = np.float32(2)
    flops = evaluation.flops_per_byte(model.backbone, ratio)
    assert flops == evaluation.flops_per_byte(model.backbone, 2)


NAMES = ["gzip -9", "xz -9e", "zstd -19", "brotli -11"]


def test_english_compresses_and_noise_does_not(text):
    english = compressors_bits_per_byte([text[:50_000]])
    noise = compressors_bits_per_byte([random.Random(0).randbytes(50_000)])
    assert list(english) == list(noise) == NAMES
    for name in NAMES:
        assert 1.5 < english[name] < 3
        assert 8 <= noise[name] < 8.1


def test_documents_are_one_stream(text):
    joined = compressors_bits_per_byte(text[:9_000])
    parts = [text[i : i + 3_000] for i in range(0, 9_000, 3_000)]
    assert compressors_bits_per_byte(parts) == joined
    # The second half repeats the first, so it costs next to no bits.
    twice = compressors_bits_per_byte([text[:9_000]] * 2)
    for name in NAMES:
        assert twice[name] < 0.55 * joined[name]


def test_levels_are_the_strongest(text):
    text = text[:3_000]
    shortest = {
        "gzip -9": min(len(gzip.compress(text, n)) for n in range(1, 10)),
        "xz -9e": min(len(lzma.compress(text, preset=n)) for n in range(10)),
        "zstd -19": len(zstandard.compress(text, 3)),
        "brotli -11": min(
            len(brotli.compress(text, quality=n)) for n in range(11)
        ),
    }
    bits = compressors_bits_per_byte(text)
    for name, size in shortest.items():
        # A weaker level may happen to be a byte or two shorter.
        assert bits[name] <= 8 * (size + 2) / len(text)


@pytest.mark.parametrize("documents", [[], b"", [b"", b""]])
def test_no_text(documents):
    with pytest.raises(ValueError, match="at least one byte"):
        compressors_bits_per_byte(documents)


@pytest.mark.parametrize("documents", [5, [1, 2], {"text": 1}])
def test_what_is_no_text_is_refused(documents):
    with pytest.raises(TypeError, match="bytes"):
        compressors_bits_per_byte(documents)


def test_brotli_is_in_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(ImportError, match=r"\[recipes\]"):
        compressors_bits_per_byte(b"text")


SENTENCE = b" is the first word of a sentence that has a good many more."
WORDS = [b"This", b"Here", b"What", b"Else"]
texts = st.text("ab", max_size=6)


@given(a=texts, b=texts, c=texts)
def test_levenshtein_is_a_distance(a, b, c):
    assert (levenshtein(a, b) == 0) == (a == b)
    assert levenshtein(a, b) == levenshtein(b, a)
    assert levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c)
    assert abs(len(a) - len(b)) <= levenshtein(a, b) <= max(len(a), len(b))
    assert levenshtein(a + c, b + c) <= levenshtein(a, b)


def test_bytes_change_as_the_words_do():
    changed = instability(ByteTokenizer(), SENTENCE, WORDS)
    distances = [levenshtein(a, b) for a, b in itertools.pairwise(WORDS)]
    expected = sum(distances) / 3 / len(WORDS[0] + SENTENCE)
    assert changed == pytest.approx(expected)


def test_windows_fall_into_step_and_chains_do_not(codebooks):
    class Chained:
        """Every token depends on all text before."""

        def encode_batch(self, documents):
            ids, offsets = ByteTokenizer().encode_batch(documents)
            for i, j in itertools.pairwise(offsets):
                state = random.Random(bytes(documents[0]))
                for at in range(i, j):
                    state = random.Random(state.random() + int(ids[at]))
                    ids[at] = state.randrange(256)
            return ids, offsets

    windows = instability(EqualInfoTokenizer(codebooks[12]), SENTENCE, WORDS)
    assert windows < 0.5 < 0.9 < instability(Chained(), SENTENCE, WORDS)


def test_one_word_is_too_few():
    with pytest.raises(ValueError, match="two first words"):
        instability(ByteTokenizer(), SENTENCE, [b"This"])


def test_no_bytes_have_no_stability():
    with pytest.raises(ValueError, match="an empty sentence"):
        instability(ByteTokenizer(), b"", [b"", b""])
    assert instability(ByteTokenizer(), b"", [b"a", b""]) == 2


def test_str_is_text_too():
    tokenizer = ByteTokenizer()
    words = [word.decode() for word in WORDS]
    got = instability(tokenizer, SENTENCE.decode(), words)
    assert got == instability(tokenizer, SENTENCE, WORDS)
    with pytest.raises(ValueError, match="two first words"):
        instability(tokenizer, SENTENCE, "This")
