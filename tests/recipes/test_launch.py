"""Bad input gives one line that says what to do, and exit code 2."""

import dataclasses
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import keras
import pytest

from recipes import build_codebook
from recipes import configs
from recipes import evaluate
from recipes import generate
from recipes import launch
from recipes import quantize
from recipes import tokenize_corpus
from recipes import train_m1
from recipes import train_m2
from recipes import workdir
from recipes.setting import Setting

TEXTS = [f"Text number {i}, of no great interest. ".encode() for i in range(99)]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for i, text in enumerate(TEXTS):
        (folder / f"{i}.txt").write_bytes(text)
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """A function that runs a recipe with flags; exit code and line."""

    def run(*arguments, recipe=lambda setting: None):
        monkeypatch.setattr(sys, "argv", ["recipe.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            launch.main(recipe)
        return exit_.value.code, capsys.readouterr().err

    return run


def check(outcome, *words):
    code, said = outcome
    assert code == 2
    *progress, line = said.splitlines()
    assert progress in ([], ["Tokenizing into bytes"])
    assert line.startswith("recipe: error: ")
    for word in words:
        assert word in line, line


def test_unknown_config(command, tmp_path):
    workdir = tmp_path / "new"
    check(command("--config", "huge", "--workdir", workdir), "tiny", "huge")
    assert not workdir.exists()


def test_a_workdir_is_for_one_process_at_a_time(command, tmp_path, data):
    folder = tmp_path / "new"
    flags = ("--config", "smoke", "--workdir", folder, "--data", data / "*.txt")
    assert command(*flags) == (0, "")
    with workdir.only_process(folder):
        said = f"{folder}, which process {os.getpid()} uses"
        check(command(*flags), "one process at a time", said)
    assert command(*flags) == (0, "")


def test_missing_workdir(command):
    check(command("--config", "smoke"), "--workdir")


def test_unknown_flag(command):
    check(command("--workers", "3"), "--help")


def test_arguments_that_are_no_flags(command):
    check(command("tiny"), "tiny")


def test_missing_files(command, tmp_path):
    workdir = tmp_path / "new"
    outcome = command("--workdir", workdir, "--data", tmp_path / "no*.txt")
    check(outcome, "no*.txt", "matches none")
    assert not workdir.exists()


def test_a_workdir_that_cannot_be_made(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    check(command("--workdir", tmp_path / "file" / "new"), "Check the path")


def test_a_workdir_of_another_configuration(command, tmp_path, data):
    flags_ = ("--workdir", tmp_path / "new", "--data", data / "*.txt")
    assert command("--config", "smoke", *flags_)[0] in (None, 0)
    assert command("--config", "smoke", *flags_)[0] in (None, 0)
    check(command("--config", "tiny", *flags_), "another --workdir", "smoke")


def test_a_workdir_with_other_files(command, data):
    check(command("--workdir", data), "no recipe made")


def test_empty_data(command, tmp_path):
    (tmp_path / "empty.txt").touch()
    outcome = command(
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", tmp_path / "empty.txt"),
        recipe=lambda setting: tokenize_corpus.run(setting, "bytes"),
    )
    check(outcome, "train", "--data")
    assert not (tmp_path / "new").exists()


def test_unreadable_data(command, tmp_path):
    (tmp_path / "damaged.jsonl").write_text("{")
    outcome = command(
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", tmp_path / "damaged.jsonl"),
        recipe=lambda setting: tokenize_corpus.run(setting, "bytes"),
    )
    check(outcome, "damaged.jsonl", "line 1")
    assert not (tmp_path / "new").exists()


def test_advice_can_be_followed_in_the_same_workdir(command, tmp_path):
    """Follow the advice of each error in turn."""
    workdir = "--workdir", tmp_path / "new"
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"body": "Text enough."}\n' * 40)
    empty, document = tmp_path / "empty.txt", tmp_path / "one.txt"
    empty.touch()
    document.write_text("One document, and no other one. " * 9)
    check(command(*workdir, "--data", lines), "Set --text_key to the key")
    check(command(*workdir, "--data", empty), "Give other files to --data")
    held_out = "--data", lines, "--text_key", "body", "--held_out"
    check(command(*workdir, *held_out, empty), "other files to --held_out")
    check(command(*workdir, *held_out, lines), "leave it out")
    check(command(*workdir, *held_out, tmp_path / "no"), "at least one file")
    check(command(*workdir, "--data", ""), "--data: must name a file")
    assert not (tmp_path / "new").exists()
    code, said = command(*workdir, *held_out, document)
    assert (code, said) == (0, "")


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (build_codebook.run, ["train_m1"]),
        (lambda s: tokenize_corpus.run(s, "windows"), ["build_codebook"]),
        (
            lambda s: train_m2.run(s, "bytes"),
            ["tokenize_corpus", "--tokens", "bytes"],
        ),
        (lambda s: quantize.run(s, "windows"), ["train_m2"]),
        (evaluate.run, ["train_m1"]),
        (generate.run, ["train_m2"]),
    ],
)
def test_a_missing_stage_is_named(recipe, named, command, tmp_path, data):
    outcome = command(
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt"),
        recipe=recipe,
    )
    assert outcome[0] == 2
    line = outcome[1].splitlines()[-1]
    said = re.search(r"Run `python -m recipes\.([^`]*)` with the same", line)
    assert said[1].split() == named, line
    assert importlib.util.find_spec(f"recipes.{named[0]}")


