"""`recipes.reproduce`: four schemes, their records, the report and claims."""

import dataclasses
import json
import math
import random
import shutil
import sys

import numpy as np
import pytest

from keras_nc import models
from keras_nc.tokenizers.arithmetic import ArithmeticScheme
from recipes import configs
from recipes import experiments
from recipes import launch
from recipes import reproduce
from recipes import reproduce_report
from recipes import verdicts
from recipes import workdir
from recipes.engine import machine
from recipes.engine import preparation
from recipes.engine import records
from recipes.engine.trainer import Trainer
from recipes.paper_results import RESULTS

#: All of 259 ids, so that they share a compiled step.
FOUR = ("bytes", "gzip_v256", "ac_v256", "b16_v256")
SMALL = {
    "m2.num_layers": 1,
    "m2.num_heads": 2,
    "m2.hidden_dim": 16,
    "m2.intermediate_dim": 32,
    "m2_training.sequence_length": 32,
    "m2_training.batch_size": 4,
    "m2_training.learning_rate": 0,
    "m1_training.batch_size": 1,
    "m1_training.sequence_length": 32,
    "tokens": 512,
    "compressor": "counts",
    "train_bytes": 9000,
    "held_out_bytes": 4000,
    "probe_bytes": 2000,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce") / "data"
    folder.mkdir()
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefg", k=4)) for _ in range(200)]
    for i in range(99):
        text = " ".join(rng.choices(words, k=40))
        (folder / f"{i}.txt").write_text(text)
    return folder


@pytest.fixture
def run(monkeypatch, capsys, data):
    """A function that runs the recipe; its code, output and messages."""

    def run(workdir, *words, names=FOUR, **others):
        flags = {"workdir": workdir, "data": data / "*.txt", **SMALL, **others}
        words = [*words, *(f"--{name}={its}" for name, its in flags.items())]
        words += [f"--experiment={name}" for name in names]
        monkeypatch.setattr(sys, "argv", ["reproduce", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            launch.main(
                reproduce.run,
                trains=True,
                configure=reproduce.configure,
                choose=reproduce.choose,
                **reproduce.OWN,
            )
        return exit_.value.code, *capsys.readouterr()

    return run


def plant_uniform(monkeypatch):
    """Give every new model logits of zero; nothing is learned at rate 0."""
    begin = Trainer.begin

    def begin_uniform(self, seed):
        begin(self, seed)
        table = self.model.backbone.token_embedding.embeddings
        table.assign(np.zeros(table.shape))

    monkeypatch.setattr(Trainer, "begin", begin_uniform)


def test_four_schemes_and_a_uniform_model(run, data, tmp_path, monkeypatch):
    plant_uniform(monkeypatch)
    workdir = tmp_path / "new"
    code, printed, said = run(workdir, "--prepare", workers=1)
    assert (code, printed) == (0, "") and "Tokenizers left: 0 of 4" in said
    texts = {
        int(preparation.TokenShards(folder / "held_out").num_bytes)
        for folder in (workdir / "prepared").iterdir()
    }
    assert len(texts) == 1, "all are scored on the same bytes"

    code, printed, said = run(workdir, minutes=1e-6)
    assert code == 0 and "4 runs are left. The same command goes on." in said
    assert "No run is finished yet" in printed
    assert not (workdir / "records").exists()

    code, printed, said = run(workdir)
    assert code == 0 and "left" not in said
    assert (workdir / "report.md").read_text() == printed
    records = {
        name: json.loads(
            (workdir / "records" / f"{name}_tiny_seed_0.json").read_text()
        )
        for name in FOUR
    }
    for name, record in records.items():
        ratio = record["bytes_per_token"]["held_out"]
        uniform = math.log2(259) / ratio
        assert record["bits_per_byte"]["held_out"] == pytest.approx(uniform)
        assert f"| {uniform:.3f}" in printed
        assert record["tokens"] == 512 and record["curve"][-1]["step"] == 4
        assert ("refused" in record["generation"]) == (name != "bytes")
    assert records["bytes"]["generation"]["bytes_per_second"] > 0
    # StaticAC is lacking.
    assert f"learn nothing beyond uniform | {verdicts.NOT_RUN} |" in printed
    assert f"| b16 learns | {verdicts.NOT_SEEN} |" in printed
    assert f"| v65k beats v256 | {verdicts.NOT_RUN} |" in printed
    for row in (each.row for each in experiments.EXPERIMENTS.values()):
        name = next(
            n for n, e in experiments.EXPERIMENTS.items() if e.row == row
        )
        if name in RESULTS:
            assert f"| {row} |" in printed
    pictures = sorted(path.name for path in (workdir / "figures").iterdir())
    assert pictures == [
        "bits_against_bytes_per_step.png",
        "bits_against_flops.png",
        "bits_against_flops_with_m1.png",
        "curves.png",
    ]

    again = run(workdir)
    assert again == (0, printed, ""), "finished runs are skipped"
    code, _, said = run(workdir, compressor="byte_lm_3m_en")
    assert code == 2 and said.count("\n") == 1 and "--compressor" in said
    path = workdir / "records" / "bytes_tiny_seed_0.json"
    records["bytes"]["settings"]["m2_training"]["steps"] = 5
    path.write_text(json.dumps(records["bytes"])[:-9])
    code, _, said = run(workdir)
    assert code == 2 and said.count("\n") == 1 and "a damaged file" in said
    path.write_text(json.dumps(records["bytes"]))
    code, _, said = run(workdir)
    assert code == 2 and said.count("\n") == 1
    assert "was made with m2_training.steps=5. Received: 4." in said


def test_workdirs_share_shards(run, tmp_path, monkeypatch):
    def prepare(name, **others):
        flags = dict(workers=1, shards=tmp_path / "shards", names=("ac_v256",))
        assert run(tmp_path / name, "--prepare", **flags, **others)[0] == 0
        folder = tmp_path / name / "prepared" / "ac_v256_259"
        return {s: preparation.TokenShards(folder / s) for s in folders}

    folders = ("train", "held_out", "probe")
    first = prepare("a")
    encode = ArithmeticScheme.encode_batch
    texts = []

    def counted(self, documents):
        texts.append(sum(map(len, documents)))
        return encode(self, documents)

    monkeypatch.setattr(ArithmeticScheme, "encode_batch", counted)
    again = prepare("b")
    assert all(again[s].manifest == first[s].manifest for s in folders)
    # Only the sentences whose first word changes are encoded.
    assert len(texts) == 1
    # Damage is found, and stays where it is: only this shard is written again.
    [path] = [
        folder / "tokens-00000.npy"
        for folder in (tmp_path / "shards").iterdir()
        if preparation.TokenShards(folder).num_bytes
        == first["held_out"].num_bytes
    ]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()  # workdirs have links to the file
    path.write_bytes(content)
    other = prepare("c")
    assert len(texts) == 4  # two splits are this shard
    for s in folders:
        other[s].verify()
        first[s].verify()


def test_a_scheme_of_ten_lines(run, tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "my_schemes.py").write_text(
        "from keras_nc.tokenizers import train_bpe\n"
        "from recipes.experiments import Experiment\n\n"
        "def make(text, m1):\n"
        "    return train_bpe(text, 300)\n\n"
        "EXPERIMENTS = [Experiment('bpe_300', 'BPE 300', make, 300)]\n"
    )
    monkeypatch.syspath_prepend(folder)
    workdir = tmp_path / "new"
    code, printed, said = run(workdir, names=["bpe_300"], module="my_schemes")
    assert code == 0 and "bpe_300, tiny, seed 0" in said
    assert "| BPE 300 |" in printed
    for module in ("no_such_module", "json"):
        code, _, said = run(workdir, names=["bpe_300"], module=module)
        assert code == 2 and said.count("\n") == 1 and "EXPERIMENTS" in said
    shutil.copy(folder / "my_schemes.py", folder / "clashing.py")
    text = (folder / "clashing.py").read_text().replace("bpe_300", "bytes")
    (folder / "clashing.py").write_text(text)
    code, _, said = run(workdir, names=["bytes"], module="clashing")
    assert code == 2 and said.count("\n") == 1 and "bytes in --module" in said


def test_what_is_wrong_is_one_line(run, tmp_path, monkeypatch):
    code, _, said = run(tmp_path / "a", names=["b16"])
    assert code == 2 and said.count("\n") == 1
    assert "Received: --experiment b16. Choose bytes, " in said
    code, _, said = run(tmp_path / "a", device_rows=4)  # with counts as M1
    assert code == 2 and said.count("\n") == 1
    assert "Only a neural M1 runs on a device. Received: --device_rows" in said
    code, _, said = run(tmp_path / "c", size="25m")
    assert code == 2 and said.count("\n") == 1
    assert "Received: --m2.num_layers 1. Leave it out" in said
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10_000)
    code, _, said = run(tmp_path / "b")
    assert code == 2 and said.count("\n") == 1
    assert "must fit the device. Received: --size tiny" in said
    assert not (tmp_path / "b" / "prepared").exists()
    with pytest.raises(ValueError, match=r"recipes\.reproduce"):
        reproduce_report.write([tmp_path], tmp_path)


def test_records_that_belong_together(tmp_path):
    """Only the seed differs; other settings and texts are other entries."""

    def write(folder, seed, bits, **others):
        m2 = dataclasses.asdict(configs.CONFIGS["paper_tiny"].m2)
        training = {"seed": seed, "steps": 4, **others.pop("training", {})}
        settings = {
            "tokens": "bytes",
            "m2": {**m2, **others.pop("m2", {})},
            "m2_training": training,
            "dtype": "float32",
            "shards": {"train": others.pop("text", "a")},
        }
        record = {
            **dict.fromkeys(("unigram", "body_parameters", "passes"), 1),
            **dict.fromkeys(("seconds", "score_seconds"), 1),
            **dict(vocabulary_size=259, curve=[], machine={}, tokens=9),
            "settings": settings,
            "bits_per_byte": {"held_out": bits},
            "bytes_per_token": {"held_out": 1},
            "flops_per_byte": {"run": 1},
            **others,
        }
        workdir.write_json(tmp_path / folder / "m1.json", dict(m1, name="m1"))
        path = tmp_path / folder / "records" / f"bytes_tiny_seed_{seed}.json"
        workdir.write_json(path, record)
        return path

    m1 = {"body_parameters": 10}
    write("a", 0, 1.0)
    write("a", 1, 2.0)
    write("rope", 0, 7.0, m2={"position": "rope"})
    write("text", 0, 7.0, text="b")
    write("again", 0, 7.0)  # the same run in another workdir
    folders = [tmp_path / name for name in ("a", "a", "rope", "text", "again")]
    (entry,) = records.read(folders, {"bytes"}).values()
    assert entry.bits == [1.0, 2.0] and entry.m1_flops == 20
    write("longer", 0, 3.0, tokens=10, training={"steps": 5})
    folders.append(tmp_path / "longer")
    (entry,) = records.read(folders, set()).values()
    assert entry.bits == [3.0] and entry.m1_flops == 0
    path = write("longer", 1, None)
    with pytest.raises(ValueError, match=r"without bits_per_byte\.held_out"):
        records.read(folders, set())
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"a damaged file.*Delete it"):
        records.read(folders, set())


def test_the_protocol():
    config = launch.get_config("paper_25m", {})
    for tokens, batch_size in ((33e6, 64), (26.2e9, 256), (1e5, 8)):
        training = reproduce.configure(config, tokens=tokens).m2_training
        assert training.batch_size == batch_size
        seen = training.steps * training.batch_size * 512
        assert seen == pytest.approx(tokens, rel=0.1)
    assert reproduce.configure(config, tokens=None) is config
    for size, dims in models.SIZES.items():
        m2 = launch.get_config(f"paper_{size}", {}).m2
        assert (m2.num_layers, m2.hidden_dim) == (
            dims["num_layers"],
            dims["hidden_dim"],
        )


def test_texts_become_examples():
    documents = [b"ab"] * 3 + [b"c" * 7]
    found = list(preparation.examples(documents, 5, joined=3))
    assert found == [b"ab\n\na", b"b\n\nab", b"ccccc", b"cc"]
