"""User-defined models: codebooks, tokenizers, files and names."""

import json

import keras_hub
import numpy as np
import pytest

from keras_nc import entropy_models
from keras_nc.coding import Codebook
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import EntropyModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import RefittedModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import ZeroPaddedTokenizer
from keras_nc.tokenizers.compressed import ModelAsset
from tests.entropy_models.mixed_model import MixedModel
from tests.scripts import run_script

TEXT = b"the statement is \x00\xff executed, and the rest is silence"
STARTS = np.arange(0, 3000, 5)


@pytest.fixture(scope="module")
def models(text, make_m1):
    own = MixedModel(UnigramModel.from_text(text).counts, 0.25)
    return {
        "own": own,
        "own refitted": own.refit(text[:3000], STARTS),
        "ngram refitted": NGramModel.from_text(text, order=2).refit(
            text[:3000], STARTS
        ),
        "m1 refitted": ByteLMModel(make_m1(hidden_dim=16)).refit(
            text[:3000], STARTS
        ),
        "unigram refitted": RefittedModel.from_text(
            UnigramModel.from_text(text), text[:3000], STARTS
        ),
    }


NAMES = ["own", "own refitted", "ngram refitted", "m1 refitted"]
NAMES += ["unigram refitted"]
TOKENIZERS = {
    "arithmetic": lambda model: ArithmeticTokenizer(model, context_bytes=20),
    "live": lambda model: LiveWindowTokenizer(model, max_window_bytes=40),
    "zero-padded": lambda model: ZeroPaddedTokenizer(model, encode_only=True),
}


@pytest.mark.parametrize("name", NAMES)
def test_codebooks(models, text, name):
    codebook = Codebook.paper(models[name], window_bits=10)
    assert codebook.decode(codebook.encode(TEXT)) == TEXT
    codebook = Codebook.build(models[name], text[:3000], window_bits=10)
    assert codebook.decode(codebook.encode(TEXT)) == TEXT


@pytest.mark.parametrize("name", NAMES)
def test_steps_do_not_depend_on_the_batch(models, name):
    known = {}
    for size in (1, 3):
        stepper = stepper_for(models[name], size, 40)
        for end in range(30):
            row = stepper.probabilities()[size - 1]
            expected = known.setdefault(end, row)
            np.testing.assert_array_equal(row, expected)
            next_bytes = np.full(size, TEXT[end], "uint8")
            stepper.step(next_bytes, np.arange(size) == size - 1)
        stepper.restart(np.ones(size, bool))
        np.testing.assert_array_equal(stepper.probabilities()[-1], known[0])
    prefixes = [TEXT[:end] for end in known]
    expected = models[name].probabilities(prefixes)
    found = np.array(list(known.values()))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", NAMES)
