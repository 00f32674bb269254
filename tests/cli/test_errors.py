"""Bad input gets one line, exit code 2, and leaves nothing behind."""

import os
import resource
import signal
import time

import pytest

from keras_nc.cli.errors import one_line_errors
from keras_nc.data import write_shards
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer

BAD = {
    "unknown command": ("frobnicate", "No such command"),
    "unknown option": ("encode text --wiht x", "No such option"),
    "no codebook": ("explain a", "Missing option '--with'"),
    "no file": ("encode --with book.npz", "Missing argument 'FILE'"),
    "missing file": ("encode nope --with book.npz", "No such file"),
    "missing codebook": ("encode text --with nope", "No such file"),
    "a folder": ("encode . --with book.npz -o o", "Is a directory"),
    "no codebook file": ("encode text --with text", "which begins with"),
    "damaged codebook": ("encode text --with cut.npz", "codebook file"),
    "a folder of nothing": ("encode text --with empty", "preset must have"),
    "a foreign tokenizer": ("encode text --with strange", "must name one of"),
    "missing folder": ("encode text --with book.npz -o no/o", "'no'"),
    "a folder as output": (
        "encode text --with book.npz -o empty",
        "a folder or a",
    ),
    "a device as output": (
        "encode text --with book.npz -o /dev/null --force",
        "a folder or a",
    ),
    "standard output": (
        "encode text --with book.npz -o -",
        "must go to a file",
    ),
    "codebook as output": (
        "encode text --with book.npz -o book.npz --force",
        "must not replace the codebook",
    ),
    "encoded file as codebook": ("encode text --with a.knc", "an encoded file"),
    "empty codebook": ("encode text --with void", "which is empty"),
    "shards as codebook": ("encode text --with shards", "preset must have"),
    "ids without bytes": ("encode text --with {presets}/live", "do not"),
    "no name for input": ("encode - --with book.npz", "needs a name"),
    "a name too long": (
        f"encode text --with book.npz -o {'n' * 300}",
        "Choose a shorter name",
    ),
    "output exists": ("encode text --with book.npz -o old", "--force"),
    "not encoded": ("decode text --with book.npz -o o", "begins with"),
    "decoded without name": ("decode text --with book.npz", "end with .knc"),
    "nothing encoded": ("decode void --with book.npz -o o", "which is empty"),
    "a folder to decode": ("decode shards --with book.npz -o o", "directory"),
    "another codebook": ("decode a.knc --with {presets}/other.npz", "needs"),
    "truncated": ("decode cut.knc --with book.npz", "its end cut off"),
    "damaged": ("decode bad.knc --with book.npz", "match its checksum"),
    "nothing there": ("inspect nope", "No such file"),
    "nothing known": ("inspect empty", "holds neither"),
    "no codebook to inspect": ("inspect text", "which begins with"),
    "damaged preset": ("inspect broken", "must be JSON"),
    "foreign preset": ("inspect foreign", "a Keras object"),
    "cut container": ("inspect cut.knc", "its end cut off"),
    "text of nothing": ("inspect book.npz --text nope", "No such file"),
    "text for a container": ("inspect a.knc --text text", "Leave it out"),
    "text for bytes": ("inspect {presets}/m1 --text text", "Leave out --text"),
    "a codebook's codebook": (
        "inspect book.npz --with book.npz",
        "Leave it out",
    ),
    "an array": ("inspect shards/tokens-00000.npy", "begins with"),
    "a folder as text": ("inspect {presets}/m2 --text .", "Is a directory"),
    "an unfinished folder": ("inspect half", "was interrupted"),
    "no rows": ("inspect book.npz --top 0", "Invalid value for '--top'"),
    "foreign codebook": (
        "inspect a.knc --with {presets}/other.npz",
        "needs",
    ),
    "no text": ("explain --with book.npz", "one of the two"),
    "two texts": ("explain a --file text --with book.npz", "one of the two"),
    "a model in a file": ("generate book.npz a", "which is a file"),
    "a model in shards": ("score shards text", "holds token shards"),
    "a model in nothing": ("generate empty a", "holds neither"),
    "standard input twice": ("score {presets}/m2 - -", "can be read once"),
    "nothing to build from": ("build void -o o.npz", "at least one byte"),
    "no files to build from": ("build empty -o o.npz", "matches none"),
    "too little to build from": (
        "build tiny -o o.npz",
        "Use more text or smaller --window-bits",
    ),
    "a codebook exists": ("build text -o book.npz", "Pass --force"),
    "nothing to tokenize": (
        "tokenize void --with book.npz -o o",
        "at least one byte",
    ),
    "shards in a file": (
        "tokenize text --with book.npz -o old",
        "another name",
    ),
    "shards of another text": (
        "tokenize void text --with {presets}/other.npz -o shards",
        "pass --force.",
    ),
    "an input for no codebook": ("verify shards --against text", "Pass both"),
    "an input for a codebook": (
        "verify book.npz --against text",
        "--against is for token shards",
    ),
    "shards of another codebook": (
        "verify shards --with book.npz",
        "the tokenizer that made them",
    ),
    "a long text": ("explain --file long --with book.npz", "1,000,000"),
}


