import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import CompressedCausalLMPreprocessor
from keras_nc.tokenizers import DictionaryTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary

BYTES = [bytes([byte]) for byte in range(256)]


@pytest.fixture(scope="module")
def tokenizer(text):
    return train_dictionary([text[:100_000]], 1024)


@settings(deadline=None, max_examples=100)
@given(data=st.one_of(st.binary(max_size=200), st.text().map(str.encode)))
def test_any_bytes_round_trip(tokenizer, data):
    ids = tokenizer(data)
    assert tokenizer.detokenize(ids) == data
    assert tokenizer.token_lengths[ids].sum() == len(data)


def test_the_longest_string_that_fits_comes_first():
    words = [*BYTES, b"sea", b"she", b"shells", b"sells"]
    tokenizer = DictionaryTokenizer.from_words(words, 512)
    ids = tokenizer(b"she sells seashells")
    pieces = [tokenizer.id_to_token(i) for i in ids]
    assert pieces == [b"she", b" ", b"sells", b" ", b"sea", b"shells"]


def test_every_id_is_used_and_every_byte_is_there(tokenizer):
    lengths = tokenizer.token_lengths
    assert (lengths[3:] > 0).all()
    singles = [tokenizer.id_to_token(i) for i in np.flatnonzero(lengths == 1)]
    assert singles == BYTES


def test_it_packs_as_well_as_bpe_without_splitting(text, tokenizer):
    bpe = train_bpe([text[:100_000]], 1024, split=None)
    held_out = text[100_000:]
    assert len(tokenizer(held_out)) < 1.03 * len(bpe(held_out))


def test_strings_are_of_one_document():
    documents = [b"left", b"right"] * 50
    tokenizer = train_dictionary(documents, 512)
    used = np.flatnonzero(tokenizer.token_lengths)
    words = [tokenizer.id_to_token(i) for i in used]
    assert b"left" in words and b"right" in words
    assert not any(b"tr" in word or b"tl" in word for word in words)


def test_strings_have_their_greatest_length():
    tokenizer = train_dictionary([b"-" * 10_000], 512, max_token_bytes=16)
    assert tokenizer.token_lengths.max() == 16


def test_equal_text_gives_equal_dictionaries(text, tokenizer):
    again = train_dictionary([text[:100_000]], 1024)
    assert again.fingerprint == tokenizer.fingerprint
    # Decided in integers: the same wherever it is trained.
    documents = [b"she sells sea shells by the sea shore " * 20]
    golden = train_dictionary(documents, 512).fingerprint
    assert golden.startswith("10abb74787adbf32")


@pytest.mark.parametrize("documents", [[], [b""], [b"", b"a", b""], [b"ab"]])
def test_little_text_leaves_ids_over(documents):
    tokenizer = train_dictionary(documents, 512)
    assert np.count_nonzero(tokenizer.token_lengths) == 256
    assert tokenizer.detokenize(tokenizer(b"ab\xff")) == b"ab\xff"


def test_models_and_presets_take_it(text, tokenizer, tmp_path):
    m2 = CompressedCausalLM(
        CompressedBackbone(
            tokenizer.vocabulary_size(),
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
        ),
        CompressedCausalLMPreprocessor(tokenizer, sequence_length=32),
    )
    prompt = text[:20]
    assert m2.generate(prompt, max_length=16).startswith(prompt)
    m2.save_to_preset(tmp_path)
    again = CompressedCausalLM.from_preset(str(tmp_path))
    assert again.preprocessor.tokenizer.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "words, received",
    [
        ([*BYTES, b"sea", b"sea"], "b'sea' twice"),
        ([*BYTES, "sea", b"sea"], "b'sea' twice"),
        ([*BYTES, b"a"], "b'a' twice"),
        (BYTES[1:], "255 single bytes"),
        ([], "0 single bytes"),
        ([*BYTES, b""], "words of 0 to 1 bytes"),
        ([*BYTES, b"a" * 256], "words of 1 to 256 bytes"),
        ([*BYTES, *(b"a" + a + b for a in BYTES for b in BYTES)], "65,792 wo"),
    ],
)
def test_words_that_are_no_dictionary_are_refused(words, received):
    with pytest.raises(ValueError, match=received):
        DictionaryTokenizer.from_words(words, 512)


def test_words_may_be_text():
    words = [*BYTES, "caf\u00e9"]
    tokenizer = DictionaryTokenizer.from_words(words, np.int64(512))
    assert tokenizer.vocabulary_size() == 512
    assert len(tokenizer("caf\u00e9")) == 1


def test_sizes_that_are_no_power_of_two_are_refused():
    for odd in (1000, 256, 131_072):
        with pytest.raises(ValueError, match=f"vocabulary_size={odd}"):
            DictionaryTokenizer.from_words(BYTES, odd)


def test_odd_requests_are_refused(text):
    for odd in (256, 1000, 131_072):
        with pytest.raises(ValueError, match=f"vocabulary_size={odd}"):
            train_dictionary([text], odd)
    with pytest.raises(ValueError, match="max_token_bytes=256"):
        train_dictionary([text], 512, max_token_bytes=256)
    with pytest.raises(TypeError, match="Received: int"):
        train_dictionary([5], 512)
