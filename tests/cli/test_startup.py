"""The command starts without unneeded imports."""

import importlib.metadata
import os
import sys

import pytest

from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer
from tests.scripts import run_script


def test_what_needs_no_keras_starts_without_it(folder, presets):
    write_shards([b"some text"], ByteTokenizer(), folder / "shards")
    printed = run_script(
        f"""
        import sys
        from keras_nc.cli import main
        main(["--help"])
        main(["encode", "text", "--with", {str(presets / "m2")!r}])
        main(["decode", "text.knc", "--with", "book.npz", "-o", "back"])
        main(["inspect", {str(presets / "m2")!r}])
        main(["inspect", "shards"])
        main(["verify", "shards"])
        main(["verify", "text.knc", "--with", "book.npz"])
        main(["explain", "text", "--with", "book.npz"])
        main(["build", "text", "-o", "own.npz", "--window-bits", "9"])
        main(["tokenize", "text", "--with", "own.npz", "-o", "own"])
        main(["verify", "own", "--with", "own.npz", "--against", "text"])
        heavy = "keras", "keras_hub", "tensorflow", "jax", "torch", "matplotlib"
        print([name for name in heavy if name in sys.modules])
        """,
        bare=True,
    )
    assert printed.splitlines()[-1] == "[]"
    assert folder.joinpath("back").read_bytes() == (
        folder.joinpath("text").read_bytes()
    )


def test_the_command_starts_fast():
    """The command starts in half a second; three times that if it is busy."""
    printed = run_script(
        """
        import time
        import numpy  # not ours, and it reads much from the disk
        from keras_nc.cli import main
        main(["inspect", "--help"])
        print(time.process_time())
        """,
        bare=True,
    )
    assert float(printed.split()[-1]) < 1.5


def test_presets_of_other_tokens_need_no_tensorflow(
    folder, presets, monkeypatch
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    printed = run_script(
        f"""
        import os
        import sys
        from keras_nc.cli import main
        main(["encode", "text", "--with", {str(presets / "m1")!r}])
        print(os.environ.get("KERAS_BACKEND"), sys.modules.get("tensorflow"))
        """,
        bare=True,
    )
    backend, tensorflow = printed.splitlines()[-1].split(maxsplit=1)
    assert backend == "tensorflow" or tensorflow == "None"


def test_an_unknown_backend_is_one_line(run, presets, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    code, out, err = run("generate", presets / "m1", "she")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "KERAS_BACKEND=theano" in err


def test_the_command_is_installed():
    points = importlib.metadata.entry_points(group="console_scripts")
    (command,) = [point for point in points if point.name == "keras-nc"]
    with pytest.raises(SystemExit) as stop:
        command.load()(["encode"])
    assert stop.value.code == 2
    assert os.path.splitext(command.name)[0] == "keras-nc"
