import itertools
import math

import keras
import numpy as np
import pytest

from keras_nc.losses import token_nats
from keras_nc.metrics import BitsPerByte
from keras_nc.tokenizers import EqualInfoTokenizer
from tests.models.conftest import TEXTS

pytestmark = pytest.mark.usefixtures("seeded")

STEPS = len(TEXTS) // 4


class Batches(keras.utils.PyDataset):
    """A user-defined PyDataset, of keras-hub's `(x, y, sample_weight)`."""

    def __init__(self, arrays, batch_size=4):
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size

    def __len__(self):
        return len(TEXTS) // self.batch_size

    def __getitem__(self, index):
        first = index * self.batch_size
        return keras.tree.map_structure(
            lambda array: array[first : first + self.batch_size], self.arrays
        )


@pytest.fixture
def causal_lm(make_m1):
    return make_m1()


@pytest.fixture
def arrays(causal_lm):
    data = causal_lm.preprocessor(TEXTS)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, data)


def dataset_kinds(arrays, preprocessor):
    yield "text", (TEXTS,), {"batch_size": 4}
    yield "bytes", ([t.encode() for t in TEXTS],), {"batch_size": 4}
    x, y, weight = arrays
    yield "arrays", (x, y), {"sample_weight": weight, "batch_size": 4}
    yield "PyDataset", (Batches(arrays),), {}
    batches = [Batches(arrays)[i] for i in range(STEPS)]
    yield "generator of arrays", (itertools.cycle(batches),), {}
    texts = [(TEXTS[i : i + 4],) for i in range(0, len(TEXTS), 4)]
    yield "generator of text", (itertools.cycle(texts),), {}
    yield from torch_loaders(batches, preprocessor)
    try:
        import tensorflow as tf
    except ImportError:
        return
    raw = tf.data.Dataset.from_tensor_slices(TEXTS)
    yield "tf.data of text", (raw.batch(4),), {}
    packed = tf.data.Dataset.from_tensor_slices(arrays)
    yield "tf.data of arrays", (packed.batch(4),), {}


def torch_loaders(batches, preprocessor):
    try:
        import torch
    except ImportError:
        return

    def to_tensors(batch):
        return keras.tree.map_structure(torch.as_tensor, batch)

    loader = torch.utils.data.DataLoader
    ready = loader(batches, batch_size=None, collate_fn=to_tensors)
    yield "torch loader of arrays", (ready,), {}
    if keras.backend.backend() == "torch":
        loaded = loader(TEXTS, batch_size=4, collate_fn=preprocessor)
        yield "torch loader of text", (loaded,), {}


def test_every_kind_of_data_gives_the_same_result(causal_lm, arrays):
    initial = causal_lm.get_weights()
    evaluated, trained = {}, {}
    # No shuffling and no state of the optimizer: the same two epochs, and
    # nothing is compiled twice.
    causal_lm.compile(optimizer=keras.optimizers.SGD(0.05))
    kinds = dataset_kinds(arrays, causal_lm.preprocessor)
    for kind, data, options in kinds:
        causal_lm.set_weights(initial)
        endless = "generator" in kind
        steps = {"steps": STEPS} if endless else {}
        evaluated[kind] = causal_lm.evaluate(
            *data, **options, **steps, verbose=0, return_dict=True
        )
        steps = {"steps_per_epoch": STEPS} if endless else {}
        history = causal_lm.fit(
            *data, **options, **steps, epochs=2, shuffle=False, verbose=0
        )
        trained[kind] = history.history["loss"]
    x, y, weight = arrays
    nats = keras.ops.convert_to_numpy(token_nats(y, model_logits(initial, x)))
    total = (nats.astype("float64") * weight).sum()
    num_bytes = sum(len(t.encode()) for t in TEXTS)
    expected = total / (math.log(2) * num_bytes)
    for kind, result in evaluated.items():
        assert result["bits_per_byte"] == pytest.approx(expected, 1e-5), kind
    for kind, losses in trained.items():
        np.testing.assert_allclose(losses, trained["text"], 1e-4, err_msg=kind)
        assert losses[1] < losses[0]


def model_logits(weights, x):
    from keras_nc.models import ByteBackbone
    from keras_nc.models import ByteCausalLM
    from tests.conftest import SMALL

    causal_lm = ByteCausalLM(ByteBackbone(**SMALL))
    causal_lm.set_weights(weights)
    return causal_lm(x)


