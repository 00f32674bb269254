"""`recipes.analyses`: estimates, and each recipe over a prepared workdir."""

import itertools
import json
import random
import sys

import keras
import numpy as np
import pytest

from keras_nc.coding import END_ID
from keras_nc.coding import START_ID
from keras_nc.entropy_models import UnigramModel
from recipes import launch
from recipes import reproduce
from recipes import reproduce_report
from recipes.analyses import common
from recipes.analyses import examples
from recipes.analyses import learnability
from recipes.analyses import model_windows
from recipes.analyses import positions
from recipes.analyses import prices
from recipes.analyses import randomness
from recipes.analyses import stability
from recipes.analyses import window_starts

NAMES = ("bytes", "ac_v256", "b16_v256", "b32_v256")


def test_the_divergence_of_random_bits_is_small():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, 400_000)
    for n in (1, 4, 8, 12):
        # Without the correction, this would be 0.09 for 12 bits.
        found = randomness.divergence(randomness.ngrams(bits, n), 2**n)
        assert abs(found) < 0.005
    constant = np.zeros(1000, int)
    assert randomness.divergence(constant, 16) == pytest.approx(4)
    halves = np.array([0, 1] * 500)
    assert randomness.divergence(halves, 4) == pytest.approx(1, abs=1e-3)


def test_ngrams_are_read_from_the_first_bit_on():
    ids = np.array([3 + 0xA5, 3 + 0x0F])
    bits = randomness.bits_of(ids, 8)
    assert randomness.ngrams(bits, 4).tolist() == [0xA, 0x5, 0x0, 0xF]
    wide = randomness.bits_of(np.array([3 + 0xA50F]), 16)
    assert wide.tolist() == bits.tolist()


def test_targets_alone_are_scored():
    sources = [np.array([10, 11]), np.array([12])]
    targets = [np.array([20, 21]), np.array([22, 23])]
    inputs, wanted, weights = learnability.pack(sources, targets)
    shift = learnability.OFFSET
    assert inputs[0].tolist() == [START_ID, 10, 11, END_ID, 20 + shift]
    scored = [
        row[its > 0] - shift for row, its in zip(wanted, weights, strict=True)
    ]
    assert [row.tolist() for row in scored] == [[20, 21], [22, 23]]
    _, wanted, weights = learnability.pack(None, targets)
    assert (wanted[weights > 0] - shift).tolist() == [20, 21, 22, 23]


def test_bits_by_place():
    model = UnigramModel.from_text(b"ab" * 1000)
    bits, counts = window_starts.bits_by_place(model, [b"ab", b"a"], 3)
    p = model.probabilities([b""])[0]
    assert counts.tolist() == [2, 1, 0]
    assert bits[0, 1] == pytest.approx(-np.log2(p[ord("b")]))


def test_words_are_found_across_windows():
    from keras_nc.coding.zero_padded import Window

    text = b"hello world hello"
    cuts = [0, 3, 7, 11, 17]
    row = [Window(a, b, bytes([a]), 0) for a, b in itertools.pairwise(cuts)]
    found = examples.words([text], [row])
    assert found[0][:3] == ["`` hello ``", "2", "2"]
    assert found[1][:3] == ["`` world ``", "1", "1"]


class Knows(keras.Model):
    """A model that predicts the first token of each pair."""

    def predict_on_batch(self, x):
        first = np.arange(x["token_ids"].shape[1]) % 2 == 0
        logits = np.zeros((*x["token_ids"].shape, 9))
        logits[..., 5] = first
        logits[..., 8] = ~first
        return logits


