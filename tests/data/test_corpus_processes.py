"""Several processes and one folder of shards."""

import pathlib
import subprocess
import sys
import time

import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.data import tokenize_corpus
from keras_nc.data import write_shards

#: Two groups for two workers that wait; another argument is where they are.
WAITING = """
import os, pathlib, sys, time
from keras_nc.coding import TextTokenizer
from keras_nc.data import corpus_groups, tokenize_corpus
class Waiting(TextTokenizer):
    def encode_batch(self, documents):
        pathlib.Path(os.environ["PIDS"], str(os.getpid())).touch()
        time.sleep(600)
if __name__ == "__main__":
    corpus_groups._GROUP_BYTES = 1
    corpus, preset, folder = sys.argv[1:]
    tokenize_corpus(corpus, Waiting.load(preset), folder, workers=2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_workers_end_with_a_killed_process(tmp_path, monkeypatch):
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text("she sells sea shells " * 9)
    corpus = str(tmp_path / "*.txt")
    text = (tmp_path / "0.txt").read_bytes()
    tokenizer = TextTokenizer(Codebook.build(text=text, window_bits=9))
    tokenizer.save(tmp_path / "preset")
    script, pids, out = (tmp_path / name for name in ("s.py", "pids", "out"))
    script.write_text(WAITING)
    pids.mkdir()
    monkeypatch.setenv("PIDS", str(pids))
    names = [script, corpus, tmp_path / "preset", out]
    process = subprocess.Popen(
        [sys.executable, *map(str, names)], stderr=subprocess.DEVNULL
    )
    while len(list(pids.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    for write, what in ((tokenize_corpus, corpus), (write_shards, [text])):
        with pytest.raises(ValueError, match="Only one process may write"):
            write(what, tokenizer, out, overwrite=True)
    process.kill()
    process.wait()
    workers = [pathlib.Path("/proc", path.name) for path in pids.iterdir()]
    deadline = time.monotonic() + 60
    while any(map(_is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tokenize_corpus(corpus, tokenizer, out, overwrite=True).num_bytes


def _is_alive(process):
    """Return whether a process in /proc runs; a zombie does not."""
    try:
        return ") Z " not in (process / "stat").read_text()
    except OSError:
        return False
