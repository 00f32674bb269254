import sys

from keras_nc.progress import ProgressLine


def run(enabled):
    with ProgressLine("Writing shards", enabled) as progress:
        progress.update(1_500_000, "shard 7")
    assert progress.num_bytes == 1_500_000


def test_silent_without_a_terminal(capfd):
    run(enabled=True)
    assert capfd.readouterr() == ("", "")


def test_one_line_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(enabled=True)
    line = capsys.readouterr().err
    assert line.startswith("\rWriting shards: 1.5 MB, ")
    assert "shard 7" in line
    assert line.endswith("\n")
    run(enabled=False)
    assert capsys.readouterr().err == ""


def test_the_part_that_is_done(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with ProgressLine("Encoding", total=2_000_000) as progress:
        progress.update(500_000)
        progress._write()
        progress.update(1_500_000)
    first, last = capsys.readouterr().err.split("\033[K")[:2]
    assert "0.5 MB, " in first and ", 25%, " in first and "s left" in first
    assert last.endswith(", 100%")


def test_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    run(enabled=True)
