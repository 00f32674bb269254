"""Live windows as tokens: exact, checked, and saved with their model."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import keras_nc
from keras_nc.coding import PrefixCache
from keras_nc.coding import WindowCoder
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import LiveWindowTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

BITS = [(24, 8), (24, 16), (32, 8), (32, 16), (64, 16), (128, 8), (128, 16)]
TEXTS = [
    b"",
    b"a",
    b"trailing\x00\x00",
    b"\x00" * 200,
    "na\u00efve \U0001f600 text".encode(),
    b"\xc3(\xff invalid",
    b"the quick brown fox jumps over the lazy dog. " * 5,
]
exhaustive = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def counts(text):
    return NGramModel.from_text(text[:50000], order=3)


@pytest.fixture(scope="module")
def tokenizers(counts):
    return {
        (W, N): LiveWindowTokenizer(counts, W, N, batch_size=8) for W, N in BITS
    }


@pytest.fixture(scope="module")
def cache(counts, text):
    return PrefixCache.build(
        stepper_for(counts, 16, 1024),
        [text[:4000]],
        window_bits=24,
        max_prefixes=200,
    )


@pytest.fixture(params=BITS)
def tokenizer(request, tokenizers):
    return tokenizers[request.param]


def test_round_trip(tokenizer):
    rows = tokenizer(TEXTS)
    assert tokenizer.detokenize(rows) == TEXTS
    for text, row in zip(TEXTS, rows, strict=True):
        assert row.dtype == np.int32
        assert row.tolist() == tokenizer(text).tolist()
        assert tokenizer.detokenize(row) == text
        assert 3 <= row.min() <= row.max() < tokenizer.vocabulary_size()
        wrapped = [1, *row, 2, 0]
        assert tokenizer.detokenize(wrapped, skip_special=True) == text
    assert tokenizer([]) == []
    assert tokenizer.detokenize(np.zeros((0, 4), int)) == []


@exhaustive
@given(texts=st.lists(st.binary(max_size=120), min_size=1, max_size=4))
@pytest.mark.parametrize("bits", BITS)
def test_round_trip_of_any_bytes(tokenizers, bits, texts):
    tokenizer = tokenizers[bits]
    assert tokenizer.detokenize(tokenizer(texts)) == texts


@pytest.mark.parametrize("bits", BITS)
def test_ids_are_the_codes_bits(counts, tokenizers, bits):
    W, N = bits
    coder = WindowCoder(stepper_for(counts, 2, 1024), window_bits=W)
    bare = LiveWindowTokenizer(counts, W, N, checksum=False)
    for text in TEXTS:
        codes, _ = coder.encode_batch([text])
        words = codes.astype(np.uint64).reshape(-1).tolist()
        width = min(W, 64)
        bits = "".join(f"{word:0{width}b}" for word in words)
        bits += "0" * (-len(bits) % N)
        ids = [3 + int(bits[i : i + N], 2) for i in range(0, len(bits), N)]
        assert bare(text).tolist() == ids
        assert bare.detokenize(ids) == text
        # The checksum follows in 32 bits.
        uncut = tokenizers[W, N](text).tolist()
        assert uncut[: len(ids)] == ids
        assert len(uncut) == len(ids) + 32 // N
        assert bare.fingerprint != tokenizers[W, N].fingerprint


def test_the_checksum_is_a_crc32(tokenizers):
    # CRC-32 of "123456789" is the standard check value, 0xCBF43926.
    ids = tokenizers[32, 8](b"123456789").tolist()
    assert ids[-4:] == [3 + 0xCB, 3 + 0xF4, 3 + 0x39, 3 + 0x26]
    assert tokenizers[64, 16](b"").tolist() == [3, 3]


def test_another_result_is_refused(tokenizers, counts, text):
    """Other probabilities with the same fingerprint, as on another machine."""
    ids = tokenizers[32, 16](text[:500])
    other = LiveWindowTokenizer(counts, 32, 16)
    other.scheme._lazy_coder = WindowCoder(
        stepper_for(UnigramModel.from_text(text), 4, 1024), window_bits=32
    )
    with pytest.raises(ValueError, match=r"checksum|stands for none"):
        other.detokenize(ids)
    damaged = ids.copy()
    damaged[-1] = 3 + (damaged[-1] - 3 ^ 1)
    with pytest.raises(ValueError, match="checksum"):
        tokenizers[32, 16].detokenize(damaged)


def test_odd_ids_are_refused(tokenizers):
    for tokenizer in tokenizers.values():
        ids = tokenizer(TEXTS[-1]).tolist()
        for bad in (0, 1, 2, tokenizer.vocabulary_size(), -1):
            for odd in ([*ids, bad], [bad, *ids], [ids[0], bad, *ids[1:]]):
                with pytest.raises(ValueError, match=f"Received: id {bad}"):
                    tokenizer.detokenize(odd)
        with pytest.raises(ValueError, match="at position 1"):
            tokenizer.detokenize([ids[0], 2, *ids[1:]], skip_special=True)
        for cut in (ids[:-1], ids[1:], ids[:3], [], ids[:1]):
            with pytest.raises(ValueError, match="Received"):
                tokenizer.detokenize(cut)


def test_padding_bits_are_zero(counts):
    bare = LiveWindowTokenizer(counts, 24, 16, checksum=False)
    ids = bare(b"a")
    assert len(ids) == 2
    ids[-1] += 1
    with pytest.raises(ValueError, match="must be zero"):
        bare.detokenize(ids)
    with pytest.raises(ValueError, match="whole"):
        bare.detokenize(ids[:1])


def test_cut_rows_end_with_whole_windows(counts):
    for (W, N), length, count in [
        ((24, 16), 7, 6),
        ((24, 16), 5, 3),
        ((24, 16), 4, 3),
        ((64, 8), 20, 16),
        ((128, 16), 7, 0),
    ]:
        tokenizer = LiveWindowTokenizer(
            counts, W, N, checksum=False, sequence_length=length
        )
        row = tokenizer(TEXTS[-1] * 4)
        assert np.flatnonzero(row).size == count
        text = tokenizer.detokenize(row, skip_special=True)
        assert TEXTS[-1].startswith(text[:225]) and bool(text) == bool(count)


def test_tf_data_gives_the_same_ids_and_bytes(tokenizers):
    tf = pytest.importorskip("tensorflow")
    for bits in [(24, 16), (64, 16)]:
        tokenizer = tokenizers[bits]
        ds = tf.data.Dataset.from_tensor_slices(tf.constant(TEXTS)).batch(4)
        rows = [row for b in ds.map(tokenizer) for row in b]
        for row, ids in zip(rows, tokenizer(TEXTS), strict=True):
            assert row.numpy().tolist() == ids.tolist()
        again = ds.map(tokenizer).map(tokenizer.detokenize)
        assert [t for b in again.as_numpy_iterator() for t in b] == TEXTS


def test_a_cache_is_a_part_of_the_format(counts, cache, tokenizers):
    cached = LiveWindowTokenizer(counts, 24, 8, cache=cache)
    plain = tokenizers[24, 8]
    assert [r.tolist() for r in cached(TEXTS)] == [
        r.tolist() for r in plain(TEXTS)
    ]
    assert cached.fingerprint != plain.fingerprint
    assert cached.scheme.coder.lookups[1] > 0


@pytest.mark.parametrize("kind", ["ngram", "unigram", "byte_lm"])
def test_config_and_assets_round_trip(
    kind, counts, cache, make_m1, text, tmp_path
):
    model = {
        "ngram": lambda: counts,
        "unigram": lambda: UnigramModel.from_text(text),
        "byte_lm": lambda: ByteLMModel(make_m1()),
    }[kind]()
    tokenizer = LiveWindowTokenizer(
        model, 64, 16, cache=cache if kind == "ngram" else None, verify=True
    )
    config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.vocabulary_size() == 65539
    assert again.fingerprint == tokenizer.fingerprint
    with pytest.raises(ValueError, match="no entropy model yet"):
        again("text")
    tokenizer.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.get_config() == tokenizer.get_config()
    rows = tokenizer(TEXTS)
    assert [r.tolist() for r in again(TEXTS)] == [r.tolist() for r in rows]
    assert again.detokenize(rows) == TEXTS


def test_another_model_or_cache_is_refused(counts, cache, text, tmp_path):
    tokenizer = LiveWindowTokenizer(counts, 24, 8, cache=cache)
    empty = LiveWindowTokenizer.from_config(tokenizer.get_config())
    other = NGramModel.from_text(text[:1000])
    LiveWindowTokenizer(other, 24, 8).save_assets(tmp_path)
    with pytest.raises(ValueError, match="fingerprint"):
        empty.load_assets(tmp_path)
    tokenizer.save_assets(tmp_path)
    small = PrefixCache.build(
        stepper_for(counts, 1, 64), b"a", window_bits=24, max_prefixes=1
    )
    small.save(tmp_path / "prefix_cache.npz")
    with pytest.raises(ValueError, match=r"prefix_cache\.npz.*must hold what"):
        empty.load_assets(tmp_path)


def test_verify_finds_a_model_that_changes_its_mind(text):
    class Moody:
        def __init__(self):
            self.random = np.random.default_rng(0)

        def probabilities(self, prefixes):
            p = self.random.random((len(prefixes), 256))
            return p / p.sum(axis=1, keepdims=True)

    tokenizer = LiveWindowTokenizer(UnigramModel.from_text(text), verify=True)
    assert tokenizer.detokenize(tokenizer(TEXTS)) == TEXTS
    tokenizer.scheme._lazy_coder = WindowCoder(
        stepper_for(Moody(), 4, 1024), window_bits=32
    )
    with pytest.raises((RuntimeError, ValueError), match="Received"):
        tokenizer(TEXTS)


@exhaustive
@given(
    prompt=st.one_of(
        st.binary(min_size=1, max_size=12), st.sampled_from(TEXTS[1:])
    ),
    added=st.one_of(st.binary(max_size=8), st.sampled_from([b" the", b"e"])),
    place=st.floats(0, 1),
)
@pytest.mark.parametrize("longest", [1024, 3])
@pytest.mark.parametrize("bits", [(24, 8), (24, 16), (32, 16), (128, 16)])
def test_prompts_have_the_bounds_of_all_continuations(
    counts, tokenizers, bits, longest, prompt, added, place
):
    W, N = bits
    tokenizer = tokenizers[bits]
    if longest < 1024:
        tokenizer = LiveWindowTokenizer(
            counts, W, N, checksum=False, max_window_bytes=longest
        )
    split = tokenizer.split_prompt(prompt)
    low, high = (
        functools.reduce(lambda n, digit: (n << N) | int(digit), row, 0)
        for row in split.bounds
    )
    D = split.bounds.shape[1]
    # The ids of any continuation are between the bounds.
    ids = tokenizer(prompt + added)
    at = len(split.ids)
    assert ids[:at].tolist() == split.ids.tolist()
    found = functools.reduce(
        lambda n, i: (n << N) | (int(i) - 3), ids[at : at + D], 0
    )
    assert low <= found <= high
    # Ids between the bounds continue the prompt.
    between = low + int(place * (high - low)) if place < 1 else high
    digits = [between >> N * i & (1 << N) - 1 for i in range(D - 1, -1, -1)]
    generated = np.concatenate([split.ids, np.array(digits) + 3])
    (text,) = tokenizer.decode_generated([generated])
    assert text.startswith(prompt)


def test_generated_ids_are_decoded_as_far_as_they_are_windows(counts):
    tokenizer = LiveWindowTokenizer(counts, 24, 8, max_window_bytes=3)
    text = b"the quick brown fox"
    ids = tokenizer(text)
    assert tokenizer.decode_generated([ids, ids[:0]]) == [text, b""]
    # Any checksum is accepted, and an incomplete window is dropped.
    assert tokenizer.decode_generated([[*ids[:-4], 9, 9, 9, 9]]) == [text]
    (cut,) = tokenizer.decode_generated([ids[:-1]])
    assert text.startswith(cut) and len(text) - 4 < len(cut) < len(text)
    # Codes 0 to 2 have no window, at any place in a batch.
    none = [3, 3, 3]
    rows = [[*none, *ids], [*ids[:3], *none, *ids], ids]
    found = tokenizer.decode_generated(rows)
    assert found == [b"", text[: len(found[1])], text]
    assert 0 < len(found[1]) < len(text)


def test_a_model_over_live_windows_is_saved(counts, make_m2, tmp_path):
    tokenizer = LiveWindowTokenizer(counts, 24, 8, checksum=False)
    m2 = make_m2(tokenizer)
    m2.save_to_preset(tmp_path)
    again = keras_nc.models.CompressedCausalLM.from_preset(str(tmp_path))
    found = again.preprocessor.tokenizer
    assert found.fingerprint == tokenizer.fingerprint
    assert found.detokenize(tokenizer(TEXTS)) == TEXTS


def test_odd_settings_are_refused(counts, cache):
    odd = [(16, 8), (25, 8), (40, 16), (32, 24), (32, 4), (64, 32), (96, 16)]
    for W, N in odd:
        with pytest.raises(ValueError, match=f"window_bits={W}, token_b"):
            LiveWindowTokenizer(counts, W, N)
    with pytest.raises(ValueError, match="model=None"):
        LiveWindowTokenizer()
    with pytest.raises(TypeError, match="Received: str"):
        LiveWindowTokenizer(counts, cache="cache.npz")
    with pytest.raises(TypeError, match="Received: str"):
        LiveWindowTokenizer("model")
    with pytest.raises(ValueError, match="Received: 2000"):
        LiveWindowTokenizer(counts, max_window_bytes=2000)
    with pytest.raises(ValueError, match="no bytes of its own"):
        LiveWindowTokenizer(counts).id_to_token(5)
    prompt = LiveWindowTokenizer(counts).split_prompt(b"")
    assert prompt.ids.size == 0 and prompt.remainder == b""