def test_tokenizers_are_saved_with_the_model(models, name, kind, tmp_path):
    tokenizer = TOKENIZERS[kind](models[name])
    ids = tokenizer(TEXT)
    if kind != "zero-padded":
        assert tokenizer.detokenize(ids) == TEXT
        assert tokenizer.detokenize(tokenizer([TEXT, b"", b"a"])) == (
            [TEXT, b"", b"a"]
        )
    tokenizer.save_assets(tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(tokenizer.scheme.file_assets)
    config = json.loads(json.dumps(tokenizer.scheme.get_config()))
    del config["name"]
    again = type(tokenizer.scheme)(**config)
    assert again.fingerprint == tokenizer.fingerprint
    again.load_assets(tmp_path)
    assert again.encode_batch([TEXT])[0].tolist() == ids.tolist()


FRESH = """
    import sys
    import keras_nc
    from keras_nc.tokenizers import LiveWindowTokenizer
    try:
        LiveWindowTokenizer.from_preset({path!r})
    except ValueError as error:
        print("refused:", "mixed_bytes" in str(error), "register" in str(error))
    assert "tests.entropy_models.mixed_model" not in sys.modules
    import tests.entropy_models.mixed_model
    tokenizer = LiveWindowTokenizer.from_preset({path!r})
    print(tokenizer.detokenize({ids!r}).hex())
"""


def test_a_fresh_process_loads_what_it_knows(models, make_m2, tmp_path):
    tokenizer = TOKENIZERS["live"](models["own refitted"])
    path = str(tmp_path)
    make_m2(tokenizer).save_to_preset(path)
    causal_lm = keras_hub.models.CausalLM.from_preset(path)
    loaded = causal_lm.preprocessor.tokenizer
    assert loaded.fingerprint == tokenizer.fingerprint
    ids = tokenizer(TEXT).tolist()
    printed = run_script(FRESH.format(path=path, ids=ids))
    lines = printed.splitlines()
    assert lines[-2:] == ["refused: True True", TEXT.hex()]


def test_another_models_counts_are_refused(models, tmp_path):
    models["own refitted"].save(tmp_path)
    UnigramModel([1] * 256).save(tmp_path)
    with pytest.raises(ValueError, match=r"'refitted'.*Received"):
        RefittedModel.load(tmp_path)
    MixedModel([1] * 256, 0.5).save(tmp_path)
    with pytest.raises(ValueError, match="belong to another model"):
        RefittedModel.load(tmp_path)


@pytest.mark.parametrize("name", ["own", "own refitted", "m1 refitted"])
def test_damage_is_refused(models, name, tmp_path):
    model = models[name]
    for file_name in model.file_names:
        for change in (lambda data: b"", lambda data: data[: len(data) // 2]):
            model.save(tmp_path)
            path = tmp_path / file_name
            path.write_bytes(change(path.read_bytes()))
            with pytest.raises(ValueError, match=r"all files.*Received"):
                type(model).load(tmp_path)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            type(model).load(tmp_path)


def test_unknown_names_are_one_error(tmp_path):
    for kind in ("huffman", "os.system", "tests.scripts", 5, [], {}, None):
        with pytest.raises(ValueError, match=r"registered name.*Received"):
            ModelAsset(kind=kind)
    for names in (["../a"], ["/etc/a"], [".."], [], "abc", [5], ["a/b"]):
        with pytest.raises(ValueError, match=r"`file_names`.*Received"):
            ModelAsset(kind="ngram", file_names=names)


class Plain(EntropyModel):
    def probabilities(self, prefixes):
        return np.full((len(prefixes), 256), 1 / 256)


def test_names_are_taken_once():
    class Other(Plain):
        pass

    with pytest.raises(ValueError, match=r"one name.*'ngram'.*NGramModel"):
        entropy_models.register("ngram")(Other)
    first = entropy_models.register("taken_once")(Other)
    assert entropy_models.register("taken_once")(Other) is first

    class Other(Plain):
        pass

    with pytest.raises(ValueError, match=r"'taken_once'.*Choose"):
        entropy_models.register("taken_once")(Other)
    assert entropy_models.class_named("taken_once") is first


def test_a_cell_that_runs_again_replaces_its_class():
    printed = run_script(
        """
        from keras_nc import entropy_models
        for weight in (1, 2):
            @entropy_models.register("cell")
            class Cell(entropy_models.EntropyModel):
                number = weight
                def probabilities(self, prefixes):
                    raise NotImplementedError
        print(entropy_models.class_named("cell").number)
        """,
        bare=True,
    )
    assert printed.split() == ["2"]


@pytest.mark.parametrize("name", ["", "Upper", "a b", "a.b", "1a", 5, None])
def test_odd_names_are_refused(name):
    with pytest.raises(ValueError, match=r"lowercase.*Received"):
        entropy_models.register(name)


def test_what_is_no_model_class_is_refused():
    class NoModel:
        def probabilities(self, prefixes):
            return np.full((len(prefixes), 256), 1 / 256)

    with pytest.raises(TypeError, match=r"must offer.*NoModel without finger"):
        entropy_models.register("no_model")(NoModel)
    for odd in (NoModel(), None, Plain()):
        with pytest.raises(TypeError, match=r"for classes.*Received"):
            entropy_models.register("no_model")(odd)


def test_models_that_cannot_be_saved_are_refused(text):
    class Counts(NGramModel):
        """Another class, which files would mistake for its base."""

    counts = Counts.from_text(text[:1000])
    for model in (Plain(), counts, RefittedModel.from_text(Plain(), b"a", [0])):
        for make in TOKENIZERS.values():
            with pytest.raises(TypeError, match=r"register.*Received"):
                make(model)
        codebook = Codebook.paper(model, window_bits=9)
        assert codebook.decode(codebook.encode(TEXT)) == TEXT


def test_counts_are_mixed_in_once():
    refitted = RefittedModel.from_text(Plain(), b"a", [0])
    with pytest.raises(TypeError, match="`refit`"):
        RefittedModel.from_text(refitted, b"a", [0])
