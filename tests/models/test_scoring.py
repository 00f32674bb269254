import keras
import pytest

from keras_nc import evaluation
from keras_nc.data import write_shards
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer

TINY = dict(num_layers=1, hidden_dim=16, intermediate_dim=16)


@pytest.fixture(scope="module")
def causal_lm(codebooks, make_m2):
    keras.utils.set_random_seed(0)
    return make_m2(EqualInfoTokenizer(codebooks[12]), 16, **TINY)


def test_a_text_is_scored_as_its_shards_are(causal_lm, text, tmp_path):
    text = text[:1000]
    shards = write_shards([text], causal_lm.preprocessor.tokenizer, tmp_path)
    expected = evaluation.bits_per_byte(
        causal_lm, shards, sequence_length=16, batch_size=8, progress=False
    )
    assert causal_lm.bits_per_byte([text]) == pytest.approx(expected, rel=1e-5)
    found = causal_lm.bits_per_byte(text.decode())
    assert found == pytest.approx(expected, rel=1e-5)


def test_texts_do_not_see_each_other(causal_lm):
    texts = [b"to be or not to be", b"", b"\x00\xff" * 40]
    bits = [
        causal_lm.bits_per_byte([text]) * len(text) for text in texts if text
    ]
    got = causal_lm.bits_per_byte(texts) * sum(map(len, texts))
    # An empty text costs only its end id.
    assert 5 < got - sum(bits) < 20
    assert causal_lm.bits_per_byte(texts[0::2]) * 98 == pytest.approx(sum(bits))


def test_streams_are_scored_too(make_m2):
    tokenizer = ArithmeticTokenizer(UnigramModel.from_text(b"to be or not"))
    causal_lm = make_m2(tokenizer, 16, **TINY)
    assert 1 < causal_lm.bits_per_byte("to be or not to be") < 100


def test_odd_arguments_are_refused(causal_lm, make_m1):
    for nothing in ("", [], [b"", b""]):
        with pytest.raises(ValueError, match="at least one byte"):
            causal_lm.bits_per_byte(nothing)
    with pytest.raises(ValueError, match="sequence_length=0"):
        causal_lm.bits_per_byte("a", sequence_length=0)
    with pytest.raises(ValueError, match="batch_size=0"):
        causal_lm.bits_per_byte("a", batch_size=0)
    with pytest.raises(TypeError, match="Text must be"):
        causal_lm.bits_per_byte([3])
    m1 = make_m1(**TINY)
    m1.preprocessor = None
    with pytest.raises(ValueError, match="preprocessor=None"):
        m1.bits_per_byte("a")
