import keras
import keras_hub
import numpy as np
import pytest

from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ZeroPaddedTokenizer

TEXT = b"the statement is \x00\xff executed"


@pytest.fixture(scope="module")
def ngram(text):
    return NGramModel.from_text(text, order=4)


@pytest.fixture
def tokenizer(ngram):
    return ZeroPaddedTokenizer(ngram, encode_only=True)


@pytest.mark.parametrize("W, N", [(16, 16), (16, 8), (24, 16), (128, 16)])
def test_ids_are_the_codes_of_the_windows(ngram, text, W, N):
    tokenizer = ZeroPaddedTokenizer(ngram, W, N, encode_only=True)
    documents = [TEXT, b"", text[:300], b"a"]
    rows = tokenizer(documents)
    found = tokenizer.scheme.coder.encode(documents)
    for ids, windows in zip(rows, found, strict=True):
        stream = b"".join(window.code for window in windows)
        stream += bytes(-len(stream) % (N // 8))
        pieces = np.frombuffer(stream, f">u{N // 8}").astype(int)
        assert ids.tolist() == (pieces + 3).tolist()
    assert tokenizer.vocabulary_size() == 3 + 2**N


def test_it_says_that_it_cannot_decode_before_it_encodes(ngram, tokenizer):
    for odd in (False, None, 1):
        with pytest.raises(ValueError, match="cannot be decoded"):
            ZeroPaddedTokenizer(ngram, encode_only=odd)
    with pytest.raises(ValueError, match="cannot be decoded"):
        ZeroPaddedTokenizer(ngram)
    ids = tokenizer(TEXT)
    for rows in (ids, [ids, ids], [], [5]):
        with pytest.raises(ValueError, match="encoding only"):
            tokenizer.detokenize(rows)
    with pytest.raises(ValueError, match="encoding only"):
        tokenizer.split_prompt(b"the ")
    assert tokenizer.split_prompt(b"").ids.size == 0
    with pytest.raises(ValueError, match="no bytes of its own"):
        tokenizer.id_to_token(5)


def test_collisions_are_counted(ngram, text):
    sample = text[2000:4000]
    tokenizer = ZeroPaddedTokenizer(ngram, encode_only=True)
    wrong, windows = tokenizer.count_collisions(sample)
    assert windows == len(tokenizer(sample))
    assert 0 < wrong < windows
    assert tokenizer.count_collisions(sample.decode()) == (wrong, windows)
    assert tokenizer.count_collisions(b"") == (0, 0)


def test_tf_data_gives_the_same_ids(tokenizer):
    tf = pytest.importorskip("tensorflow")
    texts = [TEXT, b"", b"a"]
    ds = tf.data.Dataset.from_tensor_slices(tf.constant(texts)).map(tokenizer)
    for row, ids in zip(ds, tokenizer(texts), strict=True):
        assert row.numpy().tolist() == ids.tolist()


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"delay": True},
        {"reset_every": 3},
        {"reset_every": None, "context_bytes": 64},
        {"window_bits": 32, "token_bits": 8, "precision": 16},
    ],
)
def test_config_and_assets_round_trip(ngram, tokenizer, kwargs, tmp_path):
    made = ZeroPaddedTokenizer(ngram, **kwargs, encode_only=True)
    config = keras.saving.serialize_keras_object(made)
    again = keras.saving.deserialize_keras_object(config)
    with pytest.raises(ValueError, match="no entropy model yet"):
        again(TEXT)
    made.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.get_config() == made.get_config()
    assert again.fingerprint == made.fingerprint
    assert (again.fingerprint == tokenizer.fingerprint) == (not kwargs)
    assert again(TEXT).tolist() == made(TEXT).tolist()


def test_presets_carry_m1(make_m1, make_m2, tmp_path):
    model = ByteLMModel(make_m1(hidden_dim=16))
    tokenizer = ZeroPaddedTokenizer(model, token_bits=8, encode_only=True)
    causal_lm = make_m2(tokenizer)
    causal_lm.save_to_preset(str(tmp_path))
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    assert again.count_params() == causal_lm.count_params()
    loaded = again.preprocessor.tokenizer
    assert loaded(TEXT).tolist() == tokenizer(TEXT).tolist()
    assert np.isfinite(again.evaluate([TEXT], verbose=0))


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="Received: object"):
        ZeroPaddedTokenizer(object(), encode_only=True)
    with pytest.raises(ValueError, match="token_bits=4"):
        ZeroPaddedTokenizer(
            UnigramModel([1] * 256), token_bits=4, encode_only=True
        )
