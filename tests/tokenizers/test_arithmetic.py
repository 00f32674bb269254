import json
import zlib

import keras
import keras_hub
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import encode_static
from keras_nc.coding.shares import cumulative_frequencies
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers.arithmetic import ArithmeticScheme
from keras_nc.tokenizers.arithmetic import from_groups
from keras_nc.tokenizers.arithmetic import to_groups
from tests.scripts import run_script

TEXT = b"the statement is \x00\xff executed"
few = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def models(text, make_m1):
    return {
        "unigram": UnigramModel.from_text(text),
        "ngram": NGramModel.from_text(text, order=4),
        "byte_lm": ByteLMModel(make_m1(hidden_dim=16)),
    }


@pytest.fixture(scope="module")
def geometric():
    """Integer counts that halve from byte to byte: no float decides."""
    return UnigramModel(np.maximum(1, (1 << 20) >> np.arange(256).clip(max=30)))


@few
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.data())
def test_any_bytes_come_back_with_any_settings(models, documents, data):
    tokenizer = ArithmeticTokenizer(
        models[data.draw(st.sampled_from(sorted(models)))],
        token_bits=data.draw(st.sampled_from([8, 16])),
        precision=data.draw(st.sampled_from([14, 16, 24])),
        context_bytes=data.draw(st.sampled_from([3, 1024])),
        checksum=data.draw(st.booleans()),
    )
    rows = tokenizer(documents)
    assert tokenizer.detokenize(rows) == documents
    # Documents that share a row are told apart by the ids between them.
    packed = [i for row in rows for i in (1, *row.tolist(), 2)] + [0, 0]
    text = tokenizer.detokenize(packed, skip_special=True)
    assert text == b"".join(documents)


@pytest.mark.parametrize("token_bits", [8, 16])
@pytest.mark.parametrize("checksum", [True, False])
def test_ids_are_what_the_format_says(geometric, token_bits, checksum):
    tokenizer = ArithmeticTokenizer(
        geometric, token_bits, precision=14, checksum=checksum
    )
    table = cumulative_frequencies(geometric.probabilities([b""]), 14)[0]
    fillings = set()
    for text in (TEXT, TEXT * 9, b"\x00" * 300, b"a", b"ab", b"xyz"):
        body = encode_static([text], table)[0].tobytes()
        if checksum:
            body = zlib.crc32(text).to_bytes(4, "big") + body
        if token_bits == 8:
            stream = to_groups(len(text)) + body
        else:
            filling = (len(to_groups(2 * len(text))) + len(body)) % 2
            stream = to_groups(2 * len(text) + filling) + body
            stream += bytes(filling)
            fillings.add(filling)
        step = token_bits // 8
        ids = [
            3 + int.from_bytes(stream[i : i + step], "big")
            for i in range(0, len(stream), step)
        ]
        assert tokenizer(text).tolist() == ids
    assert token_bits == 8 or fillings == {0, 1}


def test_ids_of_integer_counts_stay_as_they_are(geometric):
    assert ArithmeticTokenizer(geometric)(b"\x00\x01ab").tolist() == GOLDEN
    pairs = ArithmeticTokenizer(geometric, 16, checksum=False)
    assert pairs(b"\x00\x01ab").tolist() == GOLDEN_PAIRS


GOLDEN = [7, 258, 223, 242, 188, 98, 43, 111, 221, 50]
GOLDEN_PAIRS = [2146, 10351, 55858]


@given(st.integers(0, 2**56 - 1), st.binary(max_size=3))
def test_lengths_in_groups(number, rest):
    groups = to_groups(number)
    assert from_groups(groups + rest) == (number, len(groups))


def test_tokens_hold_more_bytes_with_a_better_model(models, text):
    text = text[3000:7000]
    sizes = [
        len(ArithmeticTokenizer(models[name], token_bits=16)(text))
        for name in ("unigram", "ngram")
    ]
    sizes.append(len(GZipTokenizer(token_bits=16)(text)))
    assert sizes[1] < sizes[2] < sizes[0] < len(text) / 2


@pytest.mark.parametrize("name", ["unigram", "ngram", "byte_lm"])
@pytest.mark.parametrize("token_bits", [8, 16])
def test_damage_is_always_found(models, name, token_bits):
    tokenizer = ArithmeticTokenizer(models[name], token_bits)
    ids = tokenizer(TEXT)
    rng = np.random.default_rng(0)
    V = tokenizer.vocabulary_size()
    for at in range(len(ids)):
        for _ in range(4):
            damaged = ids.copy()
            damaged[at] = 3 + (ids[at] - 3 + rng.integers(1, V - 3)) % (V - 3)
            with pytest.raises(ValueError, match="Received"):
                tokenizer.detokenize(damaged)
    for wrong in (
        *(ids[:cut] for cut in range(1, len(ids))),
        *(ids[cut:] for cut in range(1, len(ids))),
        [*ids, 3],
        [*ids, *ids],
        [3],
        [3 + V - 4] * 40,
    ):
        with pytest.raises(ValueError, match="Received"):
            tokenizer.detokenize(wrong)
    with pytest.raises(ValueError, match="Received"):
        tokenizer.detokenize([*ids[:4], 2, *ids[4:]], skip_special=True)


