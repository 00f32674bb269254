import io

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.tokenizers import SentencePieceTokenizer
from keras_nc.tokenizers import train_sentencepiece

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


#: Characters that normalization changes, and that look alike.
LETTERS = "she sells \ufb01ne caf\u00e9 cafe\u0301 \uff21BC SEA sea " * 20


def train_small(**options):
    """A model of a few letters."""
    default = dict(model_type="bpe", vocab_size=300, hard_vocab_limit=False)
    return train(LETTERS.encode(), **{**default, **options})


def edited(proto, change):
    """A model file that is changed as Protocol Buffers allow."""
    model_pb2 = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    model = model_pb2.ModelProto.FromString(proto)
    change(model)
    return model.SerializeToString()


@pytest.mark.parametrize(
    "options",
    [
        {"byte_fallback": False},
        {"pad_id": 3, "unk_id": 0},
        {"pad_id": -1, "bos_id": 0, "eos_id": 1, "unk_id": 2},
        {"add_dummy_prefix": True},
        {"add_dummy_prefix": True, "treat_whitespace_as_suffix": True},
        {"remove_extra_whitespaces": True},
        {"normalization_rule_name": "nfkc"},
        {"normalization_rule_name": "nmt_nfkc"},
        {"normalization_rule_name": "nfkc_cf"},
        {"normalization_rule_name": "nmt_nfkc_cf"},
        {"model_type": "word", "vocab_size": 265},
        {"control_symbols": ["\u2581"]},
    ],
)
def test_models_that_lose_text_are_refused(options):
    with pytest.raises(ValueError, match="SentencePiece model must"):
        SentencePieceTokenizer(train_small(**options))


# A test with usual text would miss all of these.
@pytest.mark.parametrize("rule", ["AC00\t3131", "1F600\t1F601", "65 65\t65"])
@pytest.mark.parametrize("side", ["normalization", "denormalization"])
def test_rules_of_ones_own_are_refused(tmp_path, side, rule):
    path = tmp_path / "rules.tsv"
    path.write_text(rule + "\n")
    proto = train_small(**{f"{side}_rule_tsv": str(path)})
    with pytest.raises(ValueError, match="maps characters to others"):
        SentencePieceTokenizer(proto)


def test_names_of_rules_say_nothing(tmp_path):
    def rename(model):
        model.normalizer_spec.name = "identity"

    proto = edited(train_small(normalization_rule_name="nfkc"), rename)
    with pytest.raises(ValueError, match="maps characters to others"):
        SentencePieceTokenizer(proto)


def test_a_normalizer_that_says_nothing_adds_a_space():
    proto = edited(train_small(), lambda m: m.ClearField("normalizer_spec"))
    with pytest.raises(ValueError, match="add_dummy_prefix"):
        SentencePieceTokenizer(proto)


def test_text_without_spaces_gives_no_piece_for_them():
    proto = train(b"acgtacca" * 20, vocab_size=265, model_type="bpe")
    with pytest.raises(ValueError, match="required_chars"):
        SentencePieceTokenizer(proto)


