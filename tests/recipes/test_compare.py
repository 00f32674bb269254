"""`recipes.compare_tokenizers`: preparation, runs, records and the table."""

import dataclasses
import json
import random
import shutil
import signal
import sys
import time
import zipfile

import keras
import pytest

from keras_nc import models
from recipes import compare_table
from recipes import compare_tokenizers
from recipes import configs
from recipes import launch
from recipes.engine import machine
from recipes.engine import preparation
from recipes.engine import runs
from recipes.engine import unseen
from recipes.setting import Setting
from tests import processes

WORDS, PHRASES = "BPE, GPT-2's splitting", "BPE without splitting"
TRAINING = dict(steps=4, steps_per_epoch=2, batch_size=4)


def write_text(folder):
    """Write documents of made-up words, as many as 512 ids need."""
    rng = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(rng.choices(syllables, k=3)) for _ in range(400)]
    folder.mkdir()
    for i in range(99):
        text = " ".join(rng.choices(words, k=90))
        (folder / f"{i}.txt").write_text(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "data"
    write_text(folder)
    return folder


@pytest.fixture(scope="module")
def setting(data):
    """A workdir with two tokenizers of 512 ids, made in two processes."""
    smoke = configs.CONFIGS["smoke"]
    config = dataclasses.replace(
        smoke, m2_training=dataclasses.replace(smoke.m2_training, **TRAINING)
    )
    files = (str(data / "*.txt"),)
    setting = Setting("smoke", config, data.parent / "prepared", data=files)
    jobs = jobs_of(setting)
    preparation.prepare_all([*jobs, jobs[0]], workers=2)
    return setting


def jobs_of(setting, unseen=()):
    return [
        preparation.Job(setting, name, 512, unseen) for name in (WORDS, PHRASES)
    ]


def runs_of(setting, folder, seed=0):
    """Return a run for each tokenizer, with the prepared files in a folder."""
    if not folder.exists():
        shutil.copytree(setting.workdir, folder)
    setting = dataclasses.replace(setting, workdir=folder)
    return [
        runs.Run(job, setting.config, job.name).with_seed(seed)
        for job in jobs_of(setting)
    ]


def test_damaged_shards_are_told(setting, tmp_path):
    run = runs_of(setting, tmp_path / "new")[0]
    train = run.job.folder / "train"
    (train / "tokens-00000.npy").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"damaged ones .* with --prepare"):
        runs.train_all([run], runs.Deadline())
    shutil.rmtree(train)
    shutil.copytree(run.job.folder / "held_out", train)
    with pytest.raises(ValueError, match=r"other ones.* with --prepare"):
        runs.train_all([run], runs.Deadline())


class StopsOnce(runs.Deadline):
    """A deadline that passes in the middle of a run."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def passed(self):
        self.calls -= 1
        return self.calls < 0


def test_a_stopped_run_continues_and_ends_the_same(setting, tmp_path):
    # Before a run, and after each of its two short epochs, is a call.
    records = runs.train_all(
        runs_of(setting, tmp_path / "stopped"), StopsOnce(4)
    )
    assert len(records) == 1
    stopped = tmp_path / "stopped" / "runs"
    (folder,) = stopped.iterdir()
    state = json.loads((folder / "checkpoint" / "state.json").read_text())
    assert state["step"] == TRAINING["steps_per_epoch"]
    records = runs.train_all(
        runs_of(setting, tmp_path / "stopped"), runs.Deadline()
    )
    uninterrupted = runs.train_all(
        runs_of(setting, tmp_path / "new")[1:], runs.Deadline()
    )
    (name,) = uninterrupted
    assert len(records) == 2
    assert records[name]["bits_per_byte"] == pytest.approx(
        uninterrupted[name]["bits_per_byte"]
    )
    assert not list(stopped.iterdir()), "records have what is needed"


@pytest.fixture
def compare(monkeypatch, capsys):
    """A function that runs the recipe; its code, output and messages."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            launch.main(
                compare_tokenizers.run,
                trains=True,
                configure=compare_tokenizers.configure,
                **compare_tokenizers.OWN,
            )
        return exit_.value.code, *capsys.readouterr()

    return run


def flags(workdir, data, *tokenizers):
    names = tokenizers or ("bytes", "SentencePiece BPE")
    return [
        *("--config", "smoke", "--workdir", workdir, "--data", data / "*.txt"),
        *("--tokens", "1k", "--m2_training.batch_size", 4),
        *(word for name in names for word in ("--tokenizers", name)),
    ]


