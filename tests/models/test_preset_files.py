"""Presets are saved whole or not at all, on any disk."""

import contextlib
import os
import pathlib
import shutil
import tempfile

import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_nc import models
from keras_nc.models import presets
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

TINY = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16)


def files_in(folder):
    return {
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    }


def same_weights(a, b):
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (x, y)))


@pytest.fixture
def other_disk(tmp_path):
    """A directory of another file system."""
    if not os.path.isdir("/dev/shm"):
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("there is no other file system")
        yield pathlib.Path(folder)


@pytest.mark.parametrize("linked", ["preset", "preset/assets", "preset/new"])
def test_links_to_other_disks_are_followed(
    make_m2, make_m1, codebooks, tmp_path, other_disk, linked
):
    link = tmp_path / linked
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(other_disk, target_is_directory=True)
    folder = link if linked.endswith("new") else tmp_path / "preset"
    causal_lm = make_m2(EqualInfoTokenizer(codebooks[12]), **TINY)
    # Save again over the first preset, and over a model of another class.
    make_m1(**TINY).save_to_preset(folder)
    for _ in range(2):
        causal_lm.save_to_preset(folder)
    again = models.CompressedCausalLM.from_preset(folder)
    assert again.generate(b"the ", max_length=8).startswith(b"the ")
    same_weights(again, causal_lm)
    assert link.is_symlink() and os.listdir(other_disk)
    assert "assets/tokenizer/byte_scheme.txt" not in files_in(folder)
    assert not [name for name in os.listdir(folder) if "saving" in name]


def test_a_link_to_a_directory_that_is_not_there(make_m1, tmp_path, other_disk):
    (tmp_path / "preset").symlink_to(other_disk / "new")
    make_m1(**TINY).save_to_preset(tmp_path / "preset")
    assert "config.json" in os.listdir(other_disk / "new")


def test_the_older_preset_comes_back_if_files_cannot_take_their_places(
    make_m1, tmp_path
):
    causal_lm = make_m1(**TINY)
    causal_lm.save_to_preset(tmp_path)
    shutil.rmtree(tmp_path / "assets")
    (tmp_path / "assets").write_text("a file where a folder must be")
    before = {n: (tmp_path / n).read_bytes() for n in files_in(tmp_path)}
    causal_lm.set_weights([w + 1 for w in causal_lm.get_weights()])
    with pytest.raises(OSError, match="assets"):
        causal_lm.save_to_preset(tmp_path)
    assert before == {
        n: (tmp_path / n).read_bytes() for n in files_in(tmp_path)
    }


# Eight files of the older preset go, eight take their places.
@pytest.mark.parametrize(
    "moves, left",
    [(0, "old"), (1, ""), (8, ""), (9, ""), (15, ""), (16, "new")],
)
def test_a_save_that_is_killed_leaves_no_mixture(
    make_m1, tmp_path, monkeypatch, moves, left
):
    causal_lm = make_m1(**TINY)
    causal_lm.set_weights([w * 0 for w in causal_lm.get_weights()])
    causal_lm.save_to_preset(tmp_path)
    causal_lm.set_weights([w + 1 for w in causal_lm.get_weights()])
    move, left_to_move = presets.move, iter(range(moves))

    def move_or_die(source, target):
        if next(left_to_move, None) is None:  # and so no file is put back
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(presets, "move", move_or_die)
    with contextlib.suppress(KeyboardInterrupt):
        causal_lm.save_to_preset(tmp_path)
    if not left:
        with pytest.raises(ValueError, match="must be complete"):
            models.ByteCausalLM.from_preset(tmp_path)
        return
    again = models.ByteCausalLM.from_preset(tmp_path)
    expected = {"old": 0, "new": 1}[left]
    assert all((w == expected).all() for w in again.get_weights())


def test_what_an_older_preset_had_does_not_stay(make_m1, make_m2, tmp_path):
    make_m1(**TINY).save_to_preset(tmp_path)
    (tmp_path / "notes.txt").write_text("stays")
    # Weights in several files, although a single file would be found first.
    bare = models.CompressedCausalLM(
        models.CompressedBackbone(4096, **{**TINY, "num_layers": 4})
    )
    bare.save_to_preset(tmp_path, max_shard_size=2.6e-4)
    names = files_in(tmp_path)
    assert "model.weights.json" in names and "model.weights.h5" not in names
    assert names >= {"notes.txt", "README.md", "model_00000.weights.h5"}
    assert not any("tokenizer" in n or "preprocessor" in n for n in names)
    for library in (models.CompressedCausalLM, keras_hub.models.CausalLM):
        again = library.from_preset(str(tmp_path))
        assert again.preprocessor is None
        same_weights(again, bare)


@pytest.mark.parametrize("name", ["hf://user/model", "kaggle://a/b/keras/c"])
def test_handles_are_no_directories(make_m1, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    causal_lm = make_m1(**TINY)
    for part in (causal_lm, causal_lm.backbone, causal_lm.preprocessor):
        with pytest.raises(ValueError, match="upload_preset"):
            part.save_to_preset(name)
    assert not os.listdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="which is a file"):
        causal_lm.save_to_preset(tmp_path / "file")
