"""`--help` shows every flag of every recipe and benchmark, in groups."""

import re
import runpy
import sys
import warnings

import pytest

from tests.commands import ROOT

PROGRAMS = [
    f"{folder}.{path.stem}"
    for folder in ("recipes", "recipes.analyses", "benchmarks")
    for path in sorted((ROOT / folder.replace(".", "/")).glob("*.py"))
    if "__main__" in path.read_text() and path.stem != "flags"
]
RUNS = {
    "recipes.train_m1": ["--keep", "--peak_tflops", "--strategy"],
    "recipes.build_codebook": ["--held_out", "--text_key"],
    "recipes.train_m2": ["--tokens", "--restart_on_collapse", "--process_id"],
    "recipes.tokenize_corpus": ["--tokens", "--data"],
    "recipes.compare_tokenizers": ["--tokenizers", "--seeds", "--unseen"],
    "recipes.quickstart": ["--max_restarts", "--model_shards"],
    "recipes.evaluate": ["--data"],
    "recipes.generate": ["--data"],
    "recipes.quantize": ["--tokens"],
}
OTHERS = {
    "recipes.draw_windows": ["--output", "--window_bits", "--max_bytes"],
    "recipes.analyses.examples": ["--workdir", "--bytes"],
    "recipes.analyses.learnability": ["--workdir", "--steps"],
    "recipes.analyses.model_windows": ["--sizes", "--preset", "--unseen"],
    "recipes.analyses.positions": ["--workdir", "--experiment"],
    "recipes.analyses.prices": ["--prices", "--window_bits"],
    "recipes.analyses.randomness": ["--workdir", "--experiment"],
    "recipes.analyses.stability": ["--workdir", "--words"],
    "recipes.analyses.window_starts": ["--workdir", "--bytes"],
    "recipes.publish": ["--source", "--output"],
    "recipes.reproduce": ["--size", "--experiment", "--data", "--workdir"],
    "recipes.reproduce_report": ["--workdirs", "--output"],
    "recipes.score": ["--preset", "--held_out", "--sequence_length"],
    "recipes.show_collision": [],
    "recipes.time_training": ["--config", "--steps"],
    "benchmarks.compressors": ["--data", "--quick"],
    "benchmarks.corpora": ["--data", "--quick"],
    "benchmarks.generation": ["--sizes", "--batch-size", "--data", "--quick"],
    "benchmarks.on_gpu": ["--workdir", "--stages", "--minutes", "--quick"],
    "benchmarks.ratios": ["--data", "--held-out", "--max-bytes", "--quick"],
    "benchmarks.tokenizers": ["--m1", "--data", "--quick"],
    "benchmarks.training": ["--memory", "--sizes", "--parts", "--quick"],
}


@pytest.fixture
def run(monkeypatch, capsys):
    def run(program, *arguments):
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        monkeypatch.setenv("COLUMNS", "80")
        with warnings.catch_warnings():
            # The module was imported before, which is harmless.
            warnings.simplefilter("ignore", RuntimeWarning)
            with pytest.raises(SystemExit) as exit_:
                runpy.run_module(program, run_name="__main__", alter_sys=True)
        return exit_.value.code, *capsys.readouterr()

    return run


def test_no_program_is_forgotten():
    assert sorted(PROGRAMS) == sorted([*RUNS, *OTHERS])


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(program, run):
    code, printed, said = run(program, "--help")
    assert code == 0 and said == ""
    flags = {"--help", *re.findall(r"^  (--[\w-]+)", printed, re.M)}
    expected = {"--help", *RUNS.get(program, []), *OTHERS.get(program, [])}
    if program in RUNS:
        expected |= {"--config", "--data", "--workdir", "--coordinator"}
        groups = ["the run:", "the text:", "devices and processes:"]
        positions = [printed.index(f"\n{group}\n") for group in groups]
        assert positions == sorted(positions)
    assert expected <= flags
    assert printed.startswith(f"usage: python -m {program} [flags]")
    assert f"python -m {program}" in printed.split("\n", 1)[1]
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("program", PROGRAMS)
def test_unknown_flags(program, run):
    code, printed, said = run(program, "--no_such_flag")
    assert code == 2 and printed == ""
    assert re.fullmatch(r"\S+: error: .*no_such_flag.* See --help\.\n", said)
