"""Ids of another tokenizer are refused on every route."""

import keras
import numpy as np
import pytest

from keras_nc.coding.origin import find_origins
from keras_nc.data import PackedSequences
from keras_nc.data import TokenShards
from keras_nc.data import process_batches
from keras_nc.data import tf_dataset
from keras_nc.data import write_shards
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")
TEXTS = [b"to be or not to be", b"that is the question", b"?"] * 4
MATCH = "the tokenizer that made them"
#: Without TensorFlow, an error that nothing raises.
try:
    from tensorflow.errors import InvalidArgumentError as InvalidArgument
except ImportError:
    InvalidArgument = ValueError


class OwnDataset(keras.utils.PyDataset):
    """A user-defined data set around the batches."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        x, y, weight = self.batches[index]
        copied = {key: np.array(value) for key, value in x.items()}
        return copied, np.array(y), np.array(weight)


def torch_loader(batches):
    from torch.utils.data import DataLoader

    return DataLoader(batches, batch_size=None)


def torch_subset(batches):
    from torch.utils.data import ConcatDataset
    from torch.utils.data import Subset

    subset = Subset(batches, range(2))
    return torch_loader(ConcatDataset([subset, subset]))


def transformed(batches):
    dataset = tf_dataset(batches).repeat().shuffle(2)
    dataset = dataset.map(lambda x, y, weight: (x, y, weight))
    return dataset.take(2).prefetch(1)


def cut_anew(batches):
    """Batches of another size."""
    return tf_dataset(batches).unbatch().batch(2, drop_remainder=True)


def grain(batches):
    import grain

    return grain.MapDataset.source(batches)


def grain_copied(batches):
    import grain

    def copied(batch):
        return keras.tree.map_structure(np.array, batch)

    return grain.MapDataset.source(batches).map(copied).to_iter_dataset()


def generated(batches):
    return (batches[i] for i in range(len(batches)))


def arrays(batches):
    """Arrays of one batch, for `fit(x, y)` and `predict(x)`."""
    return batches[0]


ROUTES = [
    lambda batches: batches,
    OwnDataset,
    tf_dataset,
    transformed,
    cut_anew,
    torch_loader,
    torch_subset,
    grain,
    grain_copied,
    generated,
    iter,
]
NAMES = ["packed", *(route.__name__ for route in ROUTES[1:])]


@pytest.fixture(scope="module")
def shards(tmp_path_factory, codebooks):
    folder = tmp_path_factory.mktemp("shards")
    tokenizers = {
        "bytes": ByteTokenizer(),
        "windows": EqualInfoTokenizer(codebooks[12]),
    }
    return {
        name: write_shards(TEXTS, tokenizer, folder / name, progress=False)
        for name, tokenizer in tokenizers.items()
    }


@pytest.fixture(scope="module")
def models(make_m1, make_m2, codebooks):
    made = {
        "bytes": make_m1(num_layers=1),
        "windows": make_m2(EqualInfoTokenizer(codebooks[12]), num_layers=1),
    }
    for model in made.values():
        model.compile()
    return made


def batches_of(shards):
    return PackedSequences(shards, 8, batch_size=4, shuffle=False, steps=2)


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
@pytest.mark.parametrize(
    ("of", "into"), [("bytes", "windows"), ("windows", "bytes")]
)
def test_every_route_is_closed(models, shards, route, of, into):
    def foreign():
        return route(batches_of(shards[of]))

    model = models[into]
    before = [keras.ops.convert_to_numpy(w).copy() for w in model.weights]
    with pytest.raises(ValueError, match=MATCH):
        model.fit(foreign(), verbose=0)
    with pytest.raises(ValueError, match=MATCH):
        model.evaluate(foreign(), verbose=0)
    if route not in (generated, iter):
        own = batches_of(shards[into])
        with pytest.raises(ValueError, match=MATCH):
            model.fit(own, validation_data=foreign(), verbose=0)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


@pytest.mark.parametrize(
    "route", [transformed, torch_loader, grain, generated, OwnDataset]
)
def test_own_tokens_take_the_same_routes(models, shards, route):
    result = models["windows"].evaluate(
        route(batches_of(shards["windows"])),
        steps=2,
        verbose=0,
        return_dict=True,
    )
    assert np.isfinite(result["loss"])


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_numbered_documents_need_a_model_that_hides_them(models, shards, route):
    def numbered(process=0):
        data = PackedSequences(
            *(shards["bytes"], 24, 4),
            shuffle=False,
            steps=2,
            packing="whole",
            document_masks=True,
        )
        return route(process_batches(data, process, 2))

    model = models["bytes"]
    # TensorFlow turns errors inside of tf.data into its own.
    errors = (ValueError, InvalidArgument)
    with pytest.raises(errors, match="document_masks=True"):
        model.fit(numbered(), verbose=0)
    with pytest.raises(errors, match="document_masks=True"):
        model.evaluate(numbered(1), verbose=0)


def test_arrays_of_numbered_documents(models, make_m1, shards):
    data = PackedSequences(
        *(shards["bytes"], 24, 4), packing="whole", document_masks=True
    )
    x, y, weight = data[0]
    model = models["bytes"]
    for call in (
        lambda: model.fit(x, y, sample_weight=weight, verbose=0),
        lambda: model.train_on_batch(x, y, weight),
        lambda: model.test_on_batch(x, y, weight),
        lambda: model.predict(x, verbose=0),
        lambda: model.predict_on_batch(x),
        lambda: model.backbone(x),
    ):
        with pytest.raises(ValueError, match="document_masks=True"):
            call()
    # What nobody can check gives no number that looks right.
    logits = keras.ops.convert_to_numpy(model(x))
    assert np.isnan(logits[x["padding_mask"] > 1]).all()
    hides = make_m1(num_layers=1, document_masks=True)
    hides.compile()
    assert np.isfinite(
        hides.evaluate(data, verbose=0, return_dict=True)["loss"]
    )
    assert np.isfinite(keras.ops.convert_to_numpy(hides.predict(x))).all()


def test_arrays_of_one_batch_are_known(models, shards):
    x, y, weight = batches_of(shards["bytes"])[0]
    model = models["windows"]
    with pytest.raises(ValueError, match=MATCH):
        model.fit(x, y, sample_weight=weight, verbose=0)
    with pytest.raises(ValueError, match=MATCH):
        model.train_on_batch(x, y, weight)
    with pytest.raises(ValueError, match=MATCH):
        model.test_on_batch(x, y, weight)
    with pytest.raises(ValueError, match=MATCH):
        model.predict(x, verbose=0)
    with pytest.raises(ValueError, match=MATCH):
        model.evaluate({**x, "token_ids": x["token_ids"][:2]}, y[:2])
    assert np.isfinite(models["bytes"].test_on_batch(x, y, weight)[0])


def test_data_sets_of_two_tokenizers_are_refused(models, shards):
    own, other = (
        tf_dataset(batches_of(shards[name])) for name in ("windows", "bytes")
    )
    import tensorflow as tf

    for dataset in (
        own.concatenate(other),
        other.concatenate(own),
        tf.data.Dataset.sample_from_datasets([other, own]),
    ):
        with pytest.raises(ValueError, match=MATCH):
            models["windows"].evaluate(dataset)


def test_a_loader_that_tokenizes_otherwise_is_refused(models):
    from torch.utils.data import DataLoader

    texts = [text.decode() for text in TEXTS]
    loader = DataLoader(
        texts, batch_size=4, collate_fn=models["bytes"].preprocessor
    )
    with pytest.raises(ValueError, match=MATCH):
        models["windows"].fit(loader)


def test_without_a_tokenizer_the_ids_are_counted(shards):
    bare = ByteCausalLM(
        ByteBackbone(
            num_layers=1, num_heads=1, hidden_dim=8, intermediate_dim=8
        )
    )
    bare.compile()
    with pytest.raises(ValueError, match="with 4096 ids"):
        bare.fit(tf_dataset(batches_of(shards["windows"])))
    assert np.isfinite(bare.evaluate(batches_of(shards["bytes"]), verbose=0))


def test_names_of_data_sets_hold_the_origin(shards):
    (origin,) = set(find_origins(transformed(batches_of(shards["bytes"]))))
    assert origin == shards["bytes"].origin
    assert not list(find_origins([TEXTS, {"a": np.zeros(3)}, None, 1]))


def test_arrays_are_forgotten_with_their_memory(shards):
    from keras_nc.coding import origin

    before = len(origin._known)
    batch = batches_of(TokenShards(shards["bytes"].directory))[0]
    assert len(origin._known) == before + 2
    del batch
    assert len(origin._known) == before
