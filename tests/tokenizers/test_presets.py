"""Tokenizers that are saved, loaded and shared alone."""

import json
import shutil

import keras_hub
import keras_nlp
import numpy as np
import pytest

from keras_nc import models
from keras_nc.coding import PrefixCache
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import BPETokenizer
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import SchemeTokenizer
from keras_nc.tokenizers import ZeroPaddedTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from keras_nc.tokenizers import train_sentencepiece
from tests.scripts import run_script

TEXTS = ["the statement", "na\u00efve \U0001f600", ""]
NAMES = ["bytes", "one_token", "two_tokens", "bpe", "sentencepiece"]
NAMES += ["dictionary", "gzip", "ac", "live", "live_m1", "zero_padded"]


@pytest.fixture(scope="module")
def tokenizers(codebooks, text, make_m1):
    counts = NGramModel.from_text(text[:50_000], order=2)
    unigram = UnigramModel.from_text(text)
    stepper = stepper_for(counts, 16, 1024)
    cache = PrefixCache.build(
        stepper, text[:5000], window_bits=24, max_prefixes=64
    )
    return {
        "bytes": ByteTokenizer(),
        "one_token": EqualInfoTokenizer(codebooks[12]),
        "two_tokens": EqualInfoTokenizer(codebooks[16], token_bits=8),
        "bpe": train_bpe([text[:50_000]], 300),
        "sentencepiece": train_sentencepiece([text[:50_000]], 400, "bpe"),
        "dictionary": train_dictionary([text[:50_000]], 512),
        "gzip": GZipTokenizer(token_bits=16),
        "ac": ArithmeticTokenizer(counts, checksum=False),
        "live": LiveWindowTokenizer(counts, 24, 16, cache=cache),
        "live_m1": LiveWindowTokenizer(ByteLMModel(make_m1()), 32, 8),
        "zero_padded": ZeroPaddedTokenizer(unigram, encode_only=True),
    }


@pytest.fixture(scope="module")
def presets(tokenizers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    for name, tokenizer in tokenizers.items():
        tokenizer.save_to_preset(folder / name)
    return folder


def rows(tokenizer, texts=TEXTS):
    return [row.tolist() for row in tokenizer(texts)]


@pytest.mark.parametrize("name", NAMES)
def test_every_class_loads_it(tokenizers, presets, name):
    tokenizer, path = tokenizers[name], str(presets / name)
    for loaded in (
        type(tokenizer).from_preset(path),
        type(tokenizer).from_preset(presets / name),
        SchemeTokenizer.from_preset(path),
        keras_hub.tokenizers.Tokenizer.from_preset(path),
        keras_nlp.tokenizers.Tokenizer.from_preset(path),
        keras_hub.models.Tokenizer.from_preset(path),
    ):
        assert type(loaded) is type(tokenizer)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.get_config() == tokenizer.get_config()
        assert rows(loaded) == rows(tokenizer)
    m2s = models.CompressedTokenizer.from_preset(path)
    assert rows(m2s) == rows(tokenizer)


LOAD = """
    import json, sys
    {imports}
    found = {{}}
    for name, class_name in {classes}.items():
        path = {folder!r} + "/" + name
        loaded = {library}.Tokenizer.from_preset(path)
        assert type(loaded).__name__ == class_name
        found[name] = [row.tolist() for row in loaded({texts!r})]
    print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "imports, library",
    [
        ("import keras_nc.tokenizers, keras_hub", "keras_hub.tokenizers"),
        ("import keras_nlp, keras_nc.tokenizers", "keras_nlp.tokenizers"),
    ],
)
def test_a_process_of_its_own_loads_them(tokenizers, presets, imports, library):
    classes = {n: type(t).__name__ for n, t in tokenizers.items()}
    code = LOAD.format(
        imports=imports,
        library=library,
        classes=classes,
        folder=str(presets),
        texts=TEXTS,
    )
    found = json.loads(run_script(code).splitlines()[-1])
    assert found == {n: rows(t) for n, t in tokenizers.items()}


def test_its_own_class_needs_no_models(tokenizers, make_m2, tmp_path):
    make_m2(tokenizers["one_token"]).save_to_preset(str(tmp_path))
    code = f"""
        from keras_nc.tokenizers import EqualInfoTokenizer
        loaded = EqualInfoTokenizer.from_preset({str(tmp_path)!r})
        print(loaded("the statement").tolist())
    """
    found = json.loads(run_script(code).splitlines()[-1])
    assert found == tokenizers["one_token"]("the statement").tolist()


def test_settings_come_back_and_can_differ(codebooks, tmp_path):
    EqualInfoTokenizer(
        codebooks[12], sequence_length=np.int64(6), name="mine"
    ).save_to_preset(tmp_path)
    loaded = EqualInfoTokenizer.from_preset(tmp_path)
    assert loaded.sequence_length == 6 and loaded.name == "mine"
    assert loaded(TEXTS).shape == (3, 6)
    loaded = EqualInfoTokenizer.from_preset(tmp_path, sequence_length=4)
    assert loaded(TEXTS).shape == (3, 4)
    loaded = EqualInfoTokenizer.from_preset(tmp_path, sequence_length=None)
    assert loaded.sequence_length is None


def test_a_models_preset_stays_a_models(tokenizers, make_m2, tmp_path):
    make_m2(tokenizers["bytes"]).save_to_preset(str(tmp_path))
    tokenizers["bytes"].save_to_preset(tmp_path)
    m2 = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    assert m2.preprocessor.tokenizer.scheme_name == "bytes"


def test_a_model_may_be_saved_where_its_tokenizer_is(
    tokenizers, make_m2, tmp_path
):
    path = tmp_path / "preset"
    tokenizers["one_token"].save_to_preset(path)
    make_m2(tokenizers["one_token"]).save_to_preset(str(path))
    m2 = keras_hub.models.CausalLM.from_preset(str(path))
    loaded = EqualInfoTokenizer.from_preset(path)
    assert rows(loaded) == rows(m2.preprocessor.tokenizer)


def test_the_wrong_class_is_refused(presets):
    with pytest.raises(TypeError, match="EqualInfoScheme"):
        EqualInfoTokenizer.from_preset(presets / "bpe")
    with pytest.raises(TypeError, match="BPEScheme"):
        BPETokenizer.from_preset(presets / "one_token")
    with pytest.raises(ValueError, match="CompressedBackbone"):
        models.CompressedCausalLM.from_preset(str(presets / "bpe"))


def change_config(path, change):
    config = json.loads(path.read_text())
    change(config["config"])
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        lambda path: (path / "tokenizer.json").unlink(),
        lambda path: (path / "tokenizer.json").write_text("{"),
        lambda path: (path / "tokenizer.json").write_text("[]"),
        lambda path: (path / "tokenizer.json").write_bytes(b"\xff"),
        lambda path: change_config(
            path / "tokenizer.json", lambda config: config.pop("scheme")
        ),
        lambda path: change_config(
            path / "tokenizer.json",
            lambda config: config["scheme"].update(name="huffman"),
        ),
        lambda path: change_config(
            path / "tokenizer.json",
            lambda config: config["scheme"].update(new_setting=1),
        ),
        lambda path: shutil.rmtree(path / "assets"),
    ],
)
def test_damaged_presets_are_refused(presets, tmp_path, damage):
    path = tmp_path / "preset"
    shutil.copytree(presets / "one_token", path)
    damage(path)
    with pytest.raises(ValueError, match="Received: "):
        EqualInfoTokenizer.from_preset(path)
