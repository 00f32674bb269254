"""Lost output gives an error of one line, never a success."""

import io
import subprocess
import sys

import pytest

from keras_nc.cli.errors import NamedStream
from keras_nc.cli.errors import one_line_errors

#: Each command, with arguments that work when all streams are open.
COMMANDS = {
    "help": "--help",
    "version": "--version",
    "encode": "encode text --with book.npz -o new",
    "decode": "decode text.knc --with book.npz -o new",
    "inspect": "inspect book.npz",
    "explain": "explain she --with book.npz",
    "verify": "verify text.knc",
}
#: These load a model, and refuse before that.
WITH_MODELS = {
    "generate": "generate {presets}/m1 she --tokens 8",
    "score": "score {presets}/m1 text",
}
CLOSED = "keras-nc: error: Standard output must be open"
FULL = "keras-nc: error: No space left on device: 'standard output'. "


@pytest.fixture
def encoded(run, folder):
    run("encode", "text", "--with", "book.npz")
    return folder


@pytest.fixture
def outcome(start, encoded, presets):
    """A function that runs a line: code, standard output and error."""

    def finish(line, redirect, data=b""):
        arguments = line.format(presets=presets).split()
        process = start(*arguments, redirect=redirect)
        out, err = process.communicate(data, timeout=120)
        assert b"Traceback" not in err and b"Exception" not in err
        return process.returncode, out.decode(), err.decode()

    return finish


@pytest.mark.parametrize(
    "line", [*COMMANDS.values(), *WITH_MODELS.values()], ids=lambda x: x[:8]
)
def test_closed_output_is_refused_before_any_work(outcome, encoded, line):
    code, out, err = outcome(line, ">&-")
    assert (code, out) == (2, "")
    assert err.startswith(CLOSED) and err.count("\n") == 1
    assert not encoded.joinpath("new").exists()


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_is_told(outcome, line):
    code, _, err = outcome(line, ">/dev/full")
    assert code == 2
    assert err.startswith(FULL) and err.count("\n") == 1


@pytest.mark.parametrize("name", WITH_MODELS)
def test_a_full_disk_is_told_after_models(outcome, name):
    code, _, err = outcome(WITH_MODELS[name], ">/dev/full")
    assert code == 2
    # Libraries may print before.
    assert err.splitlines()[-1].startswith(FULL)


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_output_that_cannot_be_written_to(outcome, line):
    code, _, err = outcome(line, "1</dev/null")
    assert code == 2
    assert err.startswith("keras-nc: error: Bad file descriptor: 'standard ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_closed_errors_and_input_harm_nothing(outcome, line, redirect):
    code, out, err = outcome(line, redirect)
    assert code == 0 and out and err == ""


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_an_error_that_nobody_reads_has_its_code(outcome, redirect):
    code, out, err = outcome("inspect nowhere", redirect)
    assert (code, out, err) == (2, "", "")


@pytest.mark.parametrize(
    "line",
    [
        "encode - --with book.npz -o new",
        "decode - --with book.npz -o new",
        "inspect book.npz --text -",
        "explain --file - --with book.npz",
        "generate {presets}/m1 --file -",
        "score {presets}/m1 -",
    ],
    ids=lambda line: line[:8],
)
@pytest.mark.parametrize(
    "redirect, reason",
    [
        ("<&-", "Standard input must be open"),
        ("0>/dev/null", "Bad file descriptor: 'standard input'"),
    ],
)
def test_input_that_cannot_be_read(outcome, encoded, line, redirect, reason):
    code, out, err = outcome(line, redirect)
    assert (code, out) == (2, "")
    assert err.startswith(f"keras-nc: error: {reason}")
    assert err.count("\n") == 1
    assert not encoded.joinpath("new").exists()


def test_libraries_do_not_print_into_the_output(outcome, encoded):
    """Files get free numbers; those of standard streams must not be free."""
    closed = "<&- 2>&-"
    code, _, _ = outcome("encode text --with book.npz -o new", closed)
    assert code == 0
    new, old = (encoded.joinpath(n).read_bytes() for n in ("new", "text.knc"))
    assert new == old


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "sys.exit(3)"])
def test_what_is_still_in_the_buffer(end):
    script = f"""
import sys
from keras_nc.cli.errors import one_line_errors
with one_line_errors("recipe"):
    print("result")
    {end}
"""
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", script],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("recipe: error: No space left on device")
    assert result.stderr.count("\n") == 1


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_another_broken_pipe_is_no_reader_that_left(capsys):
    """A dead worker must give an error. It must not be mistaken for `head`."""
    with pytest.raises(SystemExit) as stop, one_line_errors("recipe"):
        raise BrokenPipeError(32, "Broken pipe")
    assert stop.value.code == 2
    assert "recipe: error: Broken pipe" in capsys.readouterr().err


def test_streams_name_themselves():
    stream = NamedStream(Broken(), "name")
    with pytest.raises(BrokenPipeError) as error:
        print("text", file=stream)
    assert error.value.filename == "name"
    source = NamedStream(io.BytesIO(b"abc"), "name")
    assert source.read(2) + source.read() == b"abc" and source.num_bytes == 3
