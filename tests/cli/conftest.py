import functools
import os
import subprocess
import sys

import pytest

from keras_nc.cli import main
from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import EqualInfoTokenizer

LAUNCH = """
import sys
from keras_nc.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="session")
def codebook(text):
    model = NGramModel.from_text(text[:20000])
    return Codebook.paper(model, window_bits=11)


@pytest.fixture(scope="session")
def uniform():
    """A codebook of known windows: single bytes and a few pairs."""
    return Codebook.paper(UnigramModel([1] * 256), window_bits=10)


@pytest.fixture
def folder(tmp_path, monkeypatch, codebook, text):
    """The current folder, with a text, its codebook and another."""
    monkeypatch.chdir(tmp_path)
    codebook.save("book.npz")
    tmp_path.joinpath("text").write_bytes(text[:50000])
    return tmp_path


@pytest.fixture(scope="session")
def presets(tmp_path_factory, codebook, make_m1, make_m2):
    """A folder of presets: m1, m2, and a tokenizer of split windows."""
    folder = tmp_path_factory.mktemp("presets")
    make_m1().save_to_preset(str(folder / "m1"))
    tokenizer = EqualInfoTokenizer(codebook)
    make_m2(tokenizer).save_to_preset(str(folder / "m2"))
    EqualInfoTokenizer(codebook, token_bits=1).save_to_preset(
        str(folder / "tokenizer")
    )
    return folder


@pytest.fixture
def run(capsys):
    """A function that runs a command here: code, output and errors."""
    return functools.partial(run_main, capsys)


@pytest.fixture
def run_binary(capsysbinary):
    """Like `run`, for output of any bytes."""
    return functools.partial(run_main, capsysbinary)


def run_main(captured, *arguments):
    """Run a command here: code, output and errors."""
    captured.readouterr()
    try:
        code = main(list(map(str, arguments)))
    except SystemExit as stop:
        code = stop.code
    return code, *captured.readouterr()


@pytest.fixture
def start():
    """A function that starts a command in a process of its own."""
    processes = []

    def start_process(*arguments, redirect="", **kwargs):
        # The shell redirects, as in `keras-nc inspect book.npz >&-`.
        shell = ["sh", "-c", f'exec "$0" "$@" {redirect}']
        process = subprocess.Popen(
            [*shell, sys.executable, "-c", LAUNCH, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
            **kwargs,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()
