"""Codebooks of fixed integer counts, pinned: these bits are the format."""

import hashlib

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel

TEXT = b" ".join(b"%d squared is %d." % (n, n * n) for n in range(500))


@pytest.fixture(scope="module")
def models(geometric):
    return {"unigram": geometric, "ngram": NGramModel.from_text(TEXT)}


GOLDEN = {
    ("unigram", 9, "arithmetic", 0): (
        "d9e66aeb56715ce91fbc9378ceeff2e6baeb7e843a6c3824d40ca6d79661ec55",
        [
            305,
            306,
            288,
            371,
            369,
            373,
            353,
            370,
            357,
            356,
            288,
            361,
            371,
            3,
            511,
        ],
    ),
    ("unigram", 9, "tunstall", 0): (
        "b13453a46ea235603950785df460101e8f59858ef5ffa8f35b73693fac54e88a",
        [
            305,
            306,
            288,
            371,
            369,
            373,
            353,
            370,
            357,
            356,
            288,
            361,
            371,
            3,
            511,
        ],
    ),
    ("ngram", 12, "arithmetic", 0): (
        "e8811c7b6a5668c1e9267ef39a4df84ac9d42f0cfc06657c878411513eadf712",
        [1151, 3085, 3, 4095],
    ),
    ("ngram", 12, "arithmetic", 2): (
        "1ee63e01022d8209ac94196d61d13c435d4a6fb41a318488e00cd00f9d9392c7",
        [1077, 3543, 3, 4095],
    ),
    ("ngram", 12, "tunstall", 2): (
        "0a2f071a6c724d4e06825e7dc6d3dd1d821f878312a7c9fffbc428c0c052e640",
        [814, 3, 4095],
    ),
}


@pytest.mark.parametrize("name, W, allocation, rounds", GOLDEN)
def test_codebooks_stay_as_they_are(models, name, W, allocation, rounds):
    codebook = Codebook.build(
        models[name],
        TEXT,
        window_bits=W,
        allocation=allocation,
        rounds=rounds,
    )
    fingerprint, ids = GOLDEN[name, W, allocation, rounds]
    assert codebook.fingerprint == fingerprint
    assert codebook.encode(b"12 squared is\0\xff").tolist() == ids


def test_the_file_holds_what_the_format_says(models, tmp_path):
    codebook = Codebook.build(models["unigram"], window_bits=9)
    path = tmp_path / "codebook.npz"
    codebook.save(path)
    with np.load(path, allow_pickle=False) as f:
        fields = {name: (str(f[name].dtype), f[name].shape) for name in f}
        assert f["format_version"] == 1
        assert f["window_bits"] == 9
        assert f["max_window_bytes"] == 64
        assert f["allocation"] == "arithmetic"
        assert f["parse"] == "greedy"
        content = f["lengths"].tobytes() + f["bytes"].tobytes()
        line = b"keras_nc codebook 1 9 64 arithmetic greedy\n"
        digest = hashlib.sha256(line + content).hexdigest()
        assert f["fingerprint"] == digest == codebook.fingerprint
    assert fields == {
        "format_version": ("int64", ()),
        "window_bits": ("int64", ()),
        "max_window_bytes": ("int64", ()),
        "allocation": ("<U10", ()),
        "parse": ("<U6", ()),
        "lengths": ("uint8", (512,)),
        "bytes": ("uint8", (int(codebook.token_lengths.sum()),)),
        "fingerprint": ("<U64", ()),
    }
