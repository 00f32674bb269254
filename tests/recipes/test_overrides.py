"""Flags that override a configuration, in every recipe that takes one."""

import dataclasses
import sys

import pytest

from keras_nc import training
from recipes import configs
from recipes import launch
from recipes import time_training
from recipes.engine.overrides import apply_overrides
from recipes.engine.overrides import take_overrides

SMOKE = configs.CONFIGS["smoke"]


def configure(*words):
    overrides, others = take_overrides(words, configs.Config)
    assert others == []
    return configs.check_config(apply_overrides(SMOKE, overrides))


def test_other_flags_are_left_in_order():
    words = ["--data", "a.txt", "b", "--m2.position", "rope", "--keep=3"]
    overrides, others = take_overrides(words, configs.Config)
    assert overrides == {"m2.position": "rope"}
    assert others == ["--data", "a.txt", "b", "--keep=3"]


@pytest.mark.parametrize(
    ("words", "section", "field", "value"),
    [
        (["--m2_training.batch_size", "64"], "m2_training", "batch_size", 64),
        (["--m2_training.learning_rate=1e-3"], None, None, 1e-3),
        (["--m1.hidden_dim", "1_024"], "m1", "hidden_dim", 1024),
        (["--codebook.entropy_model", "counts"], None, None, "counts"),
        (["--codebook.paper", "True"], None, None, True),
        (["--codebook.token_bits", "3"], None, None, 3),
        (["--codebook.token_bits", "none"], None, None, None),
        (["--m2_training.seed", "0"], None, None, 0),
        (["--train_bytes", "none"], None, None, None),
        (["--dtype", "mixed_bfloat16"], None, None, "mixed_bfloat16"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_values_have_the_type_of_their_field(words, section, field, value):
    config = configure(*words)
    path = words[0].removeprefix("--").partition("=")[0].split(".")
    found = config
    for name in path:
        found = getattr(found, name)
    assert found == value and type(found) is type(value)
    if section:
        assert [section, field] == path
    # Nothing else has changed.
    part = getattr(SMOKE, path[0])
    if len(path) == 2:
        kept = getattr(part, path[1])
        new = dataclasses.replace(getattr(config, path[0]), **{path[1]: kept})
        assert dataclasses.replace(config, **{path[0]: new}) == SMOKE
    else:
        assert dataclasses.replace(config, **{path[0]: part}) == SMOKE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--m2_training.bach_size 4", ["--m2_training.batch_size", "z_loss"]),
        ("--m3.hidden_dim 4", ["--m3.hidden_dim", "--m2_training"]),
        ("--dtype.x 4", ["--dtype has no fields"]),
        ("--m2.hidden_dim.x 4", ["--m2.hidden_dim", "--m2.num_heads"]),
        ("--m2 4", ["section", "--m2.hidden_dim"]),
        ("--m2.hidden_dim 4.5", ["an integer of at least 1", "4.5"]),
        ("--m2.hidden_dim none", ["an integer of at least 1"]),
        ("--m2.hidden_dim 0", ["an integer of at least 1", "Received: 0"]),
        ("--m2.hidden_dim", ["one value", "none"]),
        ("--m2.hidden_dim 4 5", ["one value", "4 5"]),
        ("--m2_training.learning_rate nan", ["finite", "nan"]),
        ("--m2_training.learning_rate -1", ["not negative", "-1"]),
        ("--m2_training.optimizer adam", ["adafactor, adamw, muon", "adam"]),
        ("--codebook.window_bits 17", ["9, 10", "16", "Received: 17"]),
        ("--codebook.paper yes", ["true or false", "yes"]),
        ("--codebook.token_bits x", ["or none", "x"]),
        ("--m2.hidden_dim 33", ["--m2.num_heads", "33 and 2"]),
        ("--m1_training.steps 15", ["--m1_training.steps_per_epoch"]),
        ("--codebook.token_bits 4", ["--codebook.window_bits", "9 and 4"]),
        (
            "--m2_training.schedule cosine --m2_training.warmup_steps 20",
            ["warm-up", "--m2_training.steps 20"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_one_line(words, said):
    with pytest.raises(ValueError) as error:
        configure(*words.split())
    message = str(error.value)
    assert "\n" not in message
    for text in said:
        assert text in message


def test_choices_are_those_of_the_package():
    assert configs.OPTIMIZERS == training.optimizers.OPTIMIZERS
    assert configs.SCHEDULES == training.optimizers.SCHEDULES


def start(monkeypatch, capsys, main, *words):
    monkeypatch.setattr(sys, "argv", ["recipe.py", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code, *capsys.readouterr()


def test_recipes_take_them(monkeypatch, capsys, tmp_path):
    found = []

    def main():
        launch.main(found.append)

    flags = ("--config", "smoke", "--workdir", tmp_path / "new")
    batch_size = ("--m2_training.batch_size", 4)
    code, _, said = start(monkeypatch, capsys, main, *flags, *batch_size)
    assert (code, said) == (0, "")
    assert found[0].config.m2_training.batch_size == 4
    # The workdir belongs to this configuration.
    assert start(monkeypatch, capsys, main, *flags, *batch_size)[0] == 0
    code, _, said = start(monkeypatch, capsys, main, *flags)
    assert code == 2 and said.count("\n") == 1
    assert "m2_training.batch_size=4. Received: 8." in said


def test_recipes_without_a_workdir_take_them(monkeypatch, capsys):
    def main():
        launch.start(
            time_training.run, config=launch.CONFIG, steps=time_training.STEPS
        )

    # A page runs this with a field that fits.
    code, printed, said = start(
        monkeypatch, capsys, main, "--m2.num_heads", 0, "--steps", 1
    )
    assert (code, printed) == (2, "")
    assert "--m2.num_heads must be an integer of at least 1" in said
