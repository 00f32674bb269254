"""The tokenizer without Keras: ids, offsets, special tokens and files."""

import itertools
import json

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc import presets
from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.data import write_shards
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SchemeTokenizer

COUNTS = UnigramModel([1] * 256)
CHAT = ["<|user|>", "<|user|>2", "<|end|>", "\u65e5\u672c \u00e9"]
TEXTS = [
    "",
    "a",
    "\0a\0\0",
    "The shells she sells are sea shells, I'm sure.\n\n  So it is.  ",
    "def f(x):\n\treturn [x ** 2 for x in range(10)]\n" * 9,
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u65e5\u672c\u8a9e",
    "\U0001f642\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7\u65e5\u672c"
    "\u65e5\u672c \u00e9",
    "a" * 3000 + " " * 2000 + "\n" * 500,
    "abab" * 500,
    "<pad>\u27e8pad\u27e9\u27e80\u27e9<s></s><unk>\u0120\u010a",
    "".join(map(chr, range(1, 0x3000, 7))),
]


@pytest.fixture(scope="module")
def books(text):
    text = text[:30_000]
    model = NGramModel.from_text(text, order=3)
    settings = dict(units="any", window_bits=10)
    return {
        parse: Codebook.build(model, text, parse=parse, **settings)
        for parse in ("aligned", "likely", "likely_aligned")
    } | {"likely_words": Codebook.build(text=text, window_bits=10)}


@pytest.fixture(scope="module")
def chat(books):
    return TextTokenizer(books["likely"], CHAT)


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


# === Files ===


@pytest.mark.parametrize("parse", [False, True])
def test_folders_are_presets(books, tmp_path, parse):
    tokenizer = TextTokenizer(books["aligned"], CHAT, parse)
    tokenizer.save(tmp_path / "alone")
    layer = EqualInfoTokenizer(
        books["aligned"], special_tokens=CHAT, parse_special=parse
    )
    layer.save_to_preset(tmp_path / "layer")
    for folder in ("alone", "layer"):
        again = TextTokenizer.load(tmp_path / folder)
        assert again.fingerprint == tokenizer.fingerprint
        assert again.special_tokens == tuple(CHAT)
        for cls in (EqualInfoTokenizer, SchemeTokenizer):
            loaded = cls.from_preset(tmp_path / folder)
            assert loaded.fingerprint == tokenizer.fingerprint
            assert loaded.vocabulary_size() == 1024 + len(CHAT)
            assert loaded.scheme.parse_special is parse


def test_files_without_special_tokens_are_as_before(books, tmp_path):
    layer = EqualInfoTokenizer(books["aligned"])
    assert set(layer.scheme.get_config()) == {
        "name",
        "token_bits",
        "window_bits",
        "codebook_fingerprint",
    }
    TextTokenizer(books["aligned"]).save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["config"]["scheme"] == layer.scheme.get_config()


@pytest.mark.parametrize("name", [*presets.TOKENIZERS, *presets.COMPRESSED_LMS])
def test_built_in_presets_are_known_by_name(name):
    tokenizer = TextTokenizer.from_preset(name)
    layer = SchemeTokenizer.from_preset(name)
    assert tokenizer.fingerprint == layer.fingerprint
    text = "She sells sea shells."
    assert tokenizer.encode(text).tolist() == layer(text).tolist()
    with pytest.raises(ValueError, match="equal_info_12bit_en"):
        TextTokenizer.from_preset("equal_info_12bit")


def test_other_folders_are_refused(books, tmp_path):
    with pytest.raises(ValueError, match="no configuration"):
        TextTokenizer.load(tmp_path)
    ByteTokenizer().save_to_preset(tmp_path / "bytes")
    with pytest.raises(ValueError, match="the scheme 'bytes'"):
        TextTokenizer.load(tmp_path / "bytes")
    EqualInfoTokenizer(books["likely"], 5).save_to_preset(tmp_path / "split")
    with pytest.raises(ValueError, match="10 bits in tokens of 5"):
        TextTokenizer.load(tmp_path / "split")
    TextTokenizer(books["likely"]).save(tmp_path / "changed")
    books["aligned"].save(tmp_path / "changed/assets/tokenizer/codebook.npz")
    with pytest.raises(ValueError, match="another codebook"):
        TextTokenizer.load(tmp_path / "changed")
    tokenizer = TextTokenizer(books["likely"], CHAT)
    for key, value in (("special_tokens", 5), ("parse_special", "no")):
        tokenizer.save(tmp_path / "damaged")
        path = tmp_path / "damaged" / "tokenizer.json"
        config = json.loads(path.read_text())
        config["config"]["scheme"][key] = value
        path.write_text(json.dumps(config))
        with pytest.raises(ValueError, match="damaged configuration"):
            TextTokenizer.load(tmp_path / "damaged")
    with pytest.raises(TypeError, match="Received: dict"):
        TextTokenizer({})