def test_a_damaged_result_is_named(command, tmp_path, data):
    flags = (
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt"),
    )
    result = tmp_path / "new" / "tokens" / "bytes" / "result.json"

    def tokenize(setting):
        tokenize_corpus.main(setting, "bytes")

    assert command(*flags, recipe=tokenize)[0] == 0
    for damage in ("{", "", "[]"):
        result.write_text(damage)
        outcome = command(*flags, recipe=tokenize)
        line = outcome[1].splitlines()[-1]
        assert outcome[0] == 2 and "result.json" in line and "Delete it" in line
        result.unlink()
        assert command(*flags, recipe=tokenize)[0] == 0
    (tmp_path / "new" / "config.json").write_text("{")
    check(command(*flags, recipe=tokenize), "config.json", "Delete the folder")


def test_damaged_tokens_are_mended(command, tmp_path, data):
    flags = (
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt"),
    )

    def tokenize(setting):
        tokenize_corpus.main(setting, "bytes")

    assert command(*flags, recipe=tokenize)[0] == 0
    tokens = tmp_path / "new" / "tokens" / "bytes" / "train"
    good = (tokens / "tokens-00000.npy").read_bytes()
    (tokens / "tokens-00000.npy").write_bytes(good[:-1])
    outcome = command(*flags, recipe=lambda s: train_m2.run(s, "bytes"))
    assert outcome[0] == 2
    said = outcome[1].splitlines()[-1]
    assert "tokens-00000.npy" in said
    assert "`python -m recipes.tokenize_corpus --tokens bytes`" in said
    assert command(*flags, recipe=tokenize)[0] == 0
    assert (tokens / "tokens-00000.npy").read_bytes() == good
    # One bit, which sizes do not show.
    (tokens / "tokens-00000.npy").write_bytes(good[:-1] + b"?")
    assert command(*flags, recipe=tokenize)[0] == 0
    assert (tokens / "tokens-00000.npy").read_bytes() == good


