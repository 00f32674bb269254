"""Machine code that Numba keeps on disk."""

import os

from keras_nc.coding.kernels import drop_old_code


def test_code_older_than_a_source_is_deleted(tmp_path):
    """A kernel of one folder may call one of the other."""
    first, second = tmp_path / "first", tmp_path / "second"
    times = {
        first / "words.py": 30,
        first / "__pycache__" / "words.f-3.py311.nbi": 31,
        first / "__pycache__" / "words.f-3.py311.1.nbc": 39,
        first / "__pycache__" / "words.cpython-311.pyc": 31,
        second / "phrases.py": 40,
        second / "__pycache__" / "phrases.g-3.py311.nbi": 40,
        second / "__pycache__" / "phrases.h-3.py311.nbi": 35,
    }
    for path, time in times.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (time, time))
    drop_old_code([first, second, tmp_path / "missing"])
    left = {path for path in times if path.exists()}
    gone = {path.name for path in times if path not in left}
    assert gone == {
        "words.f-3.py311.nbi",
        "words.f-3.py311.1.nbc",
        "phrases.h-3.py311.nbi",
    }