def cells(table):
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in table.splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_prepare_then_train_then_train_no_more(compare, data, tmp_path):
    workdir = tmp_path / "new"
    texts = tmp_path / "data"
    shutil.copytree(data, texts)
    (tmp_path / "other.txt").write_text("A text of another kind. " * 50)
    command = [*flags(workdir, texts), "--unseen", tmp_path / "other.txt"]
    code, printed, _ = compare(*command, "--prepare", "--workers", 1)
    assert code == 0 and printed == ""
    assert not (workdir / "records").exists()
    # From here on, the workdir is all that is needed.
    shutil.rmtree(texts)
    (tmp_path / "other.txt").unlink()
    code, printed, said = compare(*command, "--minutes", 1e-6)
    assert code == 0 and "4 runs are left" in said
    byte, pieces = cells(printed)
    assert byte["bits/byte"] == pieces["bits/byte"] == "-"
    assert byte["ids"] == "259" and float(pieces["bytes/token"]) > 1

    code, printed, said = compare(*command, "--seeds", 1)
    assert code == 0
    assert (workdir / "table.md").read_text() == printed
    byte, pieces = cells(printed)
    assert byte["tokens"] == "bytes" and float(byte["bytes/token"]) < 1
    for row in (byte, pieces):
        assert 0 < float(row["bits/byte"]) < 8.1
        assert 0 < float(row["unseen bits/byte"]) < 9
        assert float(row["FLOPs/byte"].replace(",", "")) > 0
    assert "SentencePiece BPE, 512, seed 0" in said

    records = sorted((workdir / "records").iterdir())
    assert [path.name for path in records] == [
        "bytes_259_seed_0.json",
        "sentencepiece_bpe_512_seed_0.json",
    ]
    record = json.loads(records[1].read_text())
    assert record["tokens"] == 1024 and record["passes"] > 0
    assert record["curve"][-1]["step"] == 4
    assert record["settings"]["m2_training"]["batch_size"] == 4
    assert record["machine"]["backend"] == keras.backend.backend()
    assert record["machine"]["versions"]["keras"] == keras.__version__
    figures = json.loads(
        (
            workdir / "prepared" / "sentencepiece_bpe_512" / "prepared.json"
        ).read_text()
    )
    assert record["settings"]["fingerprint"] == figures["fingerprint"]
    assert record["settings"]["shards"] == figures["shards"]

    before = [path.stat().st_mtime_ns for path in records]
    code, again, said = compare(*command, "--seeds", 1)
    assert (code, again, said) == (0, printed, "")
    assert before == [path.stat().st_mtime_ns for path in records]

    # Records of other settings are refused.
    record["settings"]["m2_training"]["seed"] = 5
    records[1].write_text(json.dumps(record))
    code, _, said = compare(*command, "--seeds", 1)
    assert code == 2 and said.count("\n") == 1
    assert "was made with m2_training.seed=5. Received: 0." in said
    code, _, said = compare(*flags(workdir, texts), "--seeds", 1)
    assert code == 2 and said.count("\n") == 1 and "unseen" in said
    assert compare(*command, "--position", "rope")[2].count("m2.position") == 1


def test_bytes_have_one_model_for_all_sizes_of_vocabularies(
    compare, data, tmp_path
):
    command = [*flags(tmp_path / "new", data, "bytes", WORDS), "--seeds", 1]
    command += ["--ids", 512, 520]
    code, printed, said = compare(*command, "--minutes", 1e-6)
    assert code == 0 and "3 runs are left" in said
    titles = [line for line in printed.splitlines() if line.startswith("#")]
    assert titles == ["### own, 512 ids", "### own, 520 ids"]
    assert compare(*command, "--prepare", "--workers", 1)[0] == 0
    tables = compare(*command, "--minutes", 1e-6)[1].split("### ")[1:]
    rows = [[row["ids"] for row in cells(table)] for table in tables]
    assert rows == [["259", "512"], ["259", "520"]]


