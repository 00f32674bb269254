"""Presets to share, and the figures of presets."""

import math
import pathlib

import h5py
import keras
import numpy as np
import pytest

from keras_nc import models
from keras_nc.tokenizers import EqualInfoTokenizer
from recipes import publish
from recipes import score


@pytest.fixture
def m1(make_m1):
    keras.utils.set_random_seed(0)
    return make_m1()


def test_weights_take_half_the_space(m1, tmp_path):
    source, output = tmp_path / "source", tmp_path / "output"
    m1.save_to_preset(source)
    output.mkdir()
    (output / "README.md").write_text("A card by hand.")
    publish.run(source, output)
    assert (output / "README.md").read_text() == "A card by hand."
    with h5py.File(output / "model.weights.h5") as file:
        table = file["layers/token_embedding/vars/0"]
        assert table.dtype == "float16"
    again = models.ByteCausalLM.from_preset(output)
    for new, old in zip(
        again.backbone.weights, m1.backbone.weights, strict=True
    ):
        assert new.dtype == "float32"
        new, old = map(keras.ops.convert_to_numpy, (new, old))
        np.testing.assert_array_equal(new, old.astype("float16"))


@pytest.mark.parametrize("value", [70_000, math.nan])
def test_weights_beyond_float16_are_refused(m1, tmp_path, value):
    m1.backbone.layer_norm.scale.assign(np.full(32, value))
    m1.save_to_preset(tmp_path / "source")
    with pytest.raises(ValueError, match=r"layer_norm/scale, with others"):
        publish.run(tmp_path / "source", tmp_path / "output")


def test_a_codebook_becomes_a_preset(codebooks, tmp_path):
    codebooks[12].save(tmp_path / "codebook.npz")
    publish.run(tmp_path / "codebook.npz", tmp_path / "ids")
    tokenizer = EqualInfoTokenizer.from_preset(tmp_path / "ids")
    assert tokenizer.codebook == codebooks[12]


def test_figures_of_presets(text, tmp_path, capsys):
    path = pathlib.Path(tmp_path, "text.txt")
    path.write_bytes(text[:3_000])

    def rows_of(preset, *lengths):
        return score.run(preset, (str(path),), "text", 2_000, list(lengths))

    (row,) = rows_of("equal_info_12bit_en")
    assert 2 < row["bytes/token"] < 5 and "bits/byte" not in row
    short, long = rows_of("byte_lm_3m_en", 16, 256)
    assert short["bits/byte"] > long["bits/byte"] + 0.2
    assert 1_500 < long["bytes"] <= 2_000
    printed = capsys.readouterr().out
    assert f"| 256 | {long['bits/byte']:.4f} |" in printed
