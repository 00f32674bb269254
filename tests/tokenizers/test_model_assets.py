import hashlib
import json

import numpy as np
import pytest

from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers._model_files import fingerprint
from keras_nc.tokenizers.model_assets import ModelAsset

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
    assert fingerprint(again.model) == asset.fingerprint
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
    assert fingerprint(refitted) == fingerprint(models["refitted"])


def test_fingerprints_tell_models_apart(models, make_m1):
    changed = make_m1()
    changed.backbone.set_weights(models["byte_lm"].backbone.get_weights())
    same = fingerprint(ByteLMModel(changed))
    assert same == fingerprint(models["byte_lm"])
    weights = changed.backbone.get_weights()
    weights[3].flat[0] += 1e-3
    changed.backbone.set_weights(weights)
    prints = [fingerprint(model) for model in models.values()]
    prints.append(fingerprint(ByteLMModel(changed)))
    assert len(set(prints)) == len(prints)


def test_fingerprints_are_what_the_format_says():
    counts = np.arange(1, 257)
    line = b"keras_nc entropy_model 1 unigram {}\ncounts <i8 (256,)\n"
    expected = hashlib.sha256(line + counts.astype("<i8").tobytes())
    assert fingerprint(UnigramModel(counts)) == expected.hexdigest()


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


def test_tries_that_lead_astray_are_refused(models, tmp_path):
    asset = ModelAsset(models["ngram"])
    for field, change in {
        "anywhere_children": lambda x: x + 10**6,
        "anywhere_counts": lambda x: x[:-1],
        "anywhere_starts": lambda x: x[::-1].copy(),
        "starts_bytes": lambda x: x.astype("int64"),
    }.items():
        asset.save(tmp_path)
        path = tmp_path / asset.file_names[0]
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays[field] = change(arrays[field])
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match="Received"):
            ModelAsset(kind="ngram").load(tmp_path)


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
