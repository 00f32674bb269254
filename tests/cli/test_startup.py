"""The command starts without what it does not need."""

import importlib.metadata
import os

import pytest

from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer
from tests.scripts import run_script


def test_codebooks_and_presets_need_no_keras(folder, presets):
    printed = run_script(
        f"""
        import sys
        sys.argv[0] = "/some/where/keras-nc"
        from keras_nc.cli import main
        main(["--help"])
        main(["encode", "text", "--with", {str(presets / "m2")!r}])
        main(["decode", "text.knc", "--with", "book.npz", "-o", "back"])
        main(["inspect", {str(presets / "m2")!r}])
        main(["explain", "text", "--with", "book.npz"])
        heavy = "keras", "keras_hub", "tensorflow", "jax", "torch", "matplotlib"
        print([name for name in heavy if name in sys.modules])
        """,
        bare=True,
    )
    assert printed.splitlines()[-1] == "[]"
    assert folder.joinpath("back").read_bytes() == (
        folder.joinpath("text").read_bytes()
    )


def test_shards_need_no_tensorflow(folder, monkeypatch):
    write_shards([b"some text"], ByteTokenizer(), folder / "shards")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    printed = run_script(
        """
        import os
        import sys
        sys.argv[0] = "/some/where/keras-nc"
        from keras_nc.cli import main
        main(["inspect", "shards"])
        print(os.environ.get("KERAS_BACKEND"), sys.modules.get("tensorflow"))
        """,
        bare=True,
    )
    backend, tensorflow = printed.splitlines()[-1].split(maxsplit=1)
    assert backend == "tensorflow" or tensorflow == "None"


def test_the_command_is_installed():
    points = importlib.metadata.entry_points(group="console_scripts")
    (command,) = [point for point in points if point.name == "keras-nc"]
    with pytest.raises(SystemExit) as stop:
        command.load()(["encode"])
    assert stop.value.code == 2
    assert os.path.splitext(command.name)[0] == "keras-nc"