def test_accuracy_by_place():
    rows = np.array([[5, 6, 5, 7]] * 3)
    right, count = positions.by_place(Knows(), rows, 2)
    assert right.tolist() == [6, 0] and count.tolist() == [6, 6]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir with tokens, and a saved model of b32."""
    folder = tmp_path_factory.mktemp("analyses")
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefg", k=5)) for _ in range(50)]
    for i in range(99):
        text = " ".join(rng.choices(words, k=30))
        folder.joinpath(f"{i}.txt").write_text(text)
    flags = [
        *("--workdir", folder / "new", "--data", folder / "*.txt"),
        *("--compressor", "counts", "--tokens", "256", "--train_bytes", 9000),
        *("--m2.num_layers", 1, "--m2_training.sequence_length", 16),
        *("--m2_training.batch_size", 4, "--held_out_bytes", 2000),
        *("--m1_training.batch_size", 1, "--probe_bytes", 1000),
        *("--m1_training.sequence_length", 16),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for names, last in (
            (NAMES[:-1], "--prepare"),
            (NAMES[-1:], "--save_models"),
        ):
            named = [word for name in names for word in ("--experiment", name)]
            words = ["reproduce", *flags, *named, last, "--workers", 1]
            patch.setattr(sys, "argv", [str(word) for word in words])
            with pytest.raises(SystemExit) as exit_:
                launch.main(
                    reproduce.run,
                    trains=True,
                    configure=reproduce.configure,
                    choose=reproduce.choose,
                    **reproduce.OWN,
                )
            assert exit_.value.code == 0
    return folder / "new"


RECIPES = {
    randomness: dict(experiment=["ac_v256", "b16_v256"]),
    stability: dict(experiment=["bytes", "ac_v256"], words=3),
    window_starts: dict(bytes=500),
    examples: dict(bytes=500),
    learnability: dict(steps=1, batch_size=2, bytes=1500, text_bytes=48),
    positions: dict(experiment="b32_v256", size="tiny", tokens=64),
}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda its: its.__name__)
def test_recipes_write_tables_and_plots(recipe, workdir, monkeypatch, capsys):
    small = dict(num_layers=1, num_heads=1, hidden_dim=8, intermediate_dim=8)
    monkeypatch.setattr(learnability, "MODEL", small)
    two = {"AC decompress": learnability.TASKS["AC decompress"]}
    two["bytes, no source"] = learnability.TASKS["bytes, no source"]
    monkeypatch.setattr(learnability, "TASKS", two)
    name = recipe.__name__.rpartition(".")[2]
    recipe.run(workdir, **RECIPES[recipe])
    printed = capsys.readouterr().out
    result = json.loads((workdir / "analyses" / f"{name}.json").read_text())
    assert len({len(row) for row in [result["header"], *result["rows"]]}) == 1
    shown = [result["text"], *(row[0] for row in result["rows"])]
    assert "_v256" not in " ".join(shown), "tables and plots name rows alike"
    assert printed.startswith(common.table(result["header"], result["rows"]))
    plot = workdir / "analyses" / f"{name}.png"
    assert plot.exists() == (name != "examples")
    # The report has both.
    [found] = [
        part
        for part in reproduce_report.analyses([workdir], workdir / "report")
        if part.startswith(f"## {result['title']}\n")
    ]
    assert printed.strip() in found or name == "examples"
    copied = workdir / "report" / reproduce_report.FIGURES / f"{name}.png"
    assert copied.exists() == plot.exists()
    assert (f"(figures/{name}.png)" in found) == plot.exists()


def test_prices_trade_tokens_for_bits(tmp_path, capsys):
    prices.run(tmp_path, [8, 0], 9, 1_000_000)
    result = json.loads((tmp_path / "analyses" / "prices.json").read_text())
    assert [row[0] for row in result["rows"]] == ["8", "0"]
    dear, free = ([float(x) for x in row[1:]] for row in result["rows"])
    assert dear[0] > free[0] and dear[1] > free[1]
    assert (tmp_path / "analyses" / "prices.png").exists()
    assert "unigram bits/byte" in capsys.readouterr().out


def test_a_model_helps_where_text_is_scarce(tmp_path, capsys):
    unseen = tmp_path / "unseen.txt"
    unseen.write_text("The sailors of the harbour watched the long ship. " * 9)
    model_windows.run(tmp_path, [30_000], 9, "byte_lm_3m_en", [str(unseen)])
    result = json.loads(
        tmp_path.joinpath("analyses", "model_windows.json").read_text()
    )
    alone, counts, both = result["rows"]
    assert alone[:2] == ["none", "M1"]
    assert counts[:2] == ["30,000", "counts"] and both[1] == "counts and M1"
    assert float(both[4]) > float(counts[4])  # bytes per token
    assert result["header"][4] == "unseen bytes/token"
    assert "counts and M1" in capsys.readouterr().out


def test_what_is_not_prepared_is_one_line(workdir):
    with pytest.raises(ValueError, match=r"--prepare --experiment b64_v256"):
        common.Prepared(workdir, "b64_v256")
    with pytest.raises(ValueError, match="several tokens"):
        positions.run(workdir, "ac_v256", "tiny", 10)
