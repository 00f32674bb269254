"""The README's example runs as it stands."""

import pathlib
import re

import keras_nc

README = pathlib.Path(keras_nc.__file__).parents[1] / "README.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    assert "The function retu" in capsys.readouterr().out
    assert (tmp_path / "m2" / "task.json").exists()


def test_the_tree_names_every_room():
    rooms = {
        path.parent.name
        for path in pathlib.Path(keras_nc.__file__).parent.glob("*/__init__.py")
    }
    assert set(re.findall(r"^  (\w+)/ ", README.read_text(), re.M)) == rooms
