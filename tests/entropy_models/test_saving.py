import hashlib
import json

import numpy as np
import pytest

from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import ZeroPaddedTokenizer
from keras_nc.tokenizers.compressed import ModelAsset

PREFIXES = [b"", b"t", b"the stat", b"\x00\xff", b"a" * 40]
KINDS = ["unigram", "ngram", "refitted", "byte_lm"]


@pytest.fixture(scope="module")
def models(text, make_m1):
    ngram = NGramModel.from_text(text[:50000], order=3, start_min_count=2)
    return {
        "unigram": UnigramModel.from_text(text),
        "ngram": ngram,
        "refitted": ngram.refit(text[:50000], np.arange(0, 50000, 5)),
        "byte_lm": ByteLMModel(make_m1(), batch_size=16),
    }


@pytest.mark.parametrize("name", KINDS)
def test_models_come_back(models, name, tmp_path):
    asset = ModelAsset(models[name])
    asset.save(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == sorted(asset.file_names)
    again = ModelAsset(**json.loads(json.dumps(asset.get_config())))
    assert again.model is None
    again.load(tmp_path)
    assert again.model.fingerprint == asset.fingerprint
    rows = [a.model.probabilities(PREFIXES) for a in (asset, again)]
    assert (rows[0] == rows[1]).all()
    again.save(tmp_path)
    again.load(tmp_path)


def test_refitting_goes_on_after_loading(models, text, tmp_path):
    asset = ModelAsset(models["ngram"])
    asset.save(tmp_path)
    again = ModelAsset(kind="ngram")
    again.load(tmp_path)
    starts = np.arange(0, 50000, 5)
    refitted = again.model.refit(text[:50000], starts)
    assert refitted.fingerprint == models["refitted"].fingerprint


def test_fingerprints_tell_models_apart(models, make_m1):
    changed = make_m1()
    changed.backbone.set_weights(models["byte_lm"].backbone.get_weights())
    same = ByteLMModel(changed).fingerprint
    assert same == models["byte_lm"].fingerprint
    weights = changed.backbone.get_weights()
    weights[3].flat[0] += 1e-3
    changed.backbone.set_weights(weights)
    prints = [model.fingerprint for model in models.values()]
    prints.append(ByteLMModel(changed).fingerprint)
    assert len(set(prints)) == len(prints)


def test_fingerprints_are_what_the_format_says():
    counts = np.arange(1, 257)
    line = b"keras_nc entropy_model 1 unigram {}\ncounts <i8 (256,)\n"
    expected = hashlib.sha256(line + counts.astype("<i8").tobytes())
    assert UnigramModel(counts).fingerprint == expected.hexdigest()


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_refused(models, name, tmp_path):
    asset = ModelAsset(models[name])
    for file_name in asset.file_names:
        for change in (b"", b"{}", None):
            asset.save(tmp_path)
            path = tmp_path / file_name
            data = bytearray(path.read_bytes())
            if change is None and file_name.endswith(".h5"):
                at = data.rfind(models[name].backbone.get_weights()[-1])
                change = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            elif change is None:
                change = data[: len(data) // 2]
            path.write_bytes(change)
            with pytest.raises(ValueError, match="Received"):
                ModelAsset(**asset.get_config()).load(tmp_path)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            ModelAsset(**asset.get_config()).load(tmp_path)


def with_value(place, value):
    def change(array):
        array = array.copy()
        array[place] = value
        return array

    return change


def test_tries_that_lead_astray_are_refused(models, tmp_path):
    asset = ModelAsset(models["ngram"])
    for field, change in [
        ("anywhere_children", lambda x: x + 10**6),
        ("anywhere_children", with_value(0, 0)),
        ("anywhere_children", with_value(0, -2)),
        ("anywhere_children", np.negative),
        ("anywhere_counts", lambda x: x[:-1]),
        ("anywhere_counts", with_value(5, 0)),
        ("anywhere_starts", lambda x: x[::-1].copy()),
        ("anywhere_starts", lambda x: x + 1),
        ("anywhere_bytes", lambda x: x[::-1].copy()),
        ("starts_bytes", lambda x: x.astype("int64")),
        ("starts_starts", lambda x: np.append(x, 0)),
        ("head", lambda x: np.str_("[]")),
        ("head", lambda x: np.str_(x.item().replace("2", "0"))),
        ("head", lambda x: np.str_(x.item().replace("2", '"2"'))),
        ("head", lambda x: np.str_(x.item().replace("2", "1e99"))),
    ]:
        asset.save(tmp_path)
        path = tmp_path / asset.file_names[0]
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays[field] = change(arrays[field])
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match="Received"):
            ModelAsset(kind="ngram").load(tmp_path)


ABSURD = {
    "num_layers": [0, 10**9, 2.0, "2", None],
    "hidden_dim": [2**40, -32],
    "num_heads": [3, 10**7],
    "head_dim": [2**50],
    "intermediate_dim": [10**8, []],
    "num_buckets": [31, 10**8],
    "max_distance": [1, 2**60],
    "position": ["nowhere", None],
    "vocabulary_size": [260],
}


def test_configurations_of_m1_that_are_absurd_are_refused(models, tmp_path):
    asset = ModelAsset(models["byte_lm"])
    asset.save(tmp_path)
    path = tmp_path / asset.file_names[0]
    config = json.loads(path.read_text())
    cases = [
        {**config, "backbone": {**config["backbone"], name: value}}
        for name, values in ABSURD.items()
        for value in values
    ]
    cases += [{**config, "batch_size": n} for n in (0, -1, 2.5, "16", None)]
    cases += [{**config, "format_version": 2}, {**config, "kind": "ngram"}]
    cases += [{**config, "backbone": None}, [], None, "byte_lm", 5]
    for case in cases:
        path.write_text(json.dumps(case))
        with pytest.raises(ValueError, match=r"'byte_lm'.*Received"):
            ModelAsset(kind="byte_lm").load(tmp_path)


def test_weights_that_are_no_numbers_are_refused(models, tmp_path):
    asset = ModelAsset(models["byte_lm"])
    asset.save(tmp_path)
    path = tmp_path / asset.file_names[1]
    data = path.read_bytes()
    weight = models["byte_lm"].backbone.get_weights()[-1].tobytes()
    nan = np.full(len(weight) // 4, np.nan, "float32").tobytes()
    assert weight in data
    path.write_bytes(data.replace(weight, nan))
    with pytest.raises(ValueError, match=r"'byte_lm'.*finite"):
        ModelAsset(kind="byte_lm").load(tmp_path)


def test_counts_that_are_none_are_refused(models, tmp_path):
    asset = ModelAsset(models["unigram"])
    for counts in (
        np.zeros(256, int),
        np.full(256, -1),
        np.full(256, 2**60),
        np.ones(255, int),
        np.ones(256),
        np.array(None),
    ):
        asset.save(tmp_path)
        path = tmp_path / asset.file_names[0]
        with np.load(path) as archive:
            head = archive["head"]
        np.savez(path, head=head, counts=counts)
        with pytest.raises(ValueError, match=r"'unigram'.*Received"):
            ModelAsset(kind="unigram").load(tmp_path)


def test_settings_may_be_integers_of_numpy(text, make_m1, tmp_path):
    ngram = NGramModel.from_text(
        text[:5000],
        order=np.uint8(3),
        min_count=np.int64(2),
        start_min_count=np.int16(2),
    )
    plain = NGramModel.from_text(
        text[:5000], order=3, min_count=2, start_min_count=2
    )
    assert ngram.fingerprint == plain.fingerprint
    byte_lm = ByteLMModel(make_m1(), batch_size=np.int32(16))
    for model in (ngram, byte_lm):
        asset = ModelAsset(model)
        asset.save(tmp_path)
        again = ModelAsset(**asset.get_config())
        again.load(tmp_path)
        assert again.fingerprint == asset.fingerprint


def test_tokenizers_take_integers_of_numpy(models):
    model = models["ngram"]
    n = np.uint8
    for tokenizer, plain in [
        (
            ArithmeticTokenizer(model, n(16), n(16), n(100)),
            ArithmeticTokenizer(model, 16, 16, 100),
        ),
        (
            LiveWindowTokenizer(
                model, n(64), n(8), max_window_bytes=n(32), batch_size=n(2)
            ),
            LiveWindowTokenizer(
                model, 64, 8, max_window_bytes=32, batch_size=2
            ),
        ),
        (
            ZeroPaddedTokenizer(
                model, n(32), n(16), False, n(2), n(14), n(99), True
            ),
            ZeroPaddedTokenizer(model, 32, 16, False, 2, 14, 99, True),
        ),
    ]:
        config = json.dumps(tokenizer.scheme.get_config())
        assert config == json.dumps(plain.scheme.get_config())
        assert tokenizer.fingerprint == plain.fingerprint
        text = b"the statement is executed"
        assert tokenizer(text).tolist() == plain(text).tolist()


def test_another_model_is_refused(models, tmp_path):
    ModelAsset(models["ngram"]).save(tmp_path)
    config = ModelAsset(models["refitted"]).get_config()
    with pytest.raises(ValueError, match="fingerprint"):
        ModelAsset(**config).load(tmp_path)
    config = ModelAsset(models["unigram"]).get_config()
    with pytest.raises(ValueError, match="kind 'unigram'"):
        ModelAsset(**config).load(tmp_path)


def test_what_cannot_be_saved_is_refused():
    with pytest.raises(TypeError, match="Received: object"):
        ModelAsset(object())
    with pytest.raises(ValueError, match="kind='huffman'"):
        ModelAsset(kind="huffman")
