import numpy as np
import pytest

from tests.tokenizers.conftest import STREAMS
from tests.tokenizers.conftest import TEXTS

WITH_TOKENS = ["bytes", "one_token", "twelve_bits", "bpe", "sentencepiece"]
WITH_TOKENS += ["dictionary"]


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_tokens_have_ids_and_ids_have_tokens(tokenizers, name):
    tokenizer = tokenizers[name]
    vocabulary = tokenizer.get_vocabulary()
    assert len(vocabulary) == tokenizer.vocabulary_size()
    lengths = [len(token) for token in vocabulary]
    assert lengths == tokenizer.token_lengths.tolist()
    for i in [*range(259), *range(259, len(vocabulary), 97)]:
        if vocabulary[i]:
            token = tokenizer.id_to_token(i)
            assert type(token) is bytes and token == vocabulary[i]
            assert vocabulary[tokenizer.token_to_id(token)] == token
            if name != "sentencepiece":  # which has two ids for some bytes
                assert tokenizer.token_to_id(token) == i
        else:
            with pytest.raises(ValueError, match=f"id {i}"):
                tokenizer.id_to_token(i)
    for text in TEXTS:
        ids = tokenizer(text)
        tokens = [tokenizer.id_to_token(i) for i in ids]
        assert b"".join(tokens) == text
        for token, i in zip(tokens, ids.tolist(), strict=True):
            assert vocabulary[i] == token
            if len(token) > 1:
                assert tokenizer.token_to_id(token) == i
    assert tokenizer.token_to_id("e") == tokenizer.token_to_id(b"e")
    assert tokenizer.id_to_token(tokenizer.token_to_id("e")) == b"e"
    assert tokenizer.id_to_token(np.uint16(tokenizer.token_to_id("e"))) == b"e"


@pytest.mark.parametrize("name", WITH_TOKENS)
def test_odd_tokens_and_ids_are_refused(tokenizers, name):
    tokenizer = tokenizers[name]
    for odd in (b"", b"zzzqqq\xff", "zzzqqq"):
        with pytest.raises(ValueError, match="must be in the vocabulary"):
            tokenizer.token_to_id(odd)
    for odd in (0, 1, 2, -1, tokenizer.vocabulary_size(), 2**70):
        with pytest.raises(ValueError, match=f"id {odd}"):
            tokenizer.id_to_token(odd)
    with pytest.raises(TypeError, match="float"):
        tokenizer.id_to_token(5.0)
    with pytest.raises(TypeError, match="Text must be"):
        tokenizer.token_to_id(5)


def test_encoding_prefers_the_id_that_a_token_has(tokenizers):
    tokenizer = tokenizers["sentencepiece"]
    common = [t for t in tokenizer.get_vocabulary() if t.isalpha()]
    for token in set(common):
        if token.isascii():
            ids = tokenizer(token).tolist()
            assert ids == [tokenizer.token_to_id(token)] or len(ids) > 1


@pytest.mark.parametrize("name", ["two_tokens", "four_tokens", *STREAMS])
def test_ids_without_tokens_have_no_vocabulary(tokenizers, name):
    tokenizer = tokenizers[name]
    with pytest.raises(ValueError, match="Received: the scheme"):
        tokenizer.get_vocabulary()
    with pytest.raises(ValueError, match="Received: the scheme"):
        tokenizer.token_to_id(b"e")
    with pytest.raises(ValueError, match="no bytes of its own"):
        tokenizer.id_to_token(5)


def test_a_vocabulary_needs_assets(tokenizers):
    for name in ("one_token", "two_tokens", "bpe", "sentencepiece"):
        config = tokenizers[name].get_config()
        empty = type(tokenizers[name]).from_config(config)
        for ask in (
            empty.get_vocabulary,
            lambda: empty.token_to_id(b"e"),  # noqa: B023
        ):
            with pytest.raises(ValueError, match="yet"):
                ask()


def test_vocabulary_sizes(tokenizers):
    sizes = {n: t.vocabulary_size() for n, t in tokenizers.items()}
    assert sizes == {
        "bytes": 259,
        "one_token": 65536,
        "two_tokens": 259,
        "four_tokens": 19,
        "twelve_bits": 4096,
        "bpe": 600,
        "dictionary": 1024,
        "sentencepiece": 400,
        "ac": 259,
        "static_ac": 65539,
        "gzip": 259,
        "gzip_pairs": 65539,
    }
