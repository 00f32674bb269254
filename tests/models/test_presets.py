import importlib.util
import io
import json
import os

import keras
import keras_hub
import keras_nlp
import numpy as np
import pytest
import sentencepiece
from keras import ops

from keras_nc import models
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SentencePieceTokenizer
from tests.scripts import run_script
from tests.tokenizers.test_sentencepiece import EXACT

pytestmark = pytest.mark.usefixtures("seeded")

TINY = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16)
TEXTS = ["the statement", "na\u00efve \U0001f600"]
BACKEND = keras.backend.backend()
# Every backend reads presets of torch, and its own.
READERS = ["jax", "tensorflow", "torch"] if BACKEND == "torch" else [BACKEND]


@pytest.fixture(scope="module")
def tokenizers(codebooks, text):
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.decode().split("\n")[:500]),
        model_writer=proto,
        vocab_size=400,
        minloglevel=2,
        **EXACT,
    )
    return {
        "one_token": EqualInfoTokenizer(codebooks[12]),
        "split": EqualInfoTokenizer(codebooks[16], token_bits=8),
        "bytes": ByteTokenizer(),
        "sentencepiece": SentencePieceTokenizer(proto.getvalue()),
    }


def logits(causal_lm):
    x, _, _ = causal_lm.preprocessor(TEXTS)
    return ops.convert_to_numpy(causal_lm(x))


@pytest.mark.parametrize("name", ["one_token", "split", "sentencepiece"])
def test_m2_round_trip(make_m2, tokenizers, name, tmp_path):
    tokenizer = tokenizers[name]
    causal_lm = make_m2(tokenizer)
    causal_lm.save_to_preset(str(tmp_path))
    expected = logits(causal_lm)
    for library in (keras_hub, keras_nlp):
        again = library.models.CausalLM.from_preset(str(tmp_path))
        assert type(again) is models.CompressedCausalLM
        np.testing.assert_allclose(logits(again), expected, atol=1e-5)
    again = models.CompressedCausalLM.from_preset(str(tmp_path))
    assert again.preprocessor.get_config() == (
        causal_lm.preprocessor.get_config()
    )
    ids = [row.tolist() for row in tokenizer(TEXTS)]
    for loaded in (
        again.preprocessor.tokenizer,
        keras_hub.tokenizers.Tokenizer.from_preset(str(tmp_path)),
        models.CompressedTokenizer.from_preset(str(tmp_path)),
        type(tokenizer).from_preset(str(tmp_path)),
    ):
        assert [row.tolist() for row in loaded(TEXTS)] == ids
        assert loaded.fingerprint == tokenizer.fingerprint
    preprocessor = keras_hub.models.CausalLMPreprocessor.from_preset(
        str(tmp_path), sequence_length=8
    )
    assert preprocessor(TEXTS)[1].shape == (2, 8)
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path))
    assert type(backbone) is models.CompressedBackbone


def test_loaded_presets_report_bits_per_byte(make_m2, tokenizers, tmp_path):
    causal_lm = make_m2(tokenizers["one_token"])
    causal_lm.save_to_preset(str(tmp_path))
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    found = again.evaluate(TEXTS, verbose=0, return_dict=True)
    expected = causal_lm.evaluate(TEXTS, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    assert set(found) == {"loss", "bits_per_byte"}
    # The user's own choice stays.
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    again.compile(weighted_metrics=[])
    found = again.evaluate(TEXTS, verbose=0, return_dict=True)
    assert set(found) == {"loss"}


def test_the_wrong_tokenizer_class_is_refused(make_m1, tmp_path):
    make_m1().save_to_preset(str(tmp_path))
    assert type(ByteTokenizer.from_preset(str(tmp_path))) is ByteTokenizer
    with pytest.raises(TypeError, match="EqualInfoScheme"):
        EqualInfoTokenizer.from_preset(str(tmp_path))


def test_m2_over_bytes_keeps_its_scheme(make_m2, tokenizers, tmp_path):
    causal_lm = make_m2(tokenizers["bytes"])
    causal_lm.save_to_preset(str(tmp_path))
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path))
    assert again.preprocessor.tokenizer.scheme_name == "bytes"
    np.testing.assert_allclose(logits(again), logits(causal_lm), atol=1e-5)


def test_m1_round_trip(make_m1, tmp_path):
    causal_lm = make_m1()
    causal_lm.save_to_preset(str(tmp_path))
    for library in (keras_hub, keras_nlp):
        again = library.models.CausalLM.from_preset(str(tmp_path))
        assert type(again) is models.ByteCausalLM
        np.testing.assert_allclose(logits(again), logits(causal_lm), atol=1e-5)
    tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(str(tmp_path))
    assert type(tokenizer) is models.ByteLMTokenizer
    causal_lm.compile(sampler="greedy")
    again.compile(sampler="greedy")
    text = causal_lm.generate("the ", max_length=20)
    assert again.generate("the ", max_length=20) == text


