"""The benchmarks as a user runs them, with little text."""

import importlib.util
import itertools
import re
import types

import pytest

from benchmarks import on_gpu
from benchmarks import records
from benchmarks import timing
from tests import processes

STRING = "one string of 100 bytes"
#: There are no wheels of it for some systems.
HAS_GIGATOKEN = importlib.util.find_spec("gigatoken") is not None


def run(name, *options, **environment):
    result = processes.run(
        ["-m", f"benchmarks.{name}", "--quick", *options],
        environment=environment,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def rows(table):
    """Return the cells of each row of Markdown tables by the first cell."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]
    return {row[0]: row[1:] for row in found}


def test_tokenizers_are_timed_against_their_peers(make_m1, tmp_path):
    make_m1().save_to_preset(tmp_path / "m1")
    printed = run("tokenizers", "--m1", str(tmp_path / "m1"))
    parts = {
        part.split("|")[1].strip(): rows(part)
        for part in printed.split("\n\n")
        if part.strip().startswith("|")
    }
    for part in ("encode", "decode", "tf.data layer"):
        peer = parts[part]["SentencePiece unigram"]
        assert float(peer[0]) > 0 and peer[2] == "1.0"
        windows = parts[part]["phrases"]
        multiple = float(windows[0].replace(",", "")) / float(peer[0])
        assert float(windows[2]) == pytest.approx(multiple, rel=0.1, abs=0.1)
    assert "any, aligned, pruned" in parts["encode"]
    threads = next(p for name, p in parts.items() if "calls of" in name)
    for name in ("BPE, GPT-2's splitting", "SentencePiece BPE"):
        for part in (parts["encode"], threads, parts[STRING]):
            row = part.get(f"gigatoken: {name}")
            assert (row is not None) == HAS_GIGATOKEN
            assert row is None or float(row[0].replace(",", "")) > 0
    missing = "gigatoken is not installed: no rows for it."
    assert (missing in printed) != HAS_GIGATOKEN
    assert float(parts[STRING]["any, greedy"][0]) > 0
    alone, shared, times = (
        float(x.replace(",", "")) for x in threads["any, greedy"]
    )
    assert times == pytest.approx(shared / alone, rel=0.1, abs=0.1)
    assert "arithmetic" in parts["codebook from M1, all cores"]
    assert re.search(r"reaches \d\.\d{3} bits/byte", printed)


def test_corpora_are_timed_from_files_to_batches():
    printed = run("corpora")
    found = rows(printed)
    preset = "equal_info_16bit_en"
    first, second, times, multiple = (
        float(x.replace(",", "")) for x in found[preset]
    )
    assert first > 0 and times == pytest.approx(
        second / first, rel=0.1, abs=0.02
    )
    m1 = float(found["M1 3m, all cores"][0])
    assert multiple == pytest.approx(second / m1, rel=0.1)
    stages = rows(printed.split(f"| {preset} |")[1].split("\n\n")[0])
    shares = [float(row[0].rstrip("%")) for row in stages.values()]
    assert sum(shares[:-1]) == pytest.approx(100, abs=0.5)
    assert float(found["joined: PyDataset"][0].replace(",", "")) > 0


def test_training_steps_are_timed_beside_plain_jax(tmp_path):
    options = [
        *("training", "--sizes", "3m:512:2", "--sequence-length", "32"),
        *("--positions", "rope", "--parts", "--memory", "4", "64"),
        *("--records", str(tmp_path / "steps.jsonl")),
    ]
    printed = run(*options, KERAS_BACKEND="jax")
    found = rows(printed)
    label = "3m, 512 ids, 2 x 32, rope, "
    ours, theirs = (
        float(x.replace(",", "")) for x in found[f"{label}keras_nc"]
    )
    peer, ratio = (
        float(x.replace(",", "")) for x in found[f"{label}JAX, no bias"]
    )
    assert theirs == 1 and ratio == pytest.approx(ours / peer, abs=0.02)
    parts = {
        name: [float(x.strip("%").replace(",", "")) for x in cells[:3]]
        for name, cells in found.items()
        if len(cells) == 4 and "%" in cells[0]
    }
    flops, milliseconds, shares = zip(*parts.values(), strict=True)
    # Of all parts, and of the whole step.
    assert len(parts) == 7
    assert sum(flops) == pytest.approx(200, abs=0.5)
    assert sum(shares) == pytest.approx(200, abs=0.5)
    assert sum(milliseconds) == pytest.approx(2 * milliseconds[-1], rel=0.01)
    assert parts["projections and MLP"][1] > parts["attention"][1] > 0
    kept = [
        float(found[name][0].replace(",", ""))
        for name in (
            "all logits at once",
            "logits in chunks, gradient checkpointing",
        )
    ]
    assert kept[1] < kept[0]
    # The same command continues: nothing is measured again.
    again = run(*options[:-5], *options[-2:], KERAS_BACKEND="jax")
    assert rows(again)["whole step"] == found["whole step"]


def test_ratios_are_those_of_every_scheme():
    found = rows(run("ratios"))
    assert [float(x) for x in found["bytes"][1:5]] == [1, 1, 1, 1]
    assert len(found["scheme"]) == 6
    schemes = found.keys() - {"scheme", "bytes"}
    assert len(schemes) >= 10
    for name in schemes:
        prose, code, _, noise = map(float, found[name][1:5])
        assert prose > 1.5 and code > 1.2 and 0.9 < noise < 1.3, name
    # Splitting at words costs tokens.
    unsplit, split = "BPE without splitting", "BPE, GPT-2's splitting"
    assert float(found[unsplit][1]) > float(found[split][1])


def test_encoded_files_are_smaller_than_those_of_compressors():
    printed = run("compressors", KERAS_BACKEND="torch", OMP_NUM_THREADS="1")
    tables = printed.split("\n\n")
    parts = [rows(part) for part in tables if part.startswith("|")]
    assert len(parts) == 3
    for found in parts:
        size = {name: float(row[1]) for name, row in found.items() if name}
        assert size["equal_info_16bit_en"] < 0.8 * size["gzip -9"]
        assert size["byte_lm_3m_en"] < size["xz -9e"]
        for name in size:
            assert min(map(float, found[name][2:4])) > 0
        assert "same hardware" in found["byte_lm_3m_en"][4]


def test_windows_generate_more_bytes_than_bytes():
    # PyTorch does not compile, which takes most of the time elsewhere.
    little = ("--build", "--max-bytes", "60000")
    torch = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    found = rows(run("generation", *little, **torch))
    byte, window = found["3m, bytes"], found["3m, windows"]
    assert byte[0] == "259" and window[0] == "1,024"
    rate, bytes_per_token, bytes_rate = (
        float(cell.replace(",", "")) for cell in window[3:6]
    )
    assert 1.5 < bytes_per_token < 8
    assert bytes_rate == pytest.approx(rate * bytes_per_token, rel=0.02)
    byte_rate = float(byte[5].replace(",", ""))
    assert float(window[6]) == pytest.approx(bytes_rate / byte_rate, rel=0.05)
    assert byte[6] == "1.00"


def test_what_is_wrong_is_one_line():
    result = processes.run(
        ["-m", "benchmarks.ratios", "--data", "no such file"]
    )
    assert result.returncode == 2
    said = [s for s in result.stderr.splitlines() if s.startswith("ratios:")]
    assert len(said) == 1 and "no such file" in said[0]


def test_records_are_written_whole_and_damage_is_told(tmp_path):
    path = tmp_path / "new" / "records.jsonl"
    found = records.Records(path)
    found.add({"size": "3m"}, {"rate": 1.5})
    found.add({"size": "25m"}, {"rate": 0.5})
    again = records.Records(path)
    assert again.find({"size": "25m"}) == {"key": {"size": "25m"}, "rate": 0.5}
    assert again.find({"size": "2b"}) is None
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"Received: .*Delete the line"):
        records.Records(path)


def test_stages_have_the_folder_as_it_is(tmp_path):
    folder = tmp_path / "my {runs}"
    for quick in (True, False):
        settings = types.SimpleNamespace(
            workdir=folder, quick=quick, peak_tflops=989.0
        )
        stages = on_gpu.stages(settings)
        assert set(stages) == set(on_gpu.STAGES)
        for words in stages.values():
            assert [w for w in words if w.startswith(str(folder))]
            assert words[words.index("--minutes") + 1] == "{minutes}"


def test_races_are_interleaved_and_warmed_up():
    calls = []
    contenders = [
        timing.Contender(name, lambda name=name: work(calls, name), 1_000_000)
        for name in ("slow", "fast")
    ]
    seconds = timing.race(contenders, 3)
    assert all(len(times) == 3 for times in seconds.values())
    changes = sum(a != b for a, b in itertools.pairwise(calls))
    assert changes == 7, "each one in turn, after the warm-up"
    rates = timing.rates(contenders, seconds)
    assert rates["fast"] > 2 * rates["slow"]


def work(calls, name):
    calls.append(name)
    sum(range(2_000_000 if name == "slow" else 200_000))


def test_costs_are_measured():
    with timing.costing() as cost:
        block = bytearray(50_000_000)
        block[:] = b"x" * len(block)
    assert cost.seconds > 0
    if cost.megabytes is not None:
        assert 50 < cost.megabytes < 300