# === Hugging Face ===


@pytest.fixture(scope="module")
def exported(chat, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hugging_face")
    TextTokenizer(chat.codebook).to_hugging_face(folder / "plain")
    chat.to_hugging_face(folder / "chat")
    return {
        name: tokenizers.Tokenizer.from_file(
            str(folder / name / "tokenizer.json")
        )
        for name in ("plain", "chat")
    }


def check_hugging_face(theirs, ours, text, parse):
    found = theirs.encode(text)
    expected = ours.encode(text, parse, return_offsets=True)
    assert found.ids == expected.ids.tolist()
    assert found.offsets == [tuple(x) for x in expected.character_offsets]
    assert theirs.decode(found.ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("string", TEXTS)
def test_hugging_face_gives_the_same_ids_and_offsets(chat, exported, string):
    check_hugging_face(exported["plain"], chat, string, False)
    check_hugging_face(exported["chat"], chat, string, True)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab \n.\u00e9\u65e5\U0001f642<|userd>2")))
def test_hugging_face_breaks_ties_the_same_way(chat, exported, text):
    check_hugging_face(exported["plain"], chat, text, False)
    check_hugging_face(exported["chat"], chat, text, True)


def test_hugging_face_cuts_long_text_the_same_way(chat, exported, text):
    text = text.decode(errors="ignore")
    check_hugging_face(exported["plain"], chat, text, False)
    assert exported["chat"].get_vocab_size() == chat.vocabulary_size()
    for i, token in enumerate(CHAT, 1024):
        assert exported["chat"].token_to_id(token) == i


def test_what_hugging_face_cannot_express_is_refused(books, chat, tmp_path):
    for parse, remedy in (
        ("aligned", "must have costs"),
        ("likely_aligned", "where words end"),
        ("likely_words", "where words end"),
    ):
        with pytest.raises(ValueError, match=remedy):
            TextTokenizer(books[parse]).to_hugging_face(tmp_path)
    with pytest.raises(ValueError, match="must have costs"):
        TextTokenizer(books["aligned"]).to_hugging_face(tmp_path, "likely")
    with pytest.raises(ValueError, match="parse='aligned'"):
        chat.to_hugging_face(tmp_path, parse="aligned")
    for token, found in (
        ("a", "not be the name of another"),
        ("\u0120", "not be the name of another"),  # how a space is written
        ("\u27e8pad\u27e9", "not be the name of another"),
        ("caf\u00e9", "must be ASCII"),
    ):
        with pytest.raises(ValueError, match=found):
            TextTokenizer(chat.codebook, [token]).to_hugging_face(tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_kind_of_file_has_its_folder(chat, tmp_path):
    chat.save(tmp_path / "preset")
    with pytest.raises(ValueError, match="holds a preset of keras_nc"):
        chat.to_hugging_face(tmp_path / "preset")
    chat.to_hugging_face(tmp_path / "theirs")
    chat.to_hugging_face(tmp_path / "theirs")
    with pytest.raises(ValueError, match="holds another tokenizer"):
        chat.save(tmp_path / "theirs")


@pytest.mark.parametrize("parse", ["likely_aligned", "likely_words"])
def test_ids_that_differ_are_counted(books, tmp_path, text, parse):
    text = text[:20_000].decode(errors="ignore")
    ours = TextTokenizer(books[parse])
    different, total = ours.to_hugging_face(tmp_path, "likely", text)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    found = ours.encode(text, return_offsets=True)
    other = {tuple(span) for span in theirs.encode(text).offsets}
    spans = [tuple(span) for span in found.character_offsets.tolist()]
    assert total == len(spans)
    assert different == sum(span not in other for span in spans)
    assert 0 < different < total
    # Without a rule about words, nothing differs.
    plain = TextTokenizer(books["likely"])
    assert plain.to_hugging_face(tmp_path, text=text)[0] == 0