def test_keras_file_round_trip(make_m2, tokenizers, tmp_path):
    causal_lm = make_m2(tokenizers["one_token"])
    causal_lm.compile(sampler=keras_hub.samplers.TopPSampler(p=0.3))
    causal_lm.fit(TEXTS, verbose=0)
    path = tmp_path / "model.keras"
    causal_lm.save(path)
    again = keras.saving.load_model(path)
    np.testing.assert_allclose(logits(again), logits(causal_lm), atol=1e-5)
    # Optimizer, metric and sampler come back as well.
    assert again.sampler.get_config() == causal_lm.sampler.get_config()
    assert int(again.optimizer.iterations) == 1
    losses = [m.evaluate(TEXTS, verbose=0) for m in (again, causal_lm)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


LOAD = """
    import numpy as np
    import keras
    import keras_hub
    import keras_nc.models
    causal_lm = keras_hub.models.CausalLM.from_preset({path!r})
    x, y, weight = causal_lm.preprocessor({texts!r})
    np.save({out!r}, keras.ops.convert_to_numpy(causal_lm(x)))
    causal_lm.compile(sampler="greedy")
    print(causal_lm.generate("the ", max_length=12).encode().hex())
"""


@pytest.mark.parametrize("backend", READERS)
def test_a_process_of_its_own_reads_it(make_m2, tokenizers, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    causal_lm = make_m2(tokenizers["one_token"])
    causal_lm.save_to_preset(str(tmp_path / "preset"))
    code = LOAD.format(
        path=str(tmp_path / "preset"), texts=TEXTS, out=str(tmp_path / "x.npy")
    )
    # On jax and torch, this also works without TensorFlow.
    printed = run_script(code, backend, tensorflow=backend == "tensorflow")
    found = np.load(tmp_path / "x.npy")
    np.testing.assert_allclose(found, logits(causal_lm), atol=1e-4)
    causal_lm.compile(sampler="greedy")
    text = causal_lm.generate("the ", max_length=12)
    assert printed.split()[-1] == text.encode().hex()


def test_without_importing_keras_nc(make_m2, tokenizers, tmp_path):
    # keras-hub finds registered classes only; its error says so.
    make_m2(tokenizers["one_token"]).save_to_preset(str(tmp_path))
    printed = run_script(
        f"""
        import keras_hub
        try:
            keras_hub.models.CausalLM.from_preset({str(tmp_path)!r})
        except ValueError as error:
            print(error)
        import keras_nc.models
        keras_hub.models.CausalLM.from_preset({str(tmp_path)!r})
        print("loaded")
        """
    )
    assert "no class registered" in printed
    assert "keras_nc>CompressedBackbone" in printed
    assert printed.split()[-1] == "loaded"


IN_ORDER = """
    {imports}
    for cls in (
        keras_hub.models.CausalLM,
        keras_nlp.models.CausalLM,
        keras_hub.models.Backbone,
        keras_hub.models.CausalLMPreprocessor,
        keras_hub.tokenizers.Tokenizer,
    ):
        print(type(cls.from_preset({path!r})).__name__)
"""


@pytest.mark.parametrize("ours_first", [True, False])
def test_classes_are_found_in_either_order_of_imports(
    make_m2, tokenizers, tmp_path, ours_first
):
    make_m2(tokenizers["one_token"], **TINY).save_to_preset(str(tmp_path))
    imports = ["import keras_nc.models", "import keras_hub, keras_nlp"]
    imports = "; ".join(imports if ours_first else imports[::-1])
    printed = run_script(
        IN_ORDER.format(imports=imports, path=str(tmp_path)), bare=ours_first
    )
    assert printed.split() == [
        "CompressedCausalLM",
        "CompressedCausalLM",
        "CompressedBackbone",
        "CompressedCausalLMPreprocessor",
        "EqualInfoTokenizer",
    ]


def test_our_classes_need_the_package_only(make_m2, tokenizers, tmp_path):
    make_m2(tokenizers["one_token"], **TINY).save_to_preset(str(tmp_path))
    printed = run_script(
        f"""
        import keras_nc
        m2 = keras_nc.models.CompressedCausalLM.from_preset({str(tmp_path)!r})
        print(m2.generate("the ", max_length=8)[:4])
        """
    )
    assert printed.split() == ["the"]


def test_a_swapped_codebook_is_refused(
    make_m2, tokenizers, codebooks, tmp_path
):
    make_m2(tokenizers["one_token"]).save_to_preset(str(tmp_path))
    codebooks[16].save(tmp_path / "assets" / "tokenizer" / "codebook.npz")
    with pytest.raises(ValueError, match="fingerprint"):
        keras_hub.models.CausalLM.from_preset(str(tmp_path))


def test_a_damaged_codebook_is_refused(make_m2, tokenizers, tmp_path):
    make_m2(tokenizers["one_token"]).save_to_preset(str(tmp_path))
    path = tmp_path / "assets" / "tokenizer" / "codebook.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="codebook"):
        keras_hub.models.CausalLM.from_preset(str(tmp_path))


def test_a_failed_save_leaves_the_old_preset(
    make_m2, tokenizers, tmp_path, monkeypatch
):
    causal_lm = make_m2(tokenizers["one_token"])
    causal_lm.save_to_preset(str(tmp_path / "preset"))
    expected = logits(causal_lm)
    causal_lm.set_weights([w + 1 for w in causal_lm.get_weights()])

    def no_space_left(path):
        raise OSError("no space left")

    scheme = causal_lm.preprocessor.tokenizer.scheme
    with monkeypatch.context() as patch:
        patch.setattr(scheme, "save_assets", no_space_left)
        with pytest.raises(OSError, match="no space"):
            causal_lm.save_to_preset(str(tmp_path / "preset"))
    assert os.listdir(tmp_path) == ["preset"]
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path / "preset"))
    np.testing.assert_allclose(logits(again), expected, atol=1e-5)
    causal_lm.save_to_preset(str(tmp_path / "preset"))
    again = keras_hub.models.CausalLM.from_preset(str(tmp_path / "preset"))
    np.testing.assert_allclose(logits(again), logits(causal_lm), atol=1e-5)


