import json

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.tokenizers import BPETokenizer
from keras_nc.tokenizers import train_bpe

SPLITS = ["gpt2", None]


@pytest.fixture(scope="module")
def trained(text):
    return {split: train_bpe([text[:100_000]], 1024, split) for split in SPLITS}


@pytest.mark.parametrize("split", SPLITS)
@settings(deadline=None, max_examples=100)
@given(data=st.one_of(st.binary(max_size=100), st.text().map(str.encode)))
def test_any_bytes_round_trip(trained, split, data):
    tokenizer = trained[split]
    ids = tokenizer(data)
    assert tokenizer.detokenize(ids) == data
    assert tokenizer.token_lengths[ids].sum() == len(data)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  leading and trailing  ",
        b"\x00 nul \x00",
        b"\xff\xfe invalid \xed\xa0\x80",
        b"valid \xc3\xa9 after \xff\xff, \xc3",
        b"lines\n\nand\ttabs\r\n",
        b"<s></s><|endoftext|>",
    ],
)
def test_odd_text_round_trips(trained, split, data):
    tokenizer = trained[split]
    assert tokenizer.detokenize(tokenizer(data)) == data
    batch = tokenizer.encode_batch([data, b"other", data])
    assert batch[1][-1] == len(batch[0])
    assert tokenizer.detokenize(batch[0]) == data + b"other" + data


def test_every_piece_has_its_bytes(trained):
    for tokenizer in trained.values():
        assert tokenizer.vocabulary_size() == 1024
        pieces = [tokenizer.scheme.token_bytes(i) for i in range(3, 1024)]
        assert len(set(pieces)) == 1021
        assert {bytes([b]) for b in range(256)} <= set(pieces)


def test_only_without_splitting_pieces_hold_several_words(text, trained):
    def crossing(tokenizer):
        pieces = [tokenizer.scheme.token_bytes(i) for i in range(3, 1024)]
        return [piece for piece in pieces if b"e t" in piece]

    assert crossing(trained[None]) and not crossing(trained["gpt2"])
    held_out = text[100_000:]
    assert len(trained[None](held_out)) < len(trained["gpt2"](held_out))


def test_pieces_have_their_greatest_length(text):
    runs = [text[:50_000], b"-" * 100_000]
    tokenizer = train_bpe(runs, 600, None, max_token_bytes=8)
    assert tokenizer.token_lengths.max() == 8


def test_assets_round_trip(trained, text, tmp_path):
    tokenizer = trained[None]
    tokenizer.save_assets(tmp_path)
    again = BPETokenizer.from_config(tokenizer.get_config())
    with pytest.raises(ValueError, match="no BPE model"):
        again("text")
    again.load_assets(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.get_config() == tokenizer.get_config()
    assert again(text[:1000]).tolist() == tokenizer(text[:1000]).tolist()
    other = BPETokenizer.from_config(trained["gpt2"].get_config())
    with pytest.raises(ValueError, match="fingerprint"):
        other.load_assets(tmp_path)


def test_ids_of_no_bytes_are_refused(trained):
    tokenizer = trained["gpt2"]
    for bad in (0, 2, -1, 1024):
        with pytest.raises(ValueError, match=f"id {bad} at position 0"):
            tokenizer.detokenize([bad])
    ids = [1, *tokenizer(b"text"), 2, 0]
    assert tokenizer.detokenize(ids, skip_special=True) == b"text"


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
    ],
)
def test_models_that_lose_text_are_refused(trained, change):
    config = {**json.loads(trained["gpt2"].scheme.model), **change}
    with pytest.raises(ValueError, match="byte-level"):
        BPETokenizer(json.dumps(config))


def test_no_model_is_refused():
    for odd in ("", "no model", "[]"):
        with pytest.raises(ValueError, match="train_bpe"):
            BPETokenizer(odd)


def test_odd_requests_are_refused(text):
    with pytest.raises(ValueError, match="split='words'"):
        train_bpe([text], 600, "words")
    with pytest.raises(ValueError, match="vocabulary_size=258"):
        train_bpe([text], 258)
    with pytest.raises(ValueError, match="1,000,000 ids"):
        train_bpe([b"little text"], 1_000_000)
