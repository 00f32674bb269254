"""The presets that come with the package."""

import pathlib
import time

import h5py
import keras
import keras_hub
import keras_nlp
import numpy as np
import pytest
import setuptools

from keras_nc import models
from keras_nc import presets
from keras_nc import tokenizers

FOLDER = pathlib.Path(presets.__file__).parent
MODELS = {
    "byte_lm_3m_en": models.ByteCausalLM,
    "compressed_lm_3m_en": models.CompressedCausalLM,
}
#: Bits per byte of the text below.
EXPECTED = {"byte_lm_3m_en": 1.3772, "compressed_lm_3m_en": 1.2838}
TEXT = (
    b"This program is free software; you can redistribute it and/or modify it "
    b"under the terms of the licence. The following options are available: "
)


def files():
    return [path for path in FOLDER.rglob("*") if path.is_file()]


def arrays_of(group):
    """Yield all arrays of an HDF5 group."""
    for item in group.values():
        if isinstance(item, h5py.Dataset):
            yield item
        else:
            yield from arrays_of(item)


def seconds(call):
    """Return the result of a call, and its time on the processor.

    Bounds on it are three times what is promised, for machines that are busy.
    """
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def test_names_are_the_folders_and_are_listed():
    folders = {p.name for p in FOLDER.iterdir() if (p / "README.md").exists()}
    assert folders == set(presets.PRESETS)
    for name, cls in MODELS.items():
        for part in (cls, cls.backbone_cls, cls.preprocessor_cls):
            assert set(part.presets) == {name}
    by_class = (
        (tokenizers.EqualInfoTokenizer, presets.TOKENIZERS),
        (models.CompressedTokenizer, presets.COMPRESSED_LMS),
        (models.ByteLMTokenizer, presets.BYTE_LMS),
        (tokenizers.SentencePieceTokenizer, {}),
    )
    for cls, expected in by_class:
        assert set(cls.presets) == set(expected), cls
    assert set(keras_hub.models.CausalLM.presets) >= set(MODELS)
    assert set(keras_hub.tokenizers.Tokenizer.presets) >= set(presets.PRESETS)
    for entry in presets.PRESETS.values():
        assert set(entry) == {"metadata", "kaggle_handle"}
        assert entry["metadata"]["description"].endswith(".")


def test_files_are_small_and_weights_take_two_bytes():
    assert sum(path.stat().st_size for path in files()) < 25e6
    for name, cls in MODELS.items():
        with h5py.File(FOLDER / name / "model.weights.h5") as file:
            dtypes = {array.dtype for array in arrays_of(file)}
        assert dtypes == {np.dtype("float16")}
        count = presets.PRESETS[name]["metadata"]["params"]
        assert cls.backbone_cls.from_preset(name).count_params() == count


def test_files_are_package_data(monkeypatch):
    monkeypatch.chdir(FOLDER.parents[1])
    distribution = setuptools.Distribution()
    distribution.parse_config_files(["pyproject.toml"])
    # Files that git knows are not looked at, and nothing is written.
    distribution.include_package_data = False
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    assert "keras_nc.presets" in distribution.packages
    assert not [p for p in distribution.packages if p.endswith("_en")]
    built = {
        pathlib.Path(source, name).resolve()
        for _, source, _, names in build.data_files
        for name in names
    }
    own = {path for path in files() if path.suffix not in (".py", ".pyc")}
    assert own <= built


@pytest.mark.parametrize("name", MODELS)
def test_models_load_and_score_text(name):
    cls = MODELS[name]
    causal_lm, taken = seconds(lambda: cls.from_preset(name))
    assert taken < 9
    assert {w.dtype for w in causal_lm.backbone.weights} == {"float32"}
    score = causal_lm.bits_per_byte(TEXT, 256, batch_size=1)
    assert score == pytest.approx(EXPECTED[name], abs=1e-3)
    for library in (keras_hub, keras_nlp):
        again = library.models.CausalLM.from_preset(name)
        assert type(again) is cls
        for a, b in zip(
            again.backbone.weights, causal_lm.backbone.weights, strict=True
        ):
            np.testing.assert_array_equal(
                *map(keras.ops.convert_to_numpy, (a, b))
            )
        own, other = causal_lm.preprocessor, again.preprocessor
        assert own.tokenizer.fingerprint == other.tokenizer.fingerprint


@pytest.mark.parametrize("name", presets.PRESETS)
def test_tokenizers_load_and_give_bytes_back(name):
    cls = tokenizers.SchemeTokenizer
    tokenizer, taken = seconds(lambda: cls.from_preset(name))
    assert taken < 1.5
    everything = bytes(range(256)) + TEXT
    assert tokenizer.detokenize(tokenizer(everything)) == everything
    theirs = keras_hub.tokenizers.Tokenizer.from_preset(name)
    assert theirs.fingerprint == tokenizer.fingerprint


def test_the_tokenizer_of_m2_has_a_preset_of_its_own():
    own, of_m2 = (
        tokenizers.EqualInfoTokenizer.from_preset(name)
        for name in ("equal_info_12bit_en", "compressed_lm_3m_en")
    )
    assert own.fingerprint == of_m2.fingerprint


@pytest.mark.parametrize("name", presets.PRESETS)
def test_model_cards_tell_data_figures_and_commands(name):
    card = (FOLDER / name / "README.md").read_text()
    header = "---\nlibrary_name: keras-hub\nlicense: apache-2.0\n"
    assert card.startswith(header)
    parts = [line for line in card.splitlines() if line.startswith("## ")]
    assert parts == ["## Data", "## Training", "## Figures", "## Limits"]
    tokenizer = tokenizers.SchemeTokenizer.from_preset(name)
    for fact in (f"\n# {name}\n", "Debian 12", "GFDL", f"--preset {name}"):
        assert fact in card, fact
    if tokenizer.scheme_name == "equal_info":
        assert tokenizer.codebook.fingerprint in card
    if name in MODELS:
        params = presets.PRESETS[name]["metadata"]["params"]
        for fact in (f"{params:,}", "H100", "seconds", "Limits", "float16"):
            assert fact in card, fact


def test_unknown_names_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match="equal_info_12bit_en") as caught:
        tokenizers.EqualInfoTokenizer.from_preset("equal_info_13bit_en")
    assert "Received: 'equal_info_13bit_en'" in str(caught.value)
    with pytest.raises(ValueError, match=r"Built-in names.*'byte_lm_3m_en'"):
        models.ByteCausalLM.from_preset("compressed_lm_3m_en")


def test_models_with_weights_draw_no_random_ones(monkeypatch):
    """Drawing them took most of the time; a model without weights has them."""

    def refuse(*args, **kwargs):
        raise AssertionError("random weights were drawn")

    with monkeypatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", refuse)
        patch.setattr(keras.initializers.RandomNormal, "__call__", refuse)
        for name, cls in MODELS.items():
            cls.backbone_cls.from_preset(name)
    for name, cls in MODELS.items():
        backbone = cls.backbone_cls.from_preset(name, load_weights=False)
        for weight in backbone.trainable_weights:
            if weight.name == "kernel":
                assert keras.ops.convert_to_numpy(weight).std() > 0
