"""`recipes.quickstart` as a user runs it, in the smallest configuration."""

import csv
import json
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import keras_nc
from recipes import quantize
from recipes.configs import CONFIGS
from recipes.setting import Setting
from tests import processes
from tests.scripts import run_script

SPLITS = ("train", "held_out", "probe")


def arguments(recipe, workdir):
    flags = "--config", "smoke", "--workdir", str(workdir)
    return ["-m", f"recipes.{recipe}", *flags]


def start(recipe, workdir):
    return processes.start(arguments(recipe, workdir))


def finish(process):
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said[-4000:]
    return said


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quickstart") / "smoke"
    # Start it as users do. Later runs need not import everything again.
    command = [sys.executable, *arguments("quickstart", workdir)]
    command.append("--from_scratch")
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return workdir


def metrics(folder):
    with open(folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    names = ("step", "loss", "bits_per_byte", "held_out_bits_per_byte")
    return [[float(row[name]) for name in names] for row in rows]


def test_every_stage_leaves_its_results(workdir):
    evaluation = json.loads((workdir / "evaluation.json").read_text())
    assert set(evaluation["models"]) == {"windows", "bytes", "sentencepiece"}
    for row in evaluation["models"].values():
        assert 0 < row["unigram"] < row["uniform"] <= 8.1
        assert 0 < row["bits_per_byte"] < row["uniform"]
        flops = row["flops_per_byte"]
        assert flops["run"] <= flops["paper"]
        assert flops["run"] < flops["with_logits"]
    tokens = {row["train_tokens"] for row in evaluation["models"].values()}
    assert len(tokens) == 1, "equal tokens for all"
    windows = evaluation["models"]["windows"]["flops_per_byte"]
    assert windows["run"] < windows["paper"], "the paper counts M1, too"


def test_the_text_is_the_same_for_all(workdir):
    for split in SPLITS:
        sizes = {
            keras_nc.data.TokenShards(
                workdir / "tokens" / tokens / split
            ).num_bytes
            for tokens in ("windows", "bytes", "sentencepiece")
        }
        assert len(sizes) == 1


def test_the_report_has_a_table_and_its_pictures(workdir):
    report = (workdir / "report.md").read_text()
    assert "| M2, equal-info windows 512 | 512 |" in report
    for name in ("gzip -9", "xz -9e", "zstd -19", "brotli -11"):
        assert re.search(rf"\| {name} \| \d\.\d{{3}} \|", report), name
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", report)
    assert len(pictures) == 4
    for picture in pictures:
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG"), picture
    assert "### Prompt 2" in report


def test_prompts_are_continued_by_all(workdir):
    generated = json.loads((workdir / "generations.json").read_text())
    assert len(generated["prompts"]) == 2
    for row in generated["models"].values():
        assert len(row["continuations"]) == 2
        assert row["bytes_per_second"] > 0


def test_m2_is_a_preset_that_a_new_process_loads(workdir):
    printed = run_script(
        f"""
        import keras_nc
        import keras_nlp
        folder = {str(workdir / "models" / "windows" / "preset")!r}
        m2 = keras_nlp.models.CausalLM.from_preset(folder)
        print(m2.generate("The prompt ", max_length=12)[:11])
        """
    )
    assert printed == "The prompt \n"


def test_m2_in_int8_costs_little(workdir):
    setting = Setting("smoke", CONFIGS["smoke"], workdir)
    result = quantize.run(setting, "windows")
    assert result["bits_per_byte_int8"] == pytest.approx(
        result["bits_per_byte"], abs=0.05
    )
    assert result["bytes_int8"] < result["bytes"]
    assert quantize.run(setting, "windows") == result, "it is done"


def test_a_finished_workdir_is_not_trained_again(workdir):
    def stamps():
        return {
            path: path.stat().st_mtime_ns
            for path in workdir.rglob("*")
            if path.is_file() and path.suffix not in (".md", ".png", ".lock")
        }

    before = stamps()
    again = [*arguments("quickstart", workdir), "--from_scratch"]
    said = finish(processes.start(again))
    assert stamps() == before
    assert "steps" not in said


def test_a_workdir_from_scratch_takes_no_presets(workdir):
    process = start("quickstart", workdir)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "codebook.entropy_model" in said


def test_it_starts_from_presets(tmp_path):
    """M1 is loaded, and both built-in codebook and M2 are in the report."""
    small = ["--codebook.window_bits", "12", "--m2_training.steps", "10"]
    small += ["--held_out_bytes", "4000", "--probe_bytes", "2000"]
    finish(processes.start([*arguments("quickstart", tmp_path), *small]))
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    models = evaluation["models"]
    assert set(models) == {"windows", "built_in", "bytes", "sentencepiece"}
    tokens = {row["train_tokens"] for row in models.values()}
    assert len(tokens) == 1, "equal tokens for all"
    built_in = keras_nc.tokenizers.EqualInfoTokenizer.from_preset(
        "equal_info_12bit_en"
    )
    folder = tmp_path / "tokens" / "built_in"
    result = json.loads((folder / "result.json").read_text())
    assert result["fingerprint"] == built_in.fingerprint
    assert evaluation["m1"]["preset"] == "byte_lm_3m_en"
    # It has learned; an M1 of this configuration would be near 5.
    assert evaluation["m1"]["bits_per_byte"] < 3
    report = (tmp_path / "report.md").read_text()
    assert "| load and score M1 |" in report
    assert "**The built-in compressed_lm_3m_en** continues:" in report
    assert "learned from other English text" in report


def test_nothing_temporary_is_left(workdir):
    assert not list(workdir.rglob("*.tmp*"))


def test_killed_and_interrupted_it_ends_with_the_same_losses(workdir, tmp_path):
    """Ctrl-C, then kill -9 after the first checkpoint, then to the end."""
    other = tmp_path / "killed"
    state = other / "m1" / "checkpoint" / "state.json"
    process = start("train_m1", other)
    wait_for(other / "config.json", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said[-2000:]
    assert "Traceback" not in said
    process = start("train_m1", other)
    wait_for(state, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    assert not (other / "m1" / "result.json").exists()
    kept = json.loads(state.read_text())["kept"]
    finish(start("train_m1", other))
    assert kept == [10]
    assert json.loads(state.read_text())["kept"] == [10, 20]
    np.testing.assert_allclose(
        metrics(other / "m1"), metrics(workdir / "m1"), atol=1e-5
    )


def test_killed_at_any_moment_it_ends_with_the_same_losses(workdir, tmp_path):
    """kill -9 while it starts, tokenizes, trains, saves or scores."""
    other = tmp_path / "killed"
    seed = time.time_ns()
    moments = random.Random(seed)
    finish(processes.start(["-c", "import keras_nc"]))  # libraries imported
    begun = time.monotonic()
    finish(start("train_m1", tmp_path / "whole"))
    seconds = time.monotonic() - begun
    killed = 0
    for _ in range(4):
        process = start("train_m1", other)
        time.sleep(moments.uniform(0, 0.8 * seconds))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    finish(start("train_m1", other))
    assert killed, f"seed {seed}"
    np.testing.assert_allclose(
        metrics(other / "m1"),
        metrics(workdir / "m1"),
        atol=1e-5,
        err_msg=f"seed {seed}",
    )


def wait_for(path, process):
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
