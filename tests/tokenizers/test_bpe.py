import json
import re

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


BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
SPLIT = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "Removed",
    "invert": False,
}
TOKEN = {
    "id": 1021,
    "content": "sea",
    "single_word": False,
    "lstrip": True,
    "rstrip": False,
    "normalized": False,
    "special": False,
}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "a", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"a": {"id": "a", "ids": [64], "tokens": ["a"]}},
}
CUT = {
    "direction": "Right",
    "max_length": 2,
    "strategy": "LongestFirst",
    "stride": 0,
}
PAD = {
    "strategy": {"Fixed": 9},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "!",
}


def change_vocabulary(**changes):
    """A function that changes a vocabulary; `None` removes a piece."""

    def change(config):
        vocabulary = {**config["model"]["vocab"], **changes}
        kept = {p: i for p, i in vocabulary.items() if i is not None}
        config["model"]["vocab"] = kept

    return change


def change_model(**changes):
    """A function that changes settings of the model."""
    return lambda config: config["model"].update(changes)


def replace_model(**model):
    """A function that puts another model in the place of the BPE."""
    return lambda config: config.update(model=model)


def without_type(config):
    """Without a type, the library takes the first kind of model that fits."""
    vocabulary = config["model"]["vocab"]
    config["model"] = {"vocab": vocabulary, "unk_token": "a"}


WORD_PIECE = dict(
    unk_token="[UNK]",
    continuing_subword_prefix="##",
    max_input_chars_per_word=100,
    vocab={"[UNK]": 0},
)


@pytest.mark.parametrize(
    "change, received",
    [
        ({"normalizer": {"type": "Lowercase"}}, "'normalizer'"),
        ({"normalizer": {"type": "NFC"}}, "'normalizer'"),
        ({"normalizer": {"type": "Sequence", "normalizers": []}}, "'normal"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "'Whitespace'"),
        ({"pre_tokenizer": None}, "None"),
        ({"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True}}, "_pref"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "add_prefix_space"),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [SPLIT, BYTE_LEVEL],
                }
            },
            "'Sequence'",
        ),
        ({"pre_tokenizer": "ByteLevel"}, "pre-tokenizer None"),
        ({"post_processor": TEMPLATE}, "'post_processor'"),
        ({"added_tokens": [TOKEN]}, "'added_tokens'"),
        ({"added_tokens": [{**TOKEN, "special": True}]}, "'added_tokens'"),
        ({"truncation": CUT}, "'truncation'"),
        ({"padding": PAD}, "'padding'"),
        (change_model(dropout=0.1), "`dropout` of 0.1"),
        (change_model(continuing_subword_prefix="##"), "_prefix` of '##'"),
        (change_model(end_of_word_suffix="</w>"), "_suffix` of '</w>'"),
        (replace_model(type="WordPiece", **WORD_PIECE), "'WordPiece'"),
        (replace_model(**WORD_PIECE), "##"),
        (
            replace_model(type="Unigram", unk_id=0, vocab=[["<unk>", 0.0]]),
            "'Unigram'",
        ),
        (replace_model(type="WordLevel", vocab={}, unk_token=""), "'WordL"),
        (replace_model(), "not one"),
        ({"model": None}, "no tokenizer"),
        ({"model": []}, "no tokenizer"),
        (without_type, "WordLevel"),
        (change_vocabulary(Zq=5), "id 5 for b'Zq'"),
        (change_vocabulary(Zq=5000), "id 5000 for b'Zq'"),
        (change_vocabulary(a=-1), "not one"),
        (change_vocabulary(a=1.5), "not one"),
        (change_vocabulary(**{"\u65e5": 1021}), "piece '\u65e5'"),
        (change_vocabulary(**{"a b": 1021}), "piece 'a b'"),
        (change_vocabulary(**{"\u0100": None}), "id 1020 for"),
    ],
)
def test_models_that_lose_text_are_refused(trained, change, received):
    config = json.loads(trained["gpt2"].scheme.model)
    if callable(change):
        change(config)
    else:
        config.update(change)
    with pytest.raises(ValueError, match=re.escape(received)) as caught:
        BPETokenizer(json.dumps(config))
    assert "Received: " in str(caught.value)
    assert "train_bpe" in str(caught.value)


def test_models_without_every_byte_are_refused(trained):
    config = json.loads(trained["gpt2"].scheme.model)
    alphabet = sorted(config["model"]["vocab"], key=len)[:255]
    config["model"]["vocab"] = {c: i for i, c in enumerate(alphabet)}
    config["model"]["merges"] = []
    with pytest.raises(ValueError, match="each of the 256 bytes"):
        BPETokenizer(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        change_model(dropout=0.0),
        change_model(unk_token="<unk>", fuse_unk=True),
        change_model(byte_fallback=True),
        change_model(ignore_merges=True),
        change_model(continuing_subword_prefix="", end_of_word_suffix=""),
        lambda config: config.update(post_processor=BYTE_LEVEL),
        lambda config: config.update(decoder=BYTE_LEVEL),
        lambda config: config["pre_tokenizer"].update(use_regex=False),
        lambda config: config["model"].pop("type"),
        change_vocabulary(**{"<unk>": 1021, "<0x41>": 1022}),
    ],
)
def test_models_that_keep_text_are_taken(trained, text, change):
    config = json.loads(trained["gpt2"].scheme.model)
    change(config)
    tokenizer = BPETokenizer(json.dumps(config))
    for data in (
        text[:5000],
        b"<unk> <0x41> \xff\x00 sea  sea\n\n",
        "\uac00 \U0001f600 \u00a0\u2003\ufeff \u0120a".encode(),
    ):
        ids = tokenizer(data)
        assert tokenizer.detokenize(ids) == data
        assert tokenizer.token_lengths[ids].sum() == len(data)
        assert tokenizer(data).tolist() == ids.tolist()


def test_one_piece_with_two_ids_is_refused(trained):
    model = trained["gpt2"].scheme.model
    twice = model.replace('"vocab":{', '"vocab":{"a":1021,', 1)
    assert twice != model
    with pytest.raises(ValueError, match="the name 'a' twice"):
        BPETokenizer(twice)


def test_the_librarys_object_is_the_callers_own(trained):
    tokenizer = trained["gpt2"]
    ids = tokenizer("she sells sea shells").tolist()
    tokenizer.scheme.tokenizer.enable_truncation(1)
    assert tokenizer("she sells sea shells").tolist() == ids


def test_what_comes_back_changed_is_written_in_bytes(trained):
    damaged = BPETokenizer(trained["gpt2"].scheme.model)
    damaged.scheme._tokenizer.enable_truncation(1)
    ids = damaged(b"she sells\xff")
    assert damaged.detokenize(ids) == b"she sells\xff" and len(ids) == 10


def test_no_model_is_refused():
    for odd in (
        "",
        "no model",
        "[]",
        "5",
        "{}",
        "\ud800",
        b"\xff",
        "[" * 10**5,
    ):
        with pytest.raises(ValueError, match="train_bpe"):
            BPETokenizer(odd)
    for odd in ({"model": {}}, [], 5):
        with pytest.raises(TypeError, match=r"json\.dumps"):
            BPETokenizer(odd)


def test_odd_requests_are_refused(text):
    with pytest.raises(ValueError, match="split='words'"):
        train_bpe([text], 600, "words")
    with pytest.raises(ValueError, match="vocabulary_size=258"):
        train_bpe([text], 258)
    with pytest.raises(ValueError, match="1,000,000 ids"):
        train_bpe([b"little text"], 1_000_000)