def test_validation_data(causal_lm, arrays):
    x, y, weight = arrays
    first = causal_lm.evaluate(TEXTS, verbose=0, return_dict=True)
    frozen = keras.optimizers.SGD(0.0)
    causal_lm.compile(optimizer=frozen)
    for validation in (TEXTS, (x, y, weight), Batches(arrays)):
        history = causal_lm.fit(
            Batches(arrays), validation_data=validation, verbose=0
        ).history
        assert history["val_loss"][0] == pytest.approx(first["loss"], 1e-4)
        assert history["val_bits_per_byte"][0] == pytest.approx(
            first["bits_per_byte"], 1e-4
        )


def test_batches_one_by_one(causal_lm, arrays):
    x, y, weight = arrays
    before = causal_lm.test_on_batch(x, y, weight)
    for _ in range(3):
        causal_lm.train_on_batch(x, y, weight)
    assert causal_lm.test_on_batch(x, y, weight)[0] < before[0]


def test_weights_of_rows(causal_lm, arrays):
    x, y, weight = arrays
    rows = np.arange(len(y)) % 3 == 0
    full = weight * rows[:, None]
    expected = causal_lm.evaluate(
        x, y, sample_weight=full, verbose=0, return_dict=True
    )
    keep = keras.tree.map_structure(lambda a: a[rows], x)
    found = causal_lm.evaluate(
        keep, y[rows], sample_weight=weight[rows], verbose=0, return_dict=True
    )
    assert found == pytest.approx(expected, rel=1e-4)
    # All tokens of all rows have the same weight, in each of these forms.
    everything = [
        causal_lm.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
        for w in (None, np.ones(len(y)), np.ones((len(y), 1)), np.ones(y.shape))
    ]
    for result in everything[1:]:
        assert result == pytest.approx(everything[0], rel=1e-4)


def test_odd_training_data_is_refused(causal_lm, arrays, codebooks, tmp_path):
    from keras_nc.data import PackedSequences
    from keras_nc.data import write_shards

    x, y, weight = arrays
    with pytest.raises(ValueError, match="list of at least one text"):
        causal_lm.fit("one text")
    with pytest.raises(ValueError, match="list of at least one text"):
        causal_lm.fit([])
    with pytest.raises(ValueError, match="come from the text"):
        causal_lm.fit(TEXTS, sample_weight=weight)
    with pytest.raises(ValueError, match="Training and evaluation need"):
        causal_lm.fit(x, verbose=0)
    with pytest.raises(ValueError, match="must yield tuples"):
        causal_lm.fit(iter(TEXTS), verbose=0)
    with pytest.raises(ValueError, match="belong into the batches"):
        causal_lm.fit(iter([(x, y)]), sample_weight=weight, verbose=0)
    with pytest.raises(ValueError, match="class_weight"):
        causal_lm.fit(x, y, class_weight={1: 2.0})
    shards = write_shards(
        [b"some text"],
        EqualInfoTokenizer(codebooks[12]),
        tmp_path,
        progress=False,
    )
    with pytest.raises(ValueError, match="fingerprint"):
        causal_lm.fit(PackedSequences(shards, 4, 1, shuffle=False), verbose=0)
    try:
        import tensorflow as tf
    except ImportError:
        return
    ds = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    with pytest.raises(ValueError, match="belong into the batches"):
        causal_lm.evaluate(ds, sample_weight=weight)


def test_tokenizers_that_pad_are_refused(codebooks):
    from keras_nc.models import CompressedCausalLMPreprocessor

    tokenizer = EqualInfoTokenizer(codebooks[12], sequence_length=8)
    with pytest.raises(ValueError, match="sequence_length=8"):
        CompressedCausalLMPreprocessor(tokenizer)


def test_the_tokenizer_is_the_one_that_was_passed(codebooks):
    from keras_nc.models import CompressedCausalLMPreprocessor

    tokenizer = EqualInfoTokenizer(codebooks[12])
    preprocessor = CompressedCausalLMPreprocessor(tokenizer)
    assert preprocessor.tokenizer is tokenizer
    wrapped = CompressedCausalLMPreprocessor(tokenizer.scheme).tokenizer
    assert wrapped.fingerprint == tokenizer.fingerprint


