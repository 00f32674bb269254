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
        "2806dc67bcb4ce5c86b694de0b9fbc0a642832e9afecbfb2ac2e72f4a1d9362a",
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
        "7f29f27e114c1ade7f013c5f61e1afac1c2d0297db56cc741178c0f73f388d18",
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
        "27bd41c9d6865dd36eb878c3a01d26a4615a2c4f1c9395c137ee283e301e8bf1",
        [1151, 3085, 3, 4095],
    ),
    ("ngram", 12, "arithmetic", 2): (
        "5b35f766ed39675f637805973bbf8d44c94276ea11fedb87015b450723236bf9",
        [1077, 3543, 3, 4095],
    ),
    ("ngram", 12, "tunstall", 2): (
        "ad2f279043fe7f17894c1c0dadb40b05cb8725443b12247a8a4a0ebdacd24e17",
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
        parse="greedy",
        prune=False,
    )
    fingerprint, ids = GOLDEN[name, W, allocation, rounds]
    assert codebook.fingerprint == fingerprint
    assert codebook.encode(b"12 squared is\0\xff").tolist() == ids


PRUNED = {
    ("arithmetic", "aligned"): (
        "5c30f8becd82d66bac7c685812563103e88088ef4162a9ea7dc385179bc04c00",
        [759, 768, 669, 3, 1023],
    ),
    ("tunstall", "aligned"): (
        "83e7b107db3ce1643bdd909718de1cc05952f73a18369a39c7d134d059c3e7ff",
        [760, 723, 3, 1023],
    ),
    ("tunstall", "flexible"): (
        "49175badd672e18b11d0996c26b4e60a03e3cbfa81c7048f6b95cc202a6582ec",
        [304, 35, 883, 881, 885, 865, 882, 869, 868, 35, 873, 883, 3, 1023],
    ),
    ("tunstall", "likely"): (
        "757a91e9eaaa66262e13d9c85ecd08034afdb9fb01b73368b3e5e60dd9023d53",
        [285, 35, 883, 881, 885, 865, 882, 869, 868, 35, 873, 883, 3, 1023],
    ),
    ("tunstall", "likely_aligned"): (
        "a673a81e0729591c5eeb4624ef8eba38c8d1ac438b4cc1f586c6d486052ace69",
        [733, 739, 682, 3, 1023],
    ),
}


@pytest.mark.parametrize("allocation, parse", PRUNED)
def test_pruned_codebooks_stay_as_they_are(models, allocation, parse):
    codebook = Codebook.build(
        models["ngram"],
        TEXT,
        window_bits=10,
        allocation=allocation,
        parse=parse,
        prune=True,
        rounds=1,
    )
    fingerprint, ids = PRUNED[allocation, parse]
    assert codebook.fingerprint == fingerprint
    assert codebook.encode(b"12 squared is\0\xff").tolist() == ids


SYLLABLES = [a + b for a in "bdlmrst" for b in "aeiou"]
WORDS = [
    SYLLABLES[n % 35] + SYLLABLES[n * n % 31] + SYLLABLES[n % 29] * (n % 3 > 0)
    for n in range(400)
]
PROSE = "".join(
    WORDS[(n * n + n // 7) % 400] + ". "[n % 9 > 0 :] for n in range(4000)
).encode()
#: Windows of words and phrases, by units, prune, and whether a model helps.
UNITS = {
    ("phrases", "likelihood", False): (
        "fb552e69c24a225b65715f13564daf058f5ccee81610d5d7997519a0d89e76ab",
        [866, 35, 876, 869, 794, 35, 877, 885, 882, 873, 3, 1023],
    ),
    ("phrases", "likelihood", True): (
        "96a19698e37a0e5a185429a23e383cb11a3a265daed217562cf78863d654363f",
        [559, 559, 164, 474, 257, 794, 3, 1023],
    ),
    ("phrases", "bytes", False): (
        "f19ccf661078623928d4c633d27e49e8bc7370c798a9219d637537f7b6671cdd",
        [
            866,
            865,
            866,
            865,
            35,
            876,
            869,
            804,
            35,
            877,
            885,
            882,
            873,
            3,
            1023,
        ],
    ),
    ("phrases", False, False): (
        "80c64ecc7a76f187db9b89980fbf2f2c4d5579e7d199830eec1217c726b706d5",
        [447, 447, 144, 356, 169, 882, 3, 1023],
    ),
    ("words", "likelihood", False): (
        "71d55eda95abff1d4ba0d348bdd74493031fbbfb3a3742320abead5f81f1f1cd",
        [575, 180, 485, 279, 835, 3, 1023],
    ),
}


@pytest.mark.parametrize("units, prune, by_model", UNITS)
def test_words_and_phrases_stay_as_they_are(units, prune, by_model):
    codebook = Codebook.build(
        NGramModel.from_text(PROSE[:3000]) if by_model else None,
        PROSE,
        window_bits=10,
        units=units,
        prune=prune,
    )
    fingerprint, ids = UNITS[units, prune, by_model]
    assert codebook.fingerprint == fingerprint
    assert codebook.encode(b"baba le. muri\0\xff").tolist() == ids


def test_the_file_holds_what_the_format_says(models, tmp_path):
    codebook = Codebook.paper(models["unigram"], window_bits=9)
    path = tmp_path / "codebook.npz"
    codebook.save(path)
    with np.load(path, allow_pickle=False) as f:
        fields = {name: (str(f[name].dtype), f[name].shape) for name in f}
        assert f["format_version"] == 2
        assert f["window_bits"] == 9
        assert f["max_window_bytes"] == 64
        assert f["allocation"] == "arithmetic"
        assert f["parse"] == "greedy"
        content = f["lengths"].tobytes() + f["bytes"].tobytes()
        line = b"keras_nc codebook 2 9 64 arithmetic greedy\n"
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
        "costs": ("uint16", (0,)),
        "fingerprint": ("<U64", ()),
    }
