import inspect
import itertools
import json

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.tokenizers import BPETokenizer
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import SchemeTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from keras_nc.tokenizers import train_sentencepiece
from tests.tokenizers.conftest import NAMES
from tests.tokenizers.conftest import STREAMS
from tests.tokenizers.conftest import TEXTS

exhaustive = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_round_trip(tokenizer):
    rows = tokenizer(TEXTS)
    assert tokenizer.detokenize(rows) == TEXTS
    for text, row in zip(TEXTS, rows, strict=True):
        assert row.dtype == np.int32
        assert row.tolist() == tokenizer(text).tolist()
        assert tokenizer.detokenize(row) == text
        if row.size:
            assert 3 <= row.min() <= row.max() < tokenizer.vocabulary_size()


@exhaustive
@given(texts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_of_any_bytes(tokenizers, name, texts):
    assert tokenizers[name].detokenize(tokenizers[name](texts)) == texts


def test_strings_are_their_utf8(tokenizer):
    text = "na\u00efve \U0001f600"
    assert tokenizer(text).tolist() == tokenizer(text.encode()).tolist()
    assert tokenizer.detokenize(tokenizer(text), errors="replace") == text
    array = np.array([text, "b"])
    for row, other in zip(tokenizer(array), [text, "b"], strict=True):
        assert row.tolist() == tokenizer(other).tolist()
    objects = np.array([b"a\x00", b""], dtype=object)
    assert tokenizer.detokenize(tokenizer(objects)) == [b"a\x00", b""]


def test_ids_are_the_codebooks(tokenizers, codebooks):
    text = TEXTS[-1]
    codes = codebooks[16].encode(text)
    assert tokenizers["one_token"](text).tolist() == codes.tolist()
    pieces = np.stack([codes >> 8, codes & 255], axis=1).reshape(-1) + 3
    assert tokenizers["two_tokens"](text).tolist() == pieces.tolist()


def test_padded_rows(codebooks):
    tokenizer = EqualInfoTokenizer(codebooks[12], sequence_length=6)
    rows = tokenizer(TEXTS)
    assert rows.shape == (len(TEXTS), 6)
    ragged = EqualInfoTokenizer(codebooks[12])(TEXTS)
    for row, ids in zip(rows, ragged, strict=True):
        assert row.tolist() == (ids.tolist() + [0] * 6)[:6]
    assert tokenizer(TEXTS[-1]).tolist() == rows[-1].tolist()
    assert tokenizer.detokenize(rows[1], skip_special=True) == TEXTS[1]


@pytest.mark.parametrize("length", [None, 5])
def test_tf_data_gives_the_same_ids(tokenizer, length):
    tf = pytest.importorskip("tensorflow")
    config = tokenizer.get_config()
    padded = type(tokenizer).from_config({**config, "sequence_length": length})
    padded.scheme = tokenizer.scheme
    eager = padded(TEXTS)
    ds = tf.data.Dataset.from_tensor_slices(tf.constant(TEXTS))
    mapped = [row.numpy() for row in ds.map(padded)]
    for row, ids in zip(mapped, eager, strict=True):
        assert row.dtype == np.int32
        assert row.tolist() == ids.tolist()
    batched = [row for b in ds.batch(4).map(padded) for row in b]
    for row, ids in zip(batched, eager, strict=True):
        assert row.numpy().tolist() == ids.tolist()
    if length is not None:
        spec = ds.batch(4, drop_remainder=True).map(padded).element_spec
        assert spec.shape.as_list() == [4, length]


def test_tf_data_of_batches_without_text(tokenizer):
    tf = pytest.importorskip("tensorflow")
    rows = tf.data.Dataset.from_tensors(tf.constant([], tf.string))
    assert next(iter(rows.map(tokenizer))).to_list() == []
    rows = tf.data.Dataset.from_tensors(tf.constant([b"", b""]))
    assert next(iter(rows.map(tokenizer))).to_list() == [[], []]


def test_graph_of_another_process_says_what_to_do(tokenizers):
    tf = pytest.importorskip("tensorflow")
    tokenizer = tokenizers["one_token"]
    for call in (
        lambda: tokenizer(tf.constant(b"abc")),
        lambda: tokenizer.detokenize(tf.constant([70, 71])),
    ):
        graph = tf.function(call).get_concrete_function().graph
        graph_def = graph.as_graph_def()
        (node,) = [n for n in graph_def.node if "token" in n.attr]
        node.attr["token"].s = b"a function of another process"
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.import_graph_def(graph_def, name="")
            with pytest.raises(Exception, match="process_that_made_them"):
                session.run(f"{node.name}:0")


def test_tf_data_gives_the_same_bytes(tokenizer):
    tf = pytest.importorskip("tensorflow")
    ds = tf.data.Dataset.from_tensor_slices(tf.constant(TEXTS))
    again = ds.map(tokenizer).map(tokenizer.detokenize)
    assert list(again.as_numpy_iterator()) == TEXTS
    again = ds.batch(4).map(tokenizer).map(tokenizer.detokenize)
    assert [t for b in again.as_numpy_iterator() for t in b] == TEXTS


def test_eager_tensorflow_strings(tokenizer):
    tf = pytest.importorskip("tensorflow")
    ids = tokenizer(tf.constant(b"abc\x00"))
    assert tokenizer.detokenize(ids) == b"abc\x00"
    assert tokenizer.detokenize(tokenizer(tf.constant(TEXTS))) == TEXTS


def test_token_lengths_count_the_bytes(tokenizers):
    for name in ("bytes", "one_token", "twelve_bits", "bpe", "dictionary"):
        tokenizer = tokenizers[name]
        lengths = tokenizer.token_lengths
        assert len(lengths) == tokenizer.vocabulary_size()
        assert lengths[:3].tolist() == [0, 0, 0]
        for text in TEXTS:
            assert lengths[tokenizer(text)].sum() == len(text)
    assert tokenizers["two_tokens"].token_lengths is None


def test_arguments_go_to_the_scheme(codebooks):
    tokenizer = EqualInfoTokenizer(codebook=codebooks[16], token_bits=8)
    again = EqualInfoTokenizer(tokenizer.scheme, sequence_length=8)
    assert again.scheme is tokenizer.scheme and again.sequence_length == 8
    again = SchemeTokenizer(tokenizer.scheme.get_config())
    assert again.vocabulary_size() == tokenizer.vocabulary_size()
    with pytest.raises(TypeError, match="not both"):
        EqualInfoTokenizer(codebooks[16], scheme=tokenizer.scheme)
    with pytest.raises(TypeError, match="not both"):
        EqualInfoTokenizer(scheme=tokenizer.scheme, token_bits=8)
    with pytest.raises(TypeError, match="positional"):
        EqualInfoTokenizer(codebooks[16], 8, 32)
    with pytest.raises(ValueError, match="token_bit"):
        EqualInfoTokenizer(codebooks[16], token_bit=8)
    for odd in (None, 5, codebooks[16]):
        with pytest.raises(TypeError, match=type(odd).__name__):
            SchemeTokenizer(odd)
    with pytest.raises(TypeError, match="NoneType"):
        SchemeTokenizer()


@pytest.mark.parametrize("name", NAMES)
def test_special_and_foreign_ids_are_refused(tokenizers, name):
    tokenizer = tokenizers[name]
    ids = tokenizer(b"some text").tolist()
    for bad in (0, 1, 2, tokenizer.vocabulary_size(), -1, 10**6):
        with pytest.raises(ValueError, match="Received"):
            tokenizer.detokenize([*ids, bad])
    wrapped = [1, *ids, 2, 0, 0]
    assert tokenizer.detokenize(wrapped, skip_special=True) == b"some text"
    with pytest.raises(ValueError, match="integers"):
        tokenizer.detokenize([3.5])


def test_half_windows_are_refused(tokenizers):
    tokenizer = tokenizers["two_tokens"]
    ids = tokenizer(b"some text").tolist()
    with pytest.raises(ValueError, match="Received"):
        tokenizer.detokenize(ids[:-1])
    # Dropping a special id must not glue two halves together.
    with pytest.raises(ValueError, match="inside a window"):
        tokenizer.detokenize([ids[0], 2, *ids[1:]], skip_special=True)


def test_cut_rows_end_with_whole_windows(tokenizers, codebooks):
    tf = pytest.importorskip("tensorflow")
    tokenizer = EqualInfoTokenizer(codebooks[16], 8, sequence_length=5)
    rows = tokenizer(TEXTS)
    uncut = tokenizers["two_tokens"](TEXTS)
    for row, ids in zip(rows, uncut, strict=True):
        kept = ids[:4].tolist()
        assert row.tolist() == kept + [0] * (5 - len(kept))
    texts = tokenizer.detokenize(rows, skip_special=True)
    assert all(a.startswith(b) for a, b in zip(TEXTS, texts, strict=True))
    ds = tf.data.Dataset.from_tensors(tf.constant(TEXTS)).map(tokenizer)
    assert next(ds.as_numpy_iterator()).tolist() == rows.tolist()


def test_batches_of_nothing(tokenizer):
    assert tokenizer([]) == []
    assert tokenizer.detokenize(np.zeros((0, 4), "int32")) == []
    assert tokenizer.detokenize(np.zeros((2, 0), "int32")) == [b"", b""]
    assert tokenizer.detokenize([[], []]) == [b"", b""]


def test_any_iterable_is_a_batch(tokenizer):
    rows = [row.tolist() for row in tokenizer(TEXTS)]
    for batch in (tuple(TEXTS), iter(TEXTS), {t: 0 for t in TEXTS}.keys()):
        assert [row.tolist() for row in tokenizer(batch)] == rows
    ids, offsets = tokenizer.encode_batch(TEXTS)
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == rows


def test_odd_input_is_refused(tokenizer):
    with pytest.raises(TypeError, match="int"):
        tokenizer([1, 2])
    for odd in (5, None, {"a": 1}):
        with pytest.raises(TypeError, match=type(odd).__name__):
            tokenizer(odd)
    for odd in (5, None, "abc", np.zeros((1, 1, 1), int)):
        with pytest.raises(ValueError, match="Ids must be"):
            tokenizer.detokenize(odd)
    with pytest.raises(ValueError, match="surrogate"):
        tokenizer("\ud800")
    with pytest.raises(ValueError, match="rank"):
        tokenizer(np.array([["a"]]))


def test_odd_configurations_are_refused(codebooks, tmp_path):
    with pytest.raises(ValueError, match="token_bits=5"):
        EqualInfoTokenizer(codebooks[16], token_bits=5)
    with pytest.raises(ValueError, match="codebook"):
        EqualInfoTokenizer()
    with pytest.raises(TypeError, match="PosixPath"):
        EqualInfoTokenizer(tmp_path)
    with pytest.raises(ValueError, match="sequence_length=0"):
        EqualInfoTokenizer(codebooks[16], sequence_length=0)
    with pytest.raises(ValueError, match="token_bits=0"):
        EqualInfoTokenizer(codebooks[16], token_bits=0)
    with pytest.raises(TypeError, match="float"):
        EqualInfoTokenizer(codebooks[16], token_bits=8.0)
    with pytest.raises(ValueError, match="dtype='int64'"):
        EqualInfoTokenizer(codebooks[16], dtype="int64")
    with pytest.raises(TypeError, match="EqualInfoScheme"):
        EqualInfoTokenizer(scheme=ByteTokenizer().scheme)
    with pytest.raises(ValueError, match="'huffman'"):
        EqualInfoTokenizer(scheme={"name": "huffman"})


def test_errors_are_for_eager_calls(tokenizer):
    tf = pytest.importorskip("tensorflow")
    ds = tf.data.Dataset.from_tensors(tokenizer(b"\xff"))
    with pytest.raises(ValueError, match="errors='replace'"):
        ds.map(lambda ids: tokenizer.detokenize(ids, errors="replace"))


def test_config_and_assets_round_trip(tokenizer, tmp_path):
    config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.vocabulary_size() == tokenizer.vocabulary_size()
    tokenizer.save_assets(tmp_path)
    again.load_assets(tmp_path)
    assert again.get_config() == tokenizer.get_config()
    assert again.fingerprint == tokenizer.fingerprint
    assert again(TEXTS[-1]).tolist() == tokenizer(TEXTS[-1]).tolist()


@pytest.mark.parametrize("name", ["bytes", "gzip"])
def test_another_rule_is_refused(tokenizers, name, tmp_path):
    tokenizer = tokenizers[name]
    tokenizer.save_assets(tmp_path)
    path = tmp_path / tokenizer.file_assets[0]
    rule = path.read_bytes()
    for odd in (b"", b"\xff", rule[:-1], rule + b"x", rule[:-1] + b"\r\n"):
        path.write_bytes(odd)
        with pytest.raises(ValueError, match="Received: b"):
            tokenizer.load_assets(tmp_path)


def test_integers_of_numpy_are_settings(codebooks, text):
    for kind in (np.int64, np.uint8):
        for tokenizer in (
            ByteTokenizer(sequence_length=kind(8)),
            GZipTokenizer(token_bits=kind(8), sequence_length=kind(8)),
            EqualInfoTokenizer(codebooks[16], kind(8), sequence_length=kind(8)),
            train_bpe([text[:1000]], np.int64(270), max_token_bytes=kind(9)),
            train_sentencepiece([text[:1000]], np.int64(320), "bpe"),
            train_dictionary([text[:1000]], np.int64(512), kind(8)),
        ):
            config = json.loads(json.dumps(tokenizer.get_config()))
            assert config == tokenizer.get_config()
            if tokenizer.sequence_length is not None:
                assert tokenizer(["some text"] * 2).shape == (2, 8)
    scheme = {"window_bits": np.int64(12), "name": "equal_info"}
    empty = EqualInfoTokenizer(scheme=scheme)
    assert json.dumps(empty.get_config()) and empty.vocabulary_size() == 4096
    scheme = {"vocabulary_size": np.int64(300), "name": "bpe"}
    with pytest.raises(ValueError, match="no BPE model"):
        json.dumps(BPETokenizer(scheme=scheme)("text"))


def test_use_before_assets_is_refused(tokenizers):
    config = tokenizers["one_token"].get_config()
    empty = EqualInfoTokenizer.from_config(config)
    with pytest.raises(ValueError, match="no codebook yet"):
        empty("text")


def test_another_codebook_is_refused(codebooks, tokenizers, tmp_path):
    other = EqualInfoTokenizer(codebooks[12])
    other.save_assets(tmp_path)
    empty = EqualInfoTokenizer.from_config(tokenizers["one_token"].get_config())
    with pytest.raises(ValueError, match="fingerprint"):
        empty.load_assets(tmp_path)


def test_prompts_are_committed_as_far_as_they_are_sure(tokenizers):
    # Merges may reach back any distance, so BPE commits the whole prompt.
    for name in NAMES:
        tokenizer = tokenizers[name]
        for text in (
            TEXTS if name not in [*STREAMS, "bpe", "sentencepiece"] else [b""]
        ):
            prompt = tokenizer.split_prompt(text)
            committed = tokenizer.detokenize(prompt.ids)
            assert committed + prompt.remainder == text
            # No continuation changes the committed ids.
            for added in (b"", b"e", b" the", b"\x00", b"\xff\xff", b"zqx"):
                ids = tokenizer(text + added)[: len(prompt.ids)]
                assert ids.tolist() == prompt.ids.tolist()


def test_signatures_show_what_a_scheme_takes():
    shown = set(inspect.signature(EqualInfoTokenizer).parameters)
    assert {"codebook", "token_bits", "sequence_length"} <= shown
