"""Every function that takes text takes `str` or bytes, one or many."""

import pathlib

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding import StreamCoder
from keras_nc.coding import WindowCoder
from keras_nc.coding import ZeroPaddedWindows
from keras_nc.coding.inputs import as_batch
from keras_nc.coding.inputs import as_byte_array
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import iterate_documents
from keras_nc.coding.inputs import join_documents
from keras_nc.data import write_shards
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from keras_nc.evaluation import compressors_bits_per_byte
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from keras_nc.tokenizers import train_sentencepiece

TEXT = "caf\u00e9 \U0001f600 she sells sea shells " * 9
#: Functions that take one text or many.
BOTH = {
    "as_documents": as_documents,
    "as_batch": lambda text: as_batch(text)[0],
    "iterate_documents": lambda text: list(iterate_documents(text)),
    "join_documents": lambda text: plain(join_documents(text)),
    "UnigramModel.from_text": lambda text: plain(
        UnigramModel.from_text(text).counts
    ),
    "NGramModel.from_text": lambda text: plain(
        NGramModel.from_text(text, order=2).probabilities([b"s"])
    ),
    "NGramModel.refit": lambda text: plain(
        COUNTS.refit(text, [0, 5, 9, 13]).probabilities([b"s"])
    ),
    "Codebook.build": lambda text: (
        Codebook.build(
            COUNTS, text, window_bits=9, rounds=1, allocation="tunstall"
        ).fingerprint
    ),
    "Codebook.encode_batch": lambda text: plain(CODEBOOK.encode_batch(text)),
    "WindowCoder.encode_batch": lambda text: plain(
        WindowCoder(STEPPER, window_bits=24).encode_batch(text)
    ),
    "WindowCoder.cut_batch": lambda text: plain(
        WindowCoder(STEPPER, window_bits=24).cut_batch(text)
    ),
    "PrefixCache.build": lambda text: (
        PrefixCache.build(
            STEPPER, text, window_bits=24, max_prefixes=9
        ).fingerprint
    ),
    "ZeroPaddedWindows.encode": lambda text: [
        [window.code for window in windows]
        for windows in ZERO_PADDED.encode(text)
    ],
    "StreamCoder.encode_batch": lambda text: plain(
        StreamCoder(stepper_for(UNIGRAM, 4, 64)).encode_batch(text)
    ),
    "StreamCoder.encode_batch, counts": lambda text: plain(
        StreamCoder(STEPPER).encode_batch(text)
    ),
    "compressors_bits_per_byte": compressors_bits_per_byte,
    "write_shards": lambda text: shards_of(text),
    "train_bpe": lambda text: train_bpe(text, 270).fingerprint,
    "train_dictionary": lambda text: train_dictionary(text, 512).fingerprint,
    "train_sentencepiece": lambda text: (
        train_sentencepiece(text, 290, "bpe").fingerprint
    ),
    "tokenizer": lambda text: rows_of(ByteTokenizer(), text),
    "tokenizer of windows": lambda text: rows_of(
        EqualInfoTokenizer(CODEBOOK), text
    ),
    "tokenizer of streams": lambda text: rows_of(GZipTokenizer(), text),
    "tokenizer.encode_batch": lambda text: plain(
        ByteTokenizer().encode_batch(text)
    ),
}
#: Functions that take one text.
ONE = {
    "as_bytes": as_bytes,
    "as_byte_array": lambda text: plain(as_byte_array(text)),
    "Codebook.encode": lambda text: plain(CODEBOOK.encode(text)),
    "Codebook.encode_part": lambda text: plain(CODEBOOK.encode_part(text)),
    "Codebook.prefix_range": lambda text: CODEBOOK.prefix_range(text),
    "Codebook.find": lambda text: CODEBOOK.find(text),
    "WindowCoder.encode_part": lambda text: plain(
        WindowCoder(STEPPER, window_bits=24).encode_part(text)
    ),
    "tokenizer.split_prompt": lambda text: plain(
        ByteTokenizer().split_prompt(text).ids
    ),
    "count_collisions": lambda text: ZERO_PADDED.count_collisions(text),
}
UNIGRAM = UnigramModel([1] * 256)
COUNTS = NGramModel.from_text(TEXT, order=2)
STEPPER = stepper_for(COUNTS, 4, 64)
ZERO_PADDED = ZeroPaddedWindows(stepper_for(UNIGRAM, 4, 64))
CODEBOOK = Codebook.paper(UNIGRAM, window_bits=9)


