"""The tokenizer without Keras: ids, offsets, special tokens and files."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.data import write_shards
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import EqualInfoTokenizer
from tests.coding.conftest import CHAT
from tests.coding.conftest import TEXTS

COUNTS = UnigramModel([1] * 256)
# === Ids ===


@pytest.mark.parametrize("string", TEXTS)
def test_ids_are_those_of_the_codebook_and_text_comes_back(chat, string):
    ids = chat.encode(string)
    assert ids.dtype == np.int32
    assert ids.tolist() == chat.codebook.encode(string).tolist()
    assert chat.decode(ids) == string
    assert chat.decode_bytes(list(ids)) == string.encode()
    parsed = chat.encode(string, parse_special=True)
    assert chat.decode(parsed) == string
    layer = EqualInfoTokenizer(chat.codebook, special_tokens=CHAT)
    assert layer(string).tolist() == ids.tolist()
    layer = EqualInfoTokenizer(
        chat.codebook, special_tokens=CHAT, parse_special=True
    )
    assert layer(string).tolist() == parsed.tolist()


def test_a_vocabulary_names_every_id(chat):
    vocabulary = chat.get_vocabulary()
    assert len(vocabulary) == chat.vocabulary_size() == 1024 + len(CHAT)
    assert vocabulary[:3] == [b"", b"", b""]
    assert vocabulary[1024:] == [token.encode() for token in CHAT]
    for i, token in enumerate(vocabulary):
        if token:
            assert chat.id_to_token(i) == token
            assert chat.token_to_id(token) == i
    assert chat.token_lengths.tolist() == list(map(len, vocabulary))
    for wrong in (-1, 0, 2, chat.vocabulary_size()):
        with pytest.raises(ValueError, match=f"id {wrong}"):
            chat.id_to_token(wrong)
    with pytest.raises(ValueError, match="no such word"):
        chat.token_to_id("no such word")


def test_bad_ids_are_refused(chat):
    for ids, found in (
        ([1024, 5, 4000], "id 4000 at position 2"),
        ([1024, -1], "id -1 at position 1"),
        ([1024, 1.5], "integers"),
        ([[1024]], "one axis"),
        ([1024, 70, 1025, 0, 70], "id 0 at position 3"),
    ):
        with pytest.raises(ValueError, match=found):
            chat.decode(ids)
    assert chat.decode([1, 1024, 0, 0], skip_special=True) == ""


# === Offsets ===


def check_offsets(tokenizer, data, parse_special):
    found = tokenizer.encode(data, parse_special, return_offsets=True)
    text = data.decode(errors="replace")
    ends = found.byte_offsets[:, 1].tolist()
    assert found.byte_offsets[:, 0].tolist() == [0, *ends[:-1]][: len(ends)]
    assert ends[-1:] == [len(data)][: len(ends)]
    covered = np.zeros(len(text), int)
    for i, (a, b), (c, d) in zip(*found, strict=True):
        assert data[a:b] == tokenizer.id_to_token(i)
        assert c < d
        covered[c:d] += 1
        # A token of whole characters is the text at its offsets.
        token = data[a:b].decode(errors="ignore")
        assert token in text[c:d]
    assert covered.all()


@pytest.mark.parametrize("string", TEXTS)
def test_offsets_tell_where_tokens_are(chat, string):
    check_offsets(chat, string.encode(), False)
    check_offsets(chat, string.encode(), True)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", "\u20ac".encode(), b"\xe2\x82", b"\xff"]))
)
def test_offsets_of_bytes_that_are_no_text(arithmetic9, parts):
    check_offsets(TextTokenizer(arithmetic9), b"".join(parts), False)


def test_characters_are_those_of_replaced_text():
    tokenizer = TextTokenizer(Codebook.paper(COUNTS, window_bits=9))
    for data in (b"a\xc3\xa9\xff\xf0\x9f\x99b", b"\xed\xa0\x80", b"\x80\x80"):
        found = tokenizer.encode(data, return_offsets=True)
        characters = found.character_offsets[:, 0]
        text = data.decode(errors="replace")
        assert len(found.ids) == len(data)  # single bytes
        for i, character in enumerate(text):
            own = bytes(np.frombuffer(data, np.uint8)[characters == i])
            assert own.decode(errors="replace") == character


# === Special tokens ===


def test_no_text_gives_a_special_token_unless_asked_for(chat):
    text = "<|user|>Hi!<|end|>"
    assert chat.encode(text).max() < 1024
    ids = chat.encode(text, parse_special=True)
    assert ids[0] == chat.token_to_id("<|user|>") == 1024
    assert ids[-1] == 1026
    assert chat.decode(ids) == text
    assert chat.decode(ids, skip_special=True) == "Hi!"
    assert ids[1:-1].tolist() == chat.encode("Hi!").tolist()
    # The longest one wins, as in Hugging Face.
    assert chat.encode("<|user|>2", parse_special=True).tolist() == [1025]
    always = TextTokenizer(chat.codebook, CHAT, parse_special=True)
    assert always.encode(text).tolist() == ids.tolist()
    assert always.encode(text, parse_special=False).max() < 1024


def test_batches_are_their_documents(chat):
    documents = [
        "<|end|>",
        "",
        "a<|user|><|user|>b",
        "plain",
        "<|user|>2<|end|>",
    ]
    for parse in (False, True):
        ids, offsets = chat.encode_batch(documents, parse)
        assert ids.dtype == np.int32
        assert offsets.dtype == np.int64
        rows = [ids[a:b] for a, b in itertools.pairwise(offsets)]
        for document, row in zip(documents, rows, strict=True):
            assert row.tolist() == chat.encode(document, parse).tolist()
        assert chat.encode_batch([], parse)[1].tolist() == [0]


def test_prompts_commit_special_tokens(chat):
    plain = chat.codebook.split_prompt("Hello th")
    prompt = chat.split_prompt("<|user|>a<|end|>Hello th", parse_special=True)
    head = chat.encode("<|user|>a<|end|>", parse_special=True).tolist()
    assert prompt.ids.tolist() == head + plain.ids.tolist()
    assert prompt.remainder == plain.remainder
    assert prompt.next_codes == plain.next_codes
    ended = chat.split_prompt("a<|end|>", parse_special=True)
    assert ended.remainder == b""
    assert ended.ids[-1] == chat.token_to_id("<|end|>")
    forged = chat.split_prompt("<|user|>a<|end|>Hello th")
    assert max(forged.ids) < 1024


@pytest.mark.parametrize(
    ("tokens", "error", "found"),
    [
        ("<|user|>", TypeError, "'<|user|>'"),
        ([b"<|user|>"], TypeError, "b'<|user|>' in it"),
        ([1], TypeError, "1 in it"),
        ([""], ValueError, "''"),
        (["a", "b", "a"], ValueError, "'a' among"),
        (["\ud800"], ValueError, "lone surrogate"),
    ],
)
def test_bad_lists_are_refused(books, tokens, error, found):
    with pytest.raises(error) as caught:
        TextTokenizer(books["likely"], tokens)
    assert found in str(caught.value)
    with pytest.raises(error):
        EqualInfoTokenizer(books["likely"], special_tokens=tokens)


def test_split_windows_have_no_special_tokens(books):
    with pytest.raises(ValueError, match="token_bits=5"):
        EqualInfoTokenizer(books["likely"], 5, special_tokens=["<|user|>"])
    with pytest.raises(ValueError, match="token_bits=5"):
        EqualInfoTokenizer(books["likely"], 5).to_hugging_face("folder")


def test_special_tokens_are_in_the_fingerprint(books):
    book = books["likely"]
    found = {
        TextTokenizer(book, tokens, parse).fingerprint
        for tokens in ((), ["a"], ["b"], ["a", "b"], ["b", "a"])
        for parse in (False, True)
    }
    assert len(found) == 9  # without special tokens there is nothing to parse
    layer = EqualInfoTokenizer(book, special_tokens=["a"])
    assert layer.fingerprint == TextTokenizer(book, ["a"]).fingerprint
    assert EqualInfoTokenizer(book).fingerprint == f"{book.fingerprint}-10"


def test_shards_widen(tmp_path):
    book = Codebook.paper(COUNTS, window_bits=16)
    document = "a<|user|>b"
    for tokens, dtype in ((["<|user|>"], "uint32"), ([], "uint16")):
        tokenizer = TextTokenizer(book, tokens, parse_special=True)
        shards = write_shards([document], tokenizer, tmp_path / dtype)
        assert shards.manifest["dtype"] == dtype
        ids = shards.document(0)
        assert (65_536 in ids) == bool(tokens)
        assert tokenizer.decode(ids[:-1]) == document
        assert shards.num_bytes == len(document)