@pytest.fixture
def inputs(run, folder, presets, uniform):
    run("encode", "text", "--with", "book.npz", "-o", "a.knc")
    data = folder.joinpath("a.knc").read_bytes()
    folder.joinpath("cut.knc").write_bytes(data[:-1])
    middle = len(data) // 2
    flipped = bytes([data[middle] ^ 1])
    folder.joinpath("bad.knc").write_bytes(
        data[:middle] + flipped + data[middle + 1 :]
    )
    book = folder.joinpath("book.npz").read_bytes()
    folder.joinpath("cut.npz").write_bytes(book[:-100])
    folder.joinpath("old").write_bytes(b"old")
    folder.joinpath("long").write_bytes(bytes(1_000_001))
    for name in ("broken", "foreign", "strange"):
        folder.joinpath(name).mkdir()
    folder.joinpath("broken", "config.json").write_text("{")
    folder.joinpath("foreign", "config.json").write_text("[]")
    folder.joinpath("strange", "tokenizer.json").write_text(
        '{"config": {"scheme": {"name": "strange"}}}'
    )
    folder.joinpath("empty").mkdir()
    folder.joinpath("void").touch()
    folder.joinpath("tiny").write_bytes(b"she sells")
    tokenizer = EqualInfoTokenizer(uniform)
    write_shards([b"text"], tokenizer, folder / "shards")
    write_shards([b"text"], tokenizer, folder / "half")
    folder.joinpath("half", "manifest.json").rename(
        folder / "half" / "progress.json"
    )
    live = LiveWindowTokenizer(UnigramModel([1] * 256), window_bits=32)
    live.save_to_preset(str(presets / "live"))
    uniform.save(presets / "other.npz")
    return folder


def contents(folder):
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_bad_input(run, inputs, presets):
    before = contents(inputs)
    for name, (line, reason) in BAD.items():
        arguments = line.format(presets=presets).split()
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), name
        assert err.startswith("keras-nc: error: "), name
        assert err.endswith("\n") and err.count("\n") == 1, name
        assert reason in err, name
        assert "0x" not in err and ".tmp" not in err, name
        assert contents(inputs) == before, name


def test_the_first_half_of_a_file_too_large_is_removed(run, folder):
    """The system refuses to write in the middle, as with a full disk."""
    encode = "encode", "text", "--with", "book.npz", "-o"
    run(*encode, "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        code, out, err = run(
            *["encode", "text", "--with", "book.npz", "-o", "out"]
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == (2, "")
    assert err.startswith("keras-nc: error: File too large: 'out'. ")
    assert err.count("\n") == 1
    assert sorted(os.listdir(folder)) == ["book.npz", "text", "whole"]


@pytest.mark.parametrize(
    "number, code, message",
    [
        (signal.SIGINT, 130, b"keras-nc: interrupted\n"),
        (signal.SIGTERM, 143, b""),
    ],
)
def test_interrupted(start, folder, number, code, message):
    # Numba's compiler would swallow the signal, so it compiles before.
    command = ["encode", "-", "--with", "book.npz", "-o", "out"]
    start(*command).communicate(bytes(1 << 20))
    os.remove(folder / "out")
    process = start(*command)
    # More than a pipe holds, so the command is reading when this returns.
    process.stdin.write(bytes(1 << 20))
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while len(os.listdir(folder)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (code, b"", message)
    assert sorted(os.listdir(folder)) == ["book.npz", "text"]


def test_a_reader_that_leaves(start, folder):
    process = start("inspect", "book.npz", "--top", "2000")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate()
    assert (process.returncode, err) == (1, b"")


@pytest.mark.parametrize(
    "error, code, line",
    [
        (ValueError("two\nlines"), 2, "recipe: error: two lines\n"),
        (OSError(28, "Full"), 2, "recipe: error: Full. Free some space, "),
        (OSError("odd"), 2, "recipe: error: odd. Try again.\n"),
        (MemoryError(), 2, "recipe: error: Out of memory. Use a smaller "),
        (ImportError("No jax"), 2, "recipe: error: No jax. Install it, "),
        (KeyboardInterrupt(), 130, "recipe: interrupted\n"),
    ],
)
def test_one_line_errors(capsys, error, code, line):
    with pytest.raises(SystemExit) as stop, one_line_errors("recipe"):
        raise error
    assert stop.value.code == code
    assert capsys.readouterr().err.startswith(line)


def test_defects_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors("recipe"):
        raise ZeroDivisionError