@few
@given(st.lists(st.integers(3, 258), max_size=30), st.booleans())
def test_any_ids_give_bytes_or_an_error(models, ids, checksum):
    tokenizer = ArithmeticTokenizer(models["ngram"], checksum=checksum)
    try:
        text = tokenizer.detokenize(ids)
    except ValueError as error:
        assert "Received" in str(error)
    else:
        assert tokenizer(text).tolist() == ids


def test_another_model_is_found_out(models, text):
    ids = ArithmeticTokenizer(models["ngram"])(TEXT)
    other = NGramModel.from_text(text[:-10], order=4)
    with pytest.raises(ValueError, match="Received"):
        ArithmeticTokenizer(other).detokenize(ids)


def test_prompts_cannot_be_continued(models):
    tokenizer = ArithmeticTokenizer(models["unigram"])
    prompt = tokenizer.split_prompt(b"")
    assert prompt.ids.size == 0 and prompt.remainder == b""
    with pytest.raises(ValueError, match="cannot be continued"):
        tokenizer.split_prompt(b"a")
    with pytest.raises(ValueError, match="no bytes of its own"):
        tokenizer.id_to_token(5)
    assert tokenizer.token_lengths is None


def test_fingerprints_tell_settings_apart(models):
    settings = [
        {},
        {"token_bits": 16},
        {"precision": 14},
        {"context_bytes": 10},
        {"checksum": False},
    ]
    tokenizers = [
        ArithmeticTokenizer(model, **kwargs)
        for model in models.values()
        for kwargs in settings
    ]
    prints = {tokenizer.fingerprint for tokenizer in tokenizers}
    assert len(prints) == len(tokenizers)


@pytest.mark.parametrize("name", ["unigram", "ngram", "byte_lm"])
def test_config_and_assets_round_trip(models, name, tmp_path):
    scheme = ArithmeticScheme(models[name], 16, 15, 100, False)
    scheme.save_assets(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        scheme.file_assets
    )
    config = json.loads(json.dumps(scheme.get_config()))
    assert config.pop("name") == "arithmetic"
    again = ArithmeticScheme(**config)
    assert again.fingerprint == scheme.fingerprint
    with pytest.raises(ValueError, match="no entropy model yet"):
        again.encode_batch([b"text"])
    with pytest.raises(ValueError, match="no entropy model yet"):
        again.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.get_config() == scheme.get_config()
    ids = scheme.encode_batch([TEXT])[0]
    assert again.encode_batch([TEXT])[0].tolist() == ids.tolist()
    assert again.decode(ids) == TEXT


@pytest.mark.parametrize("name", ["byte_lm", "ngram", "gzip"])
def test_presets_carry_the_scheme(models, make_m2, name, tmp_path):
    if name == "gzip":
        tokenizer = GZipTokenizer(token_bits=8)
    else:
        tokenizer = ArithmeticTokenizer(models[name])
    causal_lm = make_m2(tokenizer)
    parameters = causal_lm.count_params()
    assert parameters == causal_lm.backbone.count_params()
    causal_lm.save_to_preset(str(tmp_path))
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    assert again.count_params() == parameters
    loaded = again.preprocessor.tokenizer
    assert loaded.fingerprint == tokenizer.fingerprint
    ids = tokenizer(TEXT)
    assert loaded(TEXT).tolist() == ids.tolist()
    assert loaded.detokenize(ids) == TEXT
    assert type(tokenizer).from_preset(str(tmp_path))(TEXT).tolist() == (
        ids.tolist()
    )
    found = again.evaluate([TEXT], verbose=0, return_dict=True)
    assert np.isfinite(found["loss"])
    with pytest.raises(ValueError, match="cannot be continued"):
        again.generate(b"the ", max_length=8)


DECODE = """
    import numpy as np
    import keras
    import keras_nc
    from keras_nc.tokenizers import ArithmeticTokenizer
    tokenizer = ArithmeticTokenizer.from_preset({path!r})
    print(tokenizer.detokenize({ids!r}).hex())
"""


def test_another_backend_decodes(models, make_m2, tmp_path):
    backend = "torch" if keras.backend.backend() == "jax" else "jax"
    pytest.importorskip(backend)
    tokenizer = ArithmeticTokenizer(models["byte_lm"])
    make_m2(tokenizer).save_to_preset(str(tmp_path))
    ids = tokenizer(TEXT * 4).tolist()
    code = DECODE.format(path=str(tmp_path), ids=ids)
    printed = run_script(code, backend=backend, tensorflow=False)
    assert bytes.fromhex(printed.split()[-1]) == TEXT * 4


def test_odd_settings_are_refused(models):
    model = models["unigram"]
    for odd in (4, 12, 0, None, "8"):
        with pytest.raises(ValueError, match="`token_bits` must be 8 or 16"):
            ArithmeticTokenizer(model, token_bits=odd)
    with pytest.raises(ValueError, match="precision=30"):
        ArithmeticTokenizer(model, precision=30)
    with pytest.raises(ValueError, match="context_bytes=0"):
        ArithmeticTokenizer(model, context_bytes=0)
    with pytest.raises(TypeError, match="Received: object"):
        ArithmeticTokenizer(object())
    with pytest.raises(ValueError, match="model=None"):
        ArithmeticTokenizer()
