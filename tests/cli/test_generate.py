"""`keras-nc generate` and `keras-nc score`, over saved presets."""

import os

import keras_hub
import pytest


def test_a_text_grows_after_its_prompt(start, presets):
    prompt = b"the statement \xe9"  # no UTF-8
    process = start(
        "generate",
        presets / "m2",
        prompt.decode("utf-8", "surrogateescape"),
        "--tokens",
        "24",
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(prompt) and out.endswith(b"\n")


def test_seeds_and_temperature(run_binary, presets):
    def text(*options):
        code, out, err = run_binary(
            "generate", presets / "m1", "the ", "--tokens", "30", *options
        )
        assert code == 0, err
        return out

    assert text("--seed", "1") == text("--seed", "1") != text("--seed", "2")
    coldest = text("--temperature", "0")
    assert coldest == text("--temperature", "0", "--seed", "5")
    stop = os.fsdecode(coldest[4:5])
    assert text("--temperature", "0", "--stop", stop) == coldest[:5] + b"\n"


def test_prompts_of_a_file(run_binary, presets, tmp_path):
    path = tmp_path / "prompt"
    path.write_bytes(b"of a file\xff\n")
    code, out, _ = run_binary(
        "generate", presets / "m1", "--file", path, "--tokens", "16"
    )
    assert code == 0 and out.startswith(b"of a file\xff\n")


def test_scores_are_those_of_the_model(run, presets, tmp_path):
    texts = {"one": b"the quick brown fox", "two": b"\xff\x00"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    paths = [tmp_path / name for name in texts]
    code, out, err = run("score", presets / "m2", *paths)
    assert (code, err) == (0, "")
    model = keras_hub.models.CausalLM.from_preset(str(presets / "m2"))
    for path, line in zip(paths, out.splitlines(), strict=True):
        text = path.read_bytes()
        expected = model.bits_per_byte(text)
        assert line == f"{path}: {len(text)} bytes, {expected:.4f} bits/byte"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["generate", "nowhere", "a"], "Received: 'nowhere'"),
        (["generate", "{m2}", "a", "--file", "b"], "one of the two"),
        (["generate", "{m2}", "a", "--tokens", "1"], "--tokens"),
        (["generate", "{m2}", "a" * 999], "of 999 bytes"),
        (["generate", "{m2}", "a" * 999, "--tokens", "9"], "into --tokens"),
        (["generate", "{m2}", "a", "--stop", ""], "--stop must"),
        (["generate", "{m2}", "a", "--temperature", "nan"], "Received: nan"),
        (["generate", "{m2}", "a", "--temperature", "inf"], "--temperature"),
        (["generate", "{m2}", "a", "--seed", str(1 << 40)], "--seed"),
        (["generate", "{m2}", "a", "--tokens", str(1 << 40)], "--tokens"),
        (["generate", "{tokenizer}", "a"], "a tokenizer, but no model"),
        (["score", "{m2}"], "FILES"),
        (["score", "{m2}", "nowhere"], "nowhere"),
        (["score", "{m2}", "{empty}"], "the empty file"),
    ],
)
def test_bad_input(run, presets, tmp_path, arguments, message):
    empty = tmp_path / "empty"
    empty.touch()
    places = {name: presets / name for name in ("m2", "tokenizer")}
    filled = [a.format(**places, empty=empty) for a in arguments]
    code, out, err = run(*filled)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and message in err
