"""`keras-nc build`, `tokenize` and `verify`: text to shards and their proof."""

import gzip
import json
import os
import subprocess
import sys

import pytest

from keras_nc.coding import Codebook
from keras_nc.data import read_documents
from keras_nc.data import write_shards
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SchemeTokenizer


@pytest.fixture
def corpus(folder, text):
    """A folder of JSON lines, compressed or not, and a text."""
    (folder / "corpus" / "sub").mkdir(parents=True)
    lines = [
        json.dumps({"body": line.decode()}) + "\n"
        for line in text[:4000].splitlines()
    ]
    packed = gzip.compress("".join(lines[::2]).encode())
    (folder / "corpus" / "b.jsonl.gz").write_bytes(packed)
    (folder / "corpus" / "sub" / "a.jsonl").write_text("".join(lines[1::2]))
    (folder / "corpus" / "t.txt").write_bytes(b"\xff she sells\n" * 9)
    return "corpus"


@pytest.fixture
def done(run):
    """A function that runs a command that succeeds; it returns the output."""

    def run_well(*arguments):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        return out

    return run_well


@pytest.fixture
def failed(run):
    """A function that runs a command that fails; it returns the error."""

    def run_badly(*arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1
        return err

    return run_badly


def contents(directory):
    """Return the files of shards; the record has times of the input."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.name != "inputs.json"
    }


def test_build_is_the_recommended_codebook(done, folder):
    text = folder.joinpath("text").read_bytes()
    printed = done("build", "text", "-o", "own.npz", "--window-bits", 11)
    own = Codebook.load("own.npz")
    expected = Codebook.build(text=text, window_bits=11)
    assert own.fingerprint == expected.fingerprint
    num_codes = len(own.encode(text))
    assert f"{num_codes:,} windows for {len(text):,} bytes" in printed
    assert f"({len(text) / num_codes:.3f} bytes/window)" in printed


def test_build_reads_no_more_than_it_uses(done, folder, text):
    """The file after the bytes that are used is damaged, but never read."""
    first, second = text[:4000], text[4000:8000].replace(b"\n", b" ")
    folder.joinpath("1.txt").write_bytes(first)
    folder.joinpath("2.txt").write_bytes(second + b" end")
    folder.joinpath("3.txt.gz").write_bytes(b"not gzip")
    options = ("--text-bytes", 8002, "--window-bits", 9)
    printed = done("build", "[123].txt*", "-o", "own.npz", *options)
    assert " 8,001 bytes" in printed  # the last word does not fit
    used = [first, second + b" "]
    expected = Codebook.build(text=used, window_bits=9)
    assert Codebook.load("own.npz").fingerprint == expected.fingerprint


@pytest.mark.parametrize("preset", [False, True])
def test_shards_are_those_of_the_library(done, folder, corpus, presets, preset):
    """The same files as those of `write_shards`, with or without Keras."""
    name = str(presets / "tokenizer") if preset else "book.npz"
    tokenizer = EqualInfoTokenizer(Codebook.load("book.npz"))
    if preset:
        tokenizer = SchemeTokenizer.from_preset(name)
    options = ("--text-key", "body", "--with", name)
    printed = done(
        "tokenize", corpus, "-o", "s", *options, "--shard-tokens", 200
    )
    files = sorted(str(p) for p in (folder / corpus).rglob("*") if p.is_file())
    expected = write_shards(
        read_documents(files, "body"), tokenizer, "e", shard_tokens=200
    )
    assert len(expected.manifest["shards"]) > 1
    assert contents(folder / "s") == contents(folder / "e")
    assert f"{expected.num_tokens:,} tokens of {expected.num_bytes:,} b" in (
        printed
    )
    printed = done("verify", "s", *options, "--against", corpus)
    assert "decode to the input" in printed


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines(run, folder):
    folder.joinpath("odd.txt").write_bytes(b"one\x00two")
    code, _, err = run("tokenize", "odd.txt", "--with", "book.npz", "-o", "s")
    assert code == 0 and err.startswith("keras-nc: warning: odd.txt looks like")
    assert err.count("\n") == 1


def test_only_a_damaged_shard_is_written_again(done, failed, folder):
    command = ("tokenize", "text", "--with", "book.npz", "-o", "s")
    folder.joinpath("text").write_bytes(b"she sells sea shells")
    folder.joinpath("more").write_bytes(b"by the sea shore")
    command = (*command[:2], "more", *command[2:], "--shard-tokens", 4)
    done(*command)
    before = contents(folder / "s")
    assert "tokens-00001.npy" in before
    damaged = folder / "s" / "tokens-00001.npy"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    times = {p: p.stat().st_mtime_ns for p in (folder / "s").iterdir()}
    error = failed("verify", "s")
    assert str(damaged.name) in error and "tokens-00000" not in error
    assert "same `keras-nc tokenize` again" in error
    done(*command)
    assert contents(folder / "s") == before
    changed = {p.name for p, t in times.items() if p.stat().st_mtime_ns != t}
    assert "tokens-00001.npy" in changed
    assert not any(name.endswith("-00000.npy") for name in changed)
    done("verify", "s", "--with", "book.npz")


def test_shards_without_a_manifest_are_replaced_by_force(done, failed, folder):
    command = ("tokenize", "text", "--with", "book.npz", "-o", "s")
    done(*command)
    before = contents(folder / "s")
    folder.joinpath("s", "manifest.json").unlink()
    error = failed(*command)
    assert "must have their manifest" in error and "pass --force." in error
    done(*command, "--force")
    assert contents(folder / "s") == before


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([b"one"], "has fewer documents"),
        ([b"one", b"two", b"three"], "has more documents"),
        ([b"one", b"too"], "differs from shard 0"),
        ([b"onetwo", b""], "has fewer documents"),
        ([b"two", b"one"], "differs from shard 0"),
    ],
    ids=["fewer", "more", "changed", "joined", "order"],
)
def test_another_input_is_found(failed, folder, texts, reason):
    tokenizer = EqualInfoTokenizer(Codebook.load("book.npz"))
    write_shards([b"one", b"two"], tokenizer, "s")
    for number, text in enumerate(texts):
        folder.joinpath(f"{number}.txt").write_bytes(text)
    against = ("--with", "book.npz", "--against", "[0-9].txt")
    assert reason in failed("verify", "s", *against)


def test_damage_is_skipped_on_request(done, failed, folder):
    lines = [b'{"text": "one"}', b'{"text": "cut', b'{"text": ""}']
    folder.joinpath("a.jsonl").write_bytes(b"\n".join(lines))
    command = ("tokenize", "a.jsonl", "--with", "book.npz", "-o", "s")
    assert "a.jsonl, line 2: each line must hold" in failed(*command)
    error = failed(*command, "--skip-damaged")
    assert "holds shards with skip_damaged=False" in error
    printed = done(*command, "--skip-damaged", "--verify", "--force")
    expected = (
        "; empty texts: 1; skipped: 1, listed in inputs.json. They decode"
    )
    assert expected in printed
    against = ("--with", "book.npz", "--against", "a.jsonl")
    assert "decode to the input" in done("verify", "s", *against)


TERMINATED = """
import os, pathlib, signal, sys, threading, time
from keras_nc.cli import main

def terminate():
    while not list(pathlib.Path("s").glob("*/tokens-00002.npy")):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=terminate, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


def test_sigterm_ends_with_code_0(failed, folder, corpus):
    command = ["tokenize", corpus, "--text-key", "body", "--with", "book.npz"]
    command += ["-o", "s", "--shard-tokens", "20"]
    result = subprocess.run(
        [sys.executable, "-c", TERMINATED, *command],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert (folder / "s" / "group-00000" / "tokens-00002.npy").exists()
    error = failed("verify", "s")
    assert "interrupted. Run the same `keras-nc tokenize` again" in error
