import io

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.tokenizers import SentencePieceTokenizer

EXACT = dict(
    byte_fallback=True,
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    pad_id=0,
    bos_id=1,
    eos_id=2,
    unk_id=3,
)


def train(text, **options):
    proto = io.BytesIO()
    lines = text.decode().splitlines()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in lines if line),
        model_writer=proto,
        minloglevel=2,
        **{"vocab_size": 600, "model_type": "unigram", **EXACT, **options},
    )
    return proto.getvalue()


@pytest.fixture(scope="module")
def tokenizer(text):
    return SentencePieceTokenizer(train(text))


@settings(deadline=None, max_examples=100)
@given(data=st.one_of(st.binary(max_size=100), st.text().map(str.encode)))
def test_any_bytes_round_trip(tokenizer, data):
    ids = tokenizer(data)
    assert tokenizer.detokenize(ids) == data
    assert tokenizer.token_lengths[ids].sum() == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" leading and  double and trailing ",
        "\u2581 the mark itself \u2581\u2581".encode(),
        b"\x00 nul \x00",
        b"\xff\xfe invalid \xed\xa0\x80",
        b"lines\n\nand\ttabs\r\n",
        b"<s></s><unk><pad><0x41>",
    ],
)
def test_what_sentencepiece_itself_would_change(tokenizer, data):
    assert tokenizer.detokenize(tokenizer(data)) == data


def test_text_is_cut_as_sentencepiece_does(tokenizer, text):
    line = text.decode().splitlines()[40]
    processor = tokenizer.scheme._processor
    assert tokenizer(line).tolist() == processor.encode(line)
    assert len(tokenizer(text)) < len(text) * 0.6


def test_assets_round_trip(tokenizer, tmp_path):
    tokenizer.save_assets(tmp_path)
    again = SentencePieceTokenizer.from_config(tokenizer.get_config())
    with pytest.raises(ValueError, match="no SentencePiece model"):
        again("text")
    again.load_assets(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert again("some text").tolist() == tokenizer("some text").tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"byte_fallback": False},
        {"add_dummy_prefix": True},
        {"pad_id": 3, "unk_id": 0},
    ],
)
def test_models_that_lose_text_are_refused(text, options):
    with pytest.raises(ValueError, match="SentencePiece model must"):
        SentencePieceTokenizer(train(text, **options))


def test_another_model_is_refused(tokenizer, text, tmp_path):
    SentencePieceTokenizer(train(text[:100000])).save_assets(tmp_path)
    again = SentencePieceTokenizer.from_config(tokenizer.get_config())
    with pytest.raises(ValueError, match="fingerprint"):
        again.load_assets(tmp_path)


def test_ids_of_no_bytes_are_refused(tokenizer):
    for bad in (0, 3, -1, tokenizer.vocabulary_size()):
        with pytest.raises(ValueError, match=f"id {bad} at position 0"):
            tokenizer.detokenize([bad])
    ids = [1, *tokenizer(b"text"), 2, 0]
    assert tokenizer.detokenize(ids, skip_special=True) == b"text"


def test_no_model_is_refused():
    with pytest.raises(ValueError, match="serialized SentencePiece"):
        SentencePieceTokenizer(b"no model")
