"""Files of a tokenizer without Keras: folders of ours and of Hugging Face."""

import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc import presets
from keras_nc.coding import TextTokenizer
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SchemeTokenizer
from tests.coding.conftest import CHAT
from tests.coding.conftest import TEXTS

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
