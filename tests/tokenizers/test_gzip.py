import gzip

import numpy as np
import pytest

from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers.compressed import GZipScheme

TEXT = b"she sells sea shells by the sea shore. " * 3


def filled(text, token_bits):
    """The bytes of the ids of a text."""
    ids = GZipTokenizer(token_bits)(text) - 3
    return ids.astype(f">u{token_bits // 8}").tobytes()


@pytest.mark.parametrize("token_bits", [8, 16])
def test_ids_are_a_gzip_file(token_bits):
    fillings = set()
    for length in range(1, 60):
        text = TEXT[:length]
        stream = filled(text, token_bits)
        unfilled = filled(text, 8)
        assert gzip.decompress(unfilled) == text
        assert stream in (unfilled, unfilled + b"\x00")
        assert len(stream) % (token_bits // 8) == 0
        fillings.add(len(stream) - len(unfilled))
    assert fillings == ({0} if token_bits == 8 else {0, 1})


def test_any_gzip_file_decodes():
    tokenizer = GZipTokenizer(16)
    for level in (1, 9):
        stream = gzip.compress(TEXT, level)
        stream += bytes(len(stream) % 2)
        ids = np.frombuffer(stream, ">u2").astype("int32") + 3
        assert tokenizer.detokenize(ids) == TEXT


@pytest.mark.parametrize("token_bits", [8, 16])
def test_damage_is_refused(token_bits):
    tokenizer = GZipTokenizer(token_bits)
    ids = tokenizer(TEXT)
    for wrong in (
        *(ids[:cut] for cut in range(1, len(ids))),
        *(ids[cut:] for cut in range(1, len(ids))),
        [*ids, 3],
        [*ids, *ids],
        [258] * 9,
    ):
        with pytest.raises(ValueError, match="Received"):
            tokenizer.detokenize(wrong)
    # After the header, whose flags and time may vary.
    for at in range(160 // token_bits, len(ids)):
        damaged = ids.copy()
        damaged[at] = 3 + (damaged[at] - 3) ^ 1
        with pytest.raises(ValueError, match="Received"):
            tokenizer.detokenize(damaged)


def test_a_file_of_nothing_is_no_ids():
    tokenizer = GZipTokenizer()
    assert tokenizer(b"").size == 0
    ids = np.frombuffer(gzip.compress(b""), "uint8").astype("int32") + 3
    with pytest.raises(ValueError, match="empty text"):
        tokenizer.detokenize(ids)


def test_fingerprints_and_assets(tmp_path):
    assert GZipScheme(8).fingerprint != GZipScheme(16).fingerprint
    GZipScheme(8).save_assets(tmp_path)
    GZipScheme(8).load_assets(tmp_path)
    with pytest.raises(ValueError, match="must hold the rule"):
        GZipScheme(16).load_assets(tmp_path)
    with pytest.raises(ValueError, match="token_bits=4"):
        GZipTokenizer(token_bits=4)