def plain(value):
    """Return a value without arrays, which can be compared."""
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


def rows_of(tokenizer, text):
    rows = tokenizer(text)
    return plain(rows if isinstance(rows, list) else [rows])


@pytest.fixture(autouse=True)
def folder(tmp_path):
    """Put shards into a temporary folder."""
    shards_of.folder = tmp_path


def shards_of(text):
    number = len(list(shards_of.folder.iterdir()))
    shards = write_shards(text, ByteTokenizer(), shards_of.folder / str(number))
    return [shards.document(i).tolist() for i in range(shards.num_documents)]


def buffers(text):
    """A text in all forms of bytes."""
    raw = text.encode()
    strided = bytes(b for byte in raw for b in (byte, 0))
    return (
        raw,
        bytearray(raw),
        memoryview(raw),
        memoryview(strided)[::2],
        np.frombuffer(raw, np.uint8),
        np.array(raw),
        np.array(text, dtype=object),
    )


@pytest.mark.parametrize("name", [*BOTH, *ONE])
def test_one_text_in_any_form(name):
    take = {**BOTH, **ONE}[name]
    expected = take(TEXT)
    for text in buffers(TEXT):
        assert take(text) == expected


@pytest.mark.parametrize("name", BOTH)
def test_many_texts_in_any_form(name):
    take = BOTH[name]
    assert take([TEXT]) == take(TEXT)
    texts = [TEXT, "", "sea " * 30]
    expected = take(texts)
    for others in zip(*map(buffers, texts), strict=True):
        assert take(list(others)) == expected
    mixed = [TEXT, b"", bytearray(b"sea " * 30)]
    assert take(mixed) == expected
    assert take(tuple(mixed)) == expected
    assert take(iter(mixed)) == expected
    assert take(text for text in mixed) == expected
    assert take(dict.fromkeys(texts).keys()) == expected
    assert take(np.array(texts)) == expected
    assert take(np.array(mixed, dtype=object)) == expected


@pytest.mark.parametrize("name", [*BOTH, *ONE])
def test_what_is_no_text_is_refused(name):
    take = {**BOTH, **ONE}[name]
    for odd, received in (
        (5, "int"),
        (1.5, "float"),
        (object(), "object"),
        (pathlib.Path("text"), "PosixPath"),
        ({"a": 1}, "dict"),
        ({"a"}, "set"),
        ([1, 2], "list" if name in ONE else "int"),
        ([["a"]], "list"),
        ([None], "list" if name in ONE else "NoneType"),
        (np.zeros(3, np.int64), "int64"),
        (np.zeros((3, 3), np.uint8), "(3, 3)"),
        (np.float32(1), "float32"),
    ):
        with pytest.raises(TypeError, match="Text must be `str` or b") as error:
            take(odd)
        assert "Received: " in str(error.value)
        assert received in str(error.value)
    if name != "Codebook.build":  # which can do without
        with pytest.raises(TypeError, match="NoneType"):
            take(None)
    for odd in ("a\ud800", *([["a", "\udfff"]] if name in BOTH else [])):
        with pytest.raises(ValueError, match="a lone surrogate at position"):
            take(odd)


def is_numbers(text):
    """Return whether `generate` sees ids, and asks for a dict."""
    return isinstance(text, np.ndarray) and text.dtype.kind == "u"


def test_models_take_what_tokenizers_take(make_m2):
    m2 = make_m2(ByteTokenizer(), num_layers=1)
    m2.compile(sampler="greedy")
    texts = ["caf\u00e9", "sea"]
    expected = m2.bits_per_byte(texts)
    for others in zip(*map(buffers, texts), strict=True):
        assert m2.bits_per_byte(list(others)) == expected
        if not is_numbers(others[0]):
            found = m2.generate(list(others), max_length=9)
            assert [as_bytes(text)[:3] for text in found] == [b"caf", b"sea"]
    expected = m2.bits_per_byte("sea")
    for text in buffers("sea"):
        assert m2.bits_per_byte(text) == expected
        if not is_numbers(text):
            assert as_bytes(m2.generate(text, max_length=9))[:3] == b"sea"
    for odd in (5, [5], {"a": 1}):
        with pytest.raises(TypeError, match="Text must be"):
            m2.bits_per_byte(odd)
    with pytest.raises(TypeError, match="Text must be"):
        m2.generate(5)