def test_a_codebook_is_no_tokenizer(codebooks):
    from keras_nc.models import CompressedCausalLMPreprocessor

    with pytest.raises(TypeError, match="EqualInfoTokenizer"):
        CompressedCausalLMPreprocessor(codebooks[12])


def test_predict_gives_logits(causal_lm, arrays):
    x, _, _ = arrays
    expected = keras.ops.convert_to_numpy(causal_lm(x))
    found = causal_lm.predict(x, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = causal_lm.predict(TEXTS, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_default_metric_follows_the_tokenizer(codebooks, make_m2):
    causal_lm = make_m2(EqualInfoTokenizer(codebooks[12]))
    result = causal_lm.evaluate(TEXTS, verbose=0, return_dict=True)
    assert set(result) == {"loss", "bits_per_byte"}
    split = make_m2(EqualInfoTokenizer(codebooks[16], token_bits=8))
    result = split.evaluate(TEXTS, verbose=0, return_dict=True)
    assert set(result) == {"loss"}
    # The bytes and tokens of the text are known, so split windows have a score.
    ids = split.preprocessor.tokenizer(TEXTS)
    tokens = sum(len(row) + 1 for row in ids)
    per_token = sum(len(t.encode()) for t in TEXTS) / tokens
    split.compile(weighted_metrics=[BitsPerByte(bytes_per_token=per_token)])
    found = split.evaluate(TEXTS, verbose=0, return_dict=True)
    expected = result["loss"] / math.log(2) / per_token
    assert found["bits_per_byte"] == pytest.approx(expected, 1e-4)


def test_bfloat16_training(make_m1):
    causal_lm = make_m1(dtype="mixed_bfloat16")
    losses = causal_lm.fit(TEXTS, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and np.isfinite(losses).all()


def test_a_vocabulary_that_does_not_fit_is_refused(codebooks, make_m1):
    from keras_nc.models import CompressedBackbone
    from keras_nc.models import CompressedCausalLM
    from keras_nc.models import CompressedCausalLMPreprocessor
    from tests.conftest import SMALL

    preprocessor = CompressedCausalLMPreprocessor(
        EqualInfoTokenizer(codebooks[12])
    )
    with pytest.raises(ValueError, match="vocabulary_size=4096"):
        CompressedCausalLM(CompressedBackbone(259, **SMALL), preprocessor)


def test_m2_has_none_of_m1s_weights(make_m1, make_m2):
    from keras_nc.coding import Codebook
    from keras_nc.entropy_models import ByteLMModel

    m1 = make_m1()
    codebook = Codebook.paper(ByteLMModel(m1), window_bits=9)
    m2 = make_m2(EqualInfoTokenizer(codebook))
    alone = make_m2(EqualInfoTokenizer(codebook)).backbone
    assert m2.count_params() == alone.count_params()
    ids = {id(v) for v in m1.variables}
    assert not ids & {id(v) for v in m2.variables}
    assert all(
        v.path.startswith(("token_embedding", "block", "layer_norm"))
        for v in m2.variables
    )


def test_z_loss_is_added_in_training_only(causal_lm, arrays):
    x, y, sample_weight = arrays
    sample_weight = (np.asarray(y) > 0).astype("float32")  # pads weigh nothing
    logits = keras.ops.convert_to_numpy(causal_lm(x)).astype("float64")
    log_z = np.log(np.exp(logits).sum(axis=-1))
    extra = 0.5 * (sample_weight * log_z**2).sum() / sample_weight.sum()
    losses = {}
    for z_loss in (0.0, 0.5):
        causal_lm.compile(
            optimizer=keras.optimizers.SGD(0.0),
            weighted_metrics=[],
            z_loss=z_loss,
        )
        # Twice, because the losses of the last step must be gone.
        for _ in range(2):
            losses[z_loss] = float(
                causal_lm.train_on_batch(x, y, sample_weight)
            )
        evaluated = float(causal_lm.test_on_batch(x, y, sample_weight))
        assert evaluated == pytest.approx(losses[0.0], rel=1e-5)
    assert losses[0.5] == pytest.approx(losses[0.0] + extra, rel=1e-4)


def test_z_loss_survives_saving(make_m1):
    causal_lm = make_m1()
    causal_lm.compile(z_loss=1e-4)
    config = causal_lm.get_compile_config()
    causal_lm.compile()
    assert causal_lm.z_loss == 0.0
    causal_lm.compile_from_config(config)
    assert causal_lm.z_loss == 1e-4