def test_killed_it_keeps_the_records_and_goes_on(compare, data, tmp_path):
    workdir = tmp_path / "new"
    command = [*flags(workdir, data, WORDS, PHRASES), "--seeds", 2]
    process = processes.start(
        ["-m", "recipes.compare_tokenizers", *command, "--workers", 1]
    )
    name = preparation.slug(f"{WORDS} 512 seed 0")
    record = workdir / "records" / f"{name}.json"
    deadline = time.monotonic() + 300
    while not record.exists():
        assert process.poll() is None, process.communicate()[1][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = record.read_bytes()
    code, printed, said = compare(*command)
    assert code == 0 and f"{WORDS}, 512, seed 0" not in said
    assert record.read_bytes() == before
    assert len(list((workdir / "records").glob("*.json"))) == 4
    for row in cells(printed):
        mean, half = map(float, row["bits/byte"].split(" ± "))
        assert 0 < half < mean
    assert not list(workdir.rglob("*.tmp*"))


def test_bits_at_equal_flops_lie_between_the_widths():
    points = [(100.0, 2.0), (1e4, 1.0)]
    assert compare_table.bits_at(points, 1e3) == pytest.approx(1.5)
    assert compare_table.bits_at(points[::-1], 100.0) == 2.0
    assert compare_table.bits_at(points, 2e4) is None
    assert compare_table.bits_at([], 100.0) is None


def test_widths_and_embeddings_have_columns(setting):
    rows, records = [], {}
    for embedding, gain in (("plain", 0.0), ("bytes", 0.1)):
        for width, bits in ((32, 2.0), (64, 1.0)):
            m2 = configs.at_width(setting.config.m2, width)
            m2 = dataclasses.replace(m2, embedding=embedding)
            config = dataclasses.replace(setting.config, m2=m2)
            for job, cost in zip(jobs_of(setting), (1.0, 0.5), strict=True):
                run = runs.Run(job, config, f"{job.name} {width} {embedding}")
                rows.append(run)
                records[run.with_seed(0).name] = {
                    "flops_per_byte": {"with_logits": cost * width**2},
                    "bits_per_byte": {"held_out": bits - gain},
                }
    del records[rows[-1].with_seed(0).name]
    found = cells(compare_table.markdown(rows, records, [0]))
    assert [row["tokens"] for row in found] == [WORDS, PHRASES] * 2
    assert [row["width"] for row in found] == ["32", "32", "64", "64"]
    scores = [
        [row[f"bits/byte, {name} embedding"] for name in ("plain", "bytes")]
        for row in found
    ]
    assert scores[0] == ["2.000", "1.900"]
    assert scores[2:] == [["1.000", "0.900"], ["1.000", "-"]]
    # The second costs half as much: the cost of the first is half of the way.
    column = "bits/byte at 1,024 FLOPs/byte, {} embedding"
    assert [row[column.format("plain")] for row in found[:2]] == [
        "2.000",
        "1.500",
    ]
    assert [row[column.format("bytes")] for row in found[:2]] == ["1.900", "-"]


def test_a_model_with_an_embedding_from_bytes_is_trained(setting, tmp_path):
    m2 = dataclasses.replace(setting.config.m2, embedding="bytes")
    config = dataclasses.replace(setting.config, m2=m2)
    trained = [
        dataclasses.replace(run, config=config)
        for run in runs_of(setting, tmp_path / "new")[:1]
    ]
    records = runs.train_all(trained, runs.Deadline(), save_models=True)
    plain = setting.config.m2.hidden_dim * 512
    for run in trained:
        record = records[run.name]
        assert record["settings"]["m2"]["embedding"] == "bytes"
        assert record["parameters"] - record["body_parameters"] > plain
        preset = tmp_path / "new" / "runs" / run.name / "preset"
        model = models.CompressedCausalLM.from_preset(str(preset))
        assert model.backbone.embedding == "bytes"
        text = b"babe bibo bubu"
        assert 0 < model.bits_per_byte(text) < 20
        assert (
            model.preprocessor.tokenizer.fingerprint
            == (record["settings"]["fingerprint"])
        )


def test_numbers_of_tokens_are_rounded_to_short_epochs():
    training = configs.CONFIGS["study"].m2_training
    new = configs.train_on(training, 32_800_000, 10)
    tokens = new.steps * new.batch_size * new.sequence_length
    assert tokens == pytest.approx(32.8e6, rel=0.01)
    assert new.steps == 10 * new.steps_per_epoch
    assert new.warmup_steps == 100
    least = configs.train_on(training, 1, 10)
    assert (least.steps, least.steps_per_epoch, least.warmup_steps) == (1, 1, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ids", 1000, "--tokenizers", "phrases"], "512, 1024"),
        (["--ids", 300], "at least 512"),
        (["--width", 33], "multiple of the heads' width, 16"),
        (["--tokens", "0"], "at least 1"),
        (["--tokens", "many"], "--tokens"),
        (["--minutes", "-1"], "must be positive"),
        (["--m2.heads", "3"], "--m2.num_heads"),
        (["--unseen", "no*.txt"], "no*.txt"),
        (["--m2_training.steps", 10], "Received: --m2_training.steps 10, and"),
        (["--sizes", "3m", "--m2.num_layers", "9"], "--m2.num_layers 9"),
        (["--sizes", "2b", "--ids", "65536"], "must fit the device"),
    ],
    ids=lambda value: (
        "" if isinstance(value, str) else " ".join(map(str, value))
    ),
)
def test_what_is_wrong_is_one_line(
    words, said, compare, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10**9)
    code, _, error = compare(*flags(tmp_path / "new", data), *words)
    assert code == 2 and error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "new" / "prepared").exists()


def test_the_lee_corpus_is_read_from_a_wheel(tmp_path, monkeypatch):
    if unseen.gensim_folder() is not None:
        assert len(unseen.lee_background()) == 300
        return
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="pip download gensim --no-deps"):
        unseen.unseen_documents(("lee",), "text")
    wheel = tmp_path / "gensim-4.4.0-any.whl"
    wheel.write_bytes(b"not a wheel")
    with pytest.raises(ValueError, match="must be a wheel of gensim"):
        unseen.unseen_documents(("lee",), "text")
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(
            "gensim/test/test_data/lee_background.cor", "One story.\nTwo.\n"
        )
    found = list(unseen.unseen_documents(("lee",), "text"))
    assert found == [b"One story.", b"Two."]