def test_warnings_are_one_line(command, tmp_path, data):
    (tmp_path / "data" / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, said = command(
            *("--config", "smoke", "--workdir", tmp_path / "new"),
            *("--data", data / "*.txt"),
        )
    assert code == 0
    assert said.startswith("recipe: warning: ") and said.count("\n") == 1
    assert "picture.txt looks like a PNG image" in said


def test_patterns_may_be_several(command, tmp_path, data):
    """Commas, several words, and a comma that belongs to a name."""
    (tmp_path / "a,b.txt").write_text("a comma")
    found = []
    for words in (
        [f"{data}/1*.txt,{data}/2*.txt", f"{tmp_path}/a,b.txt"],
        [f"{data}/1*.txt", f"{data}/2*.txt", f"{tmp_path}/a,b.txt"],
    ):
        outcome = command(
            *("--config", "smoke", "--workdir", tmp_path / str(len(words))),
            *("--data", *words),
            recipe=lambda setting: found.append(setting.data),
        )
        assert outcome[0] == 0, outcome
    assert found[0] == found[1] and len(found[0]) == 3


def test_a_stage_that_lacks_another(command, tmp_path, data):
    outcome = command(
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt"),
        recipe=lambda setting: train_m2.run(setting, "windows"),
    )
    check(outcome, "recipes.tokenize_corpus")


def test_a_strategy_that_the_backend_lacks(command, tmp_path, data):
    lacked = {"jax": "mirrored"}.get(keras.backend.backend(), "data_parallel")
    outcome = command(
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt", "--strategy", lacked),
        recipe=train_m1.run,
    )
    check(outcome, lacked, "KERAS_BACKEND")


def test_processes_that_lack_a_number(command, tmp_path):
    workdir = tmp_path / "new"
    flags_ = ("--workdir", workdir, "--coordinator", "127.0.0.1:1234")
    on_jax = keras.backend.backend() == "jax"
    said = "coordinator" if on_jax else "JAX"
    check(command("--config", "smoke", *flags_), said)
    assert not workdir.exists()


def test_several_processes_only_train(tmp_path, data):
    config = configs.CONFIGS["smoke"]
    texts = (str(data / "*.txt"),)
    alone = Setting("smoke", config, tmp_path / "new", texts)
    several = dataclasses.replace(alone, alone=False)
    with pytest.raises(ValueError, match="without --coordinator"):
        workdir.claim_workdir(several)
    workdir.claim_workdir(alone)
    workdir.claim_workdir(several)
    with pytest.raises(ValueError, match="tokenizing is for one"):
        train_m1.run(several)


@pytest.mark.skipif(sys.platform == "win32", reason="needs file size limits")
def test_no_space_left(command, tmp_path, data):
    """A limit on file sizes fails as a full disk does: while writing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    try:
        outcome = command(
            *("--config", "smoke", "--workdir", tmp_path / "new"),
            *("--data", data / "*.txt"),
            recipe=lambda setting: tokenize_corpus.run(setting, "bytes"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check(outcome, "disk")
    tokens = tmp_path / "new" / "tokens" / "bytes"
    assert not (tokens / "result.json").exists()
    assert not list(tokens.rglob("*.tmp*"))


def test_an_unsupported_backend():
    result = subprocess.run(
        [sys.executable, "-m", "recipes.train_m1"],
        env={**os.environ, "KERAS_BACKEND": "theano"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("recipes: error: ")
    assert result.stderr.count("\n") == 1
    assert "theano" in result.stderr


def test_held_out_text_is_no_training_text(data):
    config = configs.CONFIGS["smoke"]
    setting = Setting("smoke", config, None, data=(str(data / "*.txt"),))
    train = set(setting.documents("train"))
    held_out = set(setting.documents("held_out"))
    assert held_out and not train & held_out
    assert train | held_out == set(TEXTS)
    assert set(setting.documents("probe")) <= held_out


def test_held_out_files_are_used(data, tmp_path):
    (tmp_path / "other.txt").write_bytes(b"held out")
    setting = Setting(
        "smoke",
        configs.CONFIGS["smoke"],
        None,
        data=(str(data / "*.txt"),),
        held_out=(str(tmp_path / "other.txt"),),
    )
    assert list(setting.documents("held_out")) == [b"held out"]
    assert sorted(setting.documents("train")) == sorted(TEXTS)


def test_the_papers_configurations():
    paper = configs.CONFIGS["paper_2b"]
    training = paper.m2_training
    assert (training.sequence_length, training.batch_size) == (512, 256)
    tokens = training.steps * training.batch_size * training.sequence_length
    assert tokens == pytest.approx(26.2e9, rel=0.01)
    assert (training.optimizer, training.schedule) == ("adafactor", "rsqrt")
    assert training.z_loss == 1e-4
    assert paper.m2 == configs.Model(24, 32, 2048, 8192)
    for config in configs.CONFIGS.values():
        for run in (config.m1_training, config.m2_training):
            assert run.steps % run.steps_per_epoch == 0


def test_sigterm_keeps_a_state_and_ends_with_code_0(command, tmp_path, data):
    state = tmp_path / "new" / "m1" / "checkpoint" / "state.json"
    flags_ = (
        *("--config", "smoke", "--workdir", tmp_path / "new"),
        *("--data", data / "*.txt", "--m1_training.steps", "2000"),
    )

    def terminate():
        while not state.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    code, said = command(*flags_, recipe=train_m1.run)
    assert code == 0
    step = re.search(r"stopped by SIGTERM after step (\d+)", said)[1]
    assert json.loads(state.read_text())["kept"][-1] == int(step) < 1000
    assert not (tmp_path / "new" / "m1" / "result.json").exists()


def test_the_codebook_of_a_built_in_m1(tmp_path):
    override = {"codebook.entropy_model": "byte_lm_3m_en"}
    config = launch.get_config("paper_25m", override)
    setting = Setting("paper_25m", config, tmp_path, data=("no file",))
    # It needs no M1 of its own: the next thing it looks for is the text.
    with pytest.raises(ValueError, match="'no file', which matches none"):
        build_codebook.run(setting)
