"""Names, model cards, damaged presets, precision on load, quantization."""

import copy
import json
import shutil

import keras
import keras_hub
import numpy as np
import pytest

from keras_nc import models
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import presets

pytestmark = pytest.mark.usefixtures("seeded")

TEXTS = ["the statement", "a name"]
SMALLEST = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16)


@pytest.fixture(scope="module")
def m1(make_m1):
    keras.utils.set_random_seed(0)
    return make_m1(**SMALLEST)


@pytest.fixture
def saved(m1, tmp_path):
    m1.save_to_preset(tmp_path / "m1")
    return tmp_path / "m1"


def logits(causal_lm):
    x, _, _ = causal_lm.preprocessor(TEXTS)
    return keras.ops.convert_to_numpy(causal_lm(x))[..., :259]


def test_unknown_names_are_refused_with_what_there_is(saved, monkeypatch):
    classes = (models.ByteCausalLM, models.ByteBackbone)
    for cls in classes:
        with pytest.raises(ValueError, match="Built-in names") as caught:
            cls.from_preset("m1_small")
        assert "Received: 'm1_small'" in str(caught.value)
    # A name that is known.
    utils = presets.preset_utils
    known = {"m1_test": {"metadata": {}, "kaggle_handle": str(saved)}}
    for registry in ("BUILTIN_PRESETS", "BUILTIN_PRESETS_FOR_BACKBONE"):
        value = copy.deepcopy(getattr(utils, registry))
        monkeypatch.setattr(utils, registry, value)
    presets.register_presets(known, models.ByteBackbone)
    with pytest.raises(ValueError, match="'m1_test'"):
        models.ByteCausalLM.from_preset("m1_small")
    for cls in (*classes, keras_hub.models.CausalLM):
        assert set(cls.presets) >= {"m1_test"}
        assert isinstance(cls.from_preset("m1_test"), classes)
    assert "m1_test" not in models.CompressedCausalLM.presets


def test_a_preset_of_another_class_is_refused(saved):
    for cls in (models.CompressedCausalLM, models.CompressedBackbone):
        with pytest.raises(ValueError, match="has a ByteBackbone"):
            cls.from_preset(str(saved))


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_presets_are_refused(saved, name, damage):
    data = (saved / name).read_bytes()
    (saved / name).unlink()
    if damage == "cut":
        (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="must be complete") as caught:
        models.ByteCausalLM.from_preset(saved)
    assert str(saved) in str(caught.value)


def test_a_preset_without_its_tokenizer_files_is_refused(
    make_m2, codebooks, tmp_path
):
    tokenizer = EqualInfoTokenizer(codebooks[12])
    make_m2(tokenizer, **SMALLEST).save_to_preset(tmp_path)
    (tmp_path / "assets" / "tokenizer" / "codebook.npz").unlink()
    with pytest.raises(ValueError, match="codebook"):
        models.CompressedCausalLM.from_preset(tmp_path)


def test_model_cards_say_what_the_model_is(make_m2, codebooks, tmp_path):
    causal_lm = make_m2(EqualInfoTokenizer(codebooks[16], 8), **SMALLEST)
    causal_lm.save_to_preset(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: keras-hub\n")
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    for fact in (
        "| class | CompressedCausalLM |",
        f"| parameters | {metadata['parameter_count']:,}, ",
        "| ids | 259 |",
        "| tokenizer | equal_info |",
        "| bits per window, W | 16 |",
        "| bits per token, N | 8 |",
        f"`{causal_lm.preprocessor.tokenizer.fingerprint}`",
        "| quantized to | not quantized |",
    ):
        assert fact in card, fact
    assert "\nlicense:" not in card, "the licence is the user's to choose"


def test_the_precision_is_chosen_on_load(m1, saved):
    again = models.ByteCausalLM.from_preset(saved, dtype="mixed_bfloat16")
    for layer in (again.backbone, again.backbone.transformer_layers[0]):
        assert layer.compute_dtype == "bfloat16"
        assert layer.variable_dtype == "float32"
    difference = np.abs(logits(again) - logits(m1)).max()
    assert 0 < difference < 0.1


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_in_mixed_precision_is_loaded(make_m1, tmp_path, precision):
    model = make_m1(**SMALLEST, dtype=precision)
    model.save_to_preset(tmp_path / "new")
    # As it was written before.
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    assert config["config"]["dtype"]["config"]["name"] == "float32"
    config["config"]["dtype"]["config"]["name"] = precision
    path.write_text(json.dumps(config))
    for folder in ("new", "old"):
        for cls in (models.ByteCausalLM, keras_hub.models.CausalLM):
            if (folder, cls) == ("old", keras_hub.models.CausalLM):
                continue  # keras-hub itself refuses such a file
            again = cls.from_preset(str(tmp_path / folder))
            assert again.backbone.dtype_policy.name == "float32"
            difference = np.abs(logits(again) - logits(model)).max()
            assert 0 < difference < 0.1
        again = models.ByteCausalLM.from_preset(
            tmp_path / folder, dtype=precision
        )
        np.testing.assert_array_equal(logits(again), logits(model))


def test_int8_weights_cost_little_and_are_saved(make_m1, tmp_path):
    model = make_m1(**SMALLEST)
    before = model.evaluate(TEXTS, return_dict=True, verbose=0)
    model.quantize("int8")
    after = model.evaluate(TEXTS, return_dict=True, verbose=0)
    # Compiled functions are made again, and int8 is not exact.
    assert after["bits_per_byte"] != before["bits_per_byte"]
    assert after["bits_per_byte"] == pytest.approx(
        before["bits_per_byte"], abs=0.1
    )
    modes = [
        layer.quantization_mode
        for block in model.backbone.transformer_layers
        for layer in block._flatten_layers()
        if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))
    ]
    assert modes == ["int8"] * 7
    model.save_to_preset(tmp_path)
    assert "| quantized to | int8 |" in (tmp_path / "README.md").read_text()
    again = models.ByteCausalLM.from_preset(tmp_path)
    np.testing.assert_allclose(logits(again), logits(model), atol=1e-5)
    alone = models.ByteBackbone.from_preset(tmp_path)
    alone = models.ByteCausalLM(alone, model.preprocessor)
    np.testing.assert_array_equal(logits(alone), logits(again))
