"""Pinned ids; a change of one needs a new format version.

Those of arithmetic streams, dictionaries and codebooks are in their own tests.
"""

import gzip

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import train_bpe

TEXT = b"\x00\x01\x00\x00\x02 the\xff"
#: Integers that halve from byte to byte.
HALVING = UnigramModel(np.maximum(1, (1 << 20) >> np.arange(256).clip(max=30)))


def split_windows():
    codebook = Codebook.build(
        HALVING,
        window_bits=10,
        allocation="tunstall",
        parse="greedy",
        prune=False,
        rounds=0,
    )
    return EqualInfoTokenizer(codebook, token_bits=5)


def live(W, N):
    return lambda: LiveWindowTokenizer(HALVING, window_bits=W, token_bits=N)


def bpe():
    # One pair is most frequent at every step, so it does not matter how ties
    # are broken.
    text = b"theththethe the the the tht"
    return train_bpe([text], 262, split=None)


GOLDEN = {
    "bytes": (ByteTokenizer, [3, 4, 3, 3, 5, 35, 119, 107, 104, 258]),
    "split windows": (
        split_windows,
        [8, 27, 28, 3, 30, 23, 30, 11, 30, 8, 34, 34],
    ),
    "live, 24 bits, 8 a token": (
        live(24, 8),
        [
            *(72, 254, 215, 258, 252, 3, 258, 254, 163, 258, 254),
            *(67, 258, 254, 43, 258, 258, 251, 242, 236, 50, 9),
        ],
    ),
    "live, 32 bits, 16 a token": (
        live(32, 16),
        [
            *(18174, 61189, 65535, 11127, 65534, 55147),
            *(65534, 49768, 65538, 63746, 61420, 12041),
        ],
    ),
    "live, 128 bits, 16 a token": (
        live(128, 16),
        [
            *(18174, 61264, 60499, 48770, 28706),
            *(31408, 29992, 14182, 61420, 12041),
        ],
    ),
    "BPE": (bpe, [191, 192, 191, 191, 193, 223, 260, 190]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_ids_stay_as_they_are(name):
    make, ids = GOLDEN[name]
    tokenizer = make()
    assert tokenizer(TEXT).tolist() == ids
    assert tokenizer.detokenize(ids) == TEXT


@pytest.mark.parametrize("token_bits", [8, 16])
def test_gzip_of_any_zlib_decodes(token_bits):
    # The output of zlib may differ, but not its form in ids.
    data = gzip.compress(TEXT, mtime=0)
    data += bytes(len(data) * 8 % token_bits // 8)
    ids = 3 + np.frombuffer(data, {8: ">u1", 16: ">u2"}[token_bits]).astype(int)
    assert GZipTokenizer(token_bits).detokenize(ids) == TEXT
