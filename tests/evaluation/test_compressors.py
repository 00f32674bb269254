import gzip
import lzma
import random
import sys

import brotli
import pytest
import zstandard

from keras_nc.evaluation.compressors import compressors_bits_per_byte

NAMES = ["gzip -9", "xz -9e", "zstd -19", "brotli -11"]


def test_english_compresses_and_noise_does_not(text):
    english = compressors_bits_per_byte([text[:50_000]])
    noise = compressors_bits_per_byte([random.Random(0).randbytes(50_000)])
    assert list(english) == list(noise) == NAMES
    for name in NAMES:
        assert 1.5 < english[name] < 3
        assert 8 <= noise[name] < 8.1


def test_documents_are_one_stream(text):
    whole = compressors_bits_per_byte(text[:9_000])
    parts = [text[i : i + 3_000] for i in range(0, 9_000, 3_000)]
    assert compressors_bits_per_byte(parts) == whole
    # The second half repeats the first, so it costs next to no bits.
    twice = compressors_bits_per_byte([text[:9_000]] * 2)
    for name in NAMES:
        assert twice[name] < 0.55 * whole[name]


def test_levels_are_the_strongest(text):
    text = text[:3_000]
    shortest = {
        "gzip -9": min(len(gzip.compress(text, n)) for n in range(1, 10)),
        "xz -9e": min(len(lzma.compress(text, preset=n)) for n in range(10)),
        "zstd -19": len(zstandard.compress(text, 3)),
        "brotli -11": min(
            len(brotli.compress(text, quality=n)) for n in range(11)
        ),
    }
    bits = compressors_bits_per_byte(text)
    for name, size in shortest.items():
        # A weaker level may happen to be a byte or two shorter.
        assert bits[name] <= 8 * (size + 2) / len(text)


@pytest.mark.parametrize("documents", [[], b"", [b"", b""]])
def test_no_text(documents):
    with pytest.raises(ValueError, match="at least one byte"):
        compressors_bits_per_byte(documents)


@pytest.mark.parametrize("documents", [5, [1, 2], {"text": 1}])
def test_what_is_no_text_is_refused(documents):
    with pytest.raises(TypeError, match="bytes"):
        compressors_bits_per_byte(documents)


def test_brotli_is_in_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(ImportError, match=r"\[recipes\]"):
        compressors_bits_per_byte(b"text")