def test_a_space_that_is_never_used_is_refused():
    def retire(model):
        for piece in model.pieces:
            if piece.piece == "\u2581":
                piece.type = model.SentencePiece.UNUSED

    with pytest.raises(ValueError, match="piece for a space"):
        SentencePieceTokenizer(edited(train_small(), retire))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model_type": "unigram"},
        {"model_type": "char"},
        {"treat_whitespace_as_suffix": True},
        {"allow_whitespace_only_pieces": True},
        {"split_by_whitespace": False},
        {"split_digits": True},
        {"self_test_sample_size": 3},
        {"control_symbols": ["<sep>", "a", "<0x41"]},
        {"user_defined_symbols": ["sea  sea", "e\u0301", "\t", " ", "<s"]},
        {"user_defined_symbols": ["a\u2581b", "\ufb01"]},
        {"unk_surface": "?", "unk_piece": "a"},
        {"bos_piece": "s", "eos_piece": "ab", "pad_piece": "\u00e9"},
    ],
    ids=str,
)
def test_models_that_keep_text_are_taken(options):
    tokenizer = SentencePieceTokenizer(train_small(**options))
    for text in (
        LETTERS,
        "  <s><sep></s> <unk> <0x41> <pad> sea  sea a\u2581b  ",
        "\u2581 \u2581\u2581",
        "\tunknown: \uac00 \U0001f600 \u00a0\u2003 \ufeff\ufffd\r\n\x01?",
        b"\xff\x00 \xf0\x9f sea \xed\xa0\x80",
    ):
        raw = text.encode() if isinstance(text, str) else text
        ids = tokenizer(text)
        assert tokenizer.detokenize(ids) == raw
        assert tokenizer.token_lengths[ids].sum() == len(raw)


def test_spaces_may_stay_spaces():
    def stay(model):
        model.normalizer_spec.escape_whitespaces = False

    tokenizer = SentencePieceTokenizer(edited(train_small(), stay))
    for raw in (b"she sells  sea", "\u2581 \u2581a".encode(), b" "):
        assert tokenizer.detokenize(tokenizer(raw)) == raw


def add_space(model):
    model.normalizer_spec.add_dummy_prefix = True


def test_the_librarys_object_is_the_callers_own(tokenizer):
    ids = tokenizer("she sells sea shells").tolist()
    processor = tokenizer.scheme.processor
    assert processor.encode("she sells sea shells") == ids
    changed = edited(tokenizer.scheme.proto, add_space)
    processor.LoadFromSerializedProto(changed)
    assert processor.encode("she sells sea shells") != ids
    assert tokenizer("she sells sea shells").tolist() == ids


def test_what_comes_back_changed_is_written_in_bytes():
    proto = train_small()
    tokenizer = SentencePieceTokenizer(proto)
    changed = edited(proto, add_space)
    tokenizer.scheme._processor.LoadFromSerializedProto(changed)
    ids = tokenizer("sea\0ab")
    assert tokenizer.detokenize(ids) == b"sea\0ab" and len(ids) == 6


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


def test_no_model_is_refused(tokenizer):
    proto = tokenizer.scheme.proto
    for odd in (
        b"no model",
        b"",
        proto[:-9],
        proto[:100],
        b"\x0b",
        b"\x0a\xff",
    ):
        with pytest.raises(ValueError, match="SentencePiece model"):
            SentencePieceTokenizer(odd)
    for odd in ("a.model", {}, 5):
        with pytest.raises(TypeError, match=type(odd).__name__):
            SentencePieceTokenizer(odd)


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_training_gives_a_lossless_tokenizer(text, model_type):
    tokenizer = train_sentencepiece([text[:100_000]], 600, model_type)
    assert tokenizer.vocabulary_size() == 600
    odd = b"    indented\n\n\ttabs \xff\x00 and \xe2\x96\x81 a mark"
    for document in (text[100_000:110_000], odd, b""):
        ids, _ = tokenizer.encode_batch([document])
        assert tokenizer.detokenize(ids) == document


def test_runs_of_spaces_become_pieces(text):
    tokenizer = train_sentencepiece([text[:100_000]], 600, "bpe")
    assert len(tokenizer(" " * 8)) < 8


def test_lines_of_any_length_are_learned_from():
    tokenizer = train_sentencepiece([b"abracadabra" * 2_000], 270, "bpe")
    assert len(tokenizer("abracadabra" * 10)) < 60


def test_odd_requests_are_refused(text):
    with pytest.raises(ValueError, match="model_type='word'"):
        train_sentencepiece([text], 600, "word")
    with pytest.raises(ValueError, match="vocabulary_size=1000000"):
        train_sentencepiece([b"little text"], 1_000_000, "bpe")