def test_presets_hold_m2_alone(make_m2, tokenizers, tmp_path):
    causal_lm = make_m2(tokenizers["one_token"])
    causal_lm.save_to_preset(str(tmp_path))
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["parameter_count"] == causal_lm.backbone.count_params()
    files = {
        os.path.relpath(os.path.join(folder, name), tmp_path)
        for folder, _, names in os.walk(tmp_path)
        for name in names
    }
    assert files == {
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "preprocessor.json",
        "task.json",
        "tokenizer.json",
        os.path.join("assets", "tokenizer", "codebook.npz"),
    }


@pytest.mark.parametrize("name", ["one_token", "m1"])
def test_parts_can_be_saved_and_loaded_alone(
    make_m1, make_m2, tokenizers, tmp_path, name
):
    causal_lm = make_m1() if name == "m1" else make_m2(tokenizers[name])
    backbone, preprocessor = causal_lm.backbone, causal_lm.preprocessor
    ids = np.array([[1, 70, 80, 2]])
    x = {"token_ids": ids, "padding_mask": ids > 0}

    def same_backbone(found):
        assert type(found) is type(backbone)
        np.testing.assert_allclose(
            *(ops.convert_to_numpy(b(x)) for b in (found, backbone)), atol=1e-5
        )

    def same_preprocessor(found):
        assert type(found) is type(preprocessor)
        assert found.get_config() == preprocessor.get_config()
        np.testing.assert_array_equal(
            found(TEXTS)[0]["token_ids"], preprocessor(TEXTS)[0]["token_ids"]
        )

    path = tmp_path / "backbone"
    backbone.save_to_preset(path)
    same_backbone(type(backbone).from_preset(path))
    for library in (keras_hub, keras_nlp):
        same_backbone(library.models.Backbone.from_preset(str(path)))
        loaded = library.models.CausalLM.from_preset(
            str(path), preprocessor=None
        )
        same_backbone(loaded.backbone)
    loaded = type(causal_lm).from_preset(path)
    assert loaded.preprocessor is None
    same_backbone(loaded.backbone)

    path = tmp_path / "preprocessor"
    preprocessor.save_to_preset(path)
    same_preprocessor(type(preprocessor).from_preset(path))
    for library in (keras_hub, keras_nlp):
        found = library.models.CausalLMPreprocessor.from_preset(str(path))
        same_preprocessor(found)
        found = library.tokenizers.Tokenizer.from_preset(str(path))
        assert found.fingerprint == preprocessor.tokenizer.fingerprint
    for load in (
        type(causal_lm).from_preset,
        type(backbone).from_preset,
        keras_hub.models.CausalLM.from_preset,
        keras_hub.models.Backbone.from_preset,
    ):
        with pytest.raises(ValueError, match=r"no model|alone"):
            load(str(path))

    # One beside the other, in either order.
    for folder, parts in (
        ("a", (backbone, preprocessor)),
        ("b", (preprocessor, backbone)),
    ):
        for part in parts:
            part.save_to_preset(tmp_path / folder)
        loaded = keras_hub.models.CausalLM.from_preset(str(tmp_path / folder))
        assert type(loaded) is type(causal_lm)
        same_backbone(loaded.backbone)
        same_preprocessor(loaded.preprocessor)


def test_a_part_saved_into_a_models_preset_takes_its_place(make_m1, tmp_path):
    make_m1(sequence_length=32, **TINY).save_to_preset(tmp_path)
    other = make_m1(sequence_length=16, **{**TINY, "hidden_dim": 32})
    other.backbone.save_to_preset(tmp_path)
    other.preprocessor.save_to_preset(tmp_path)
    for library in (models.ByteCausalLM, keras_hub.models.CausalLM):
        again = library.from_preset(str(tmp_path))
        assert again.preprocessor.sequence_length == 16
        assert again.backbone.hidden_dim == 32
