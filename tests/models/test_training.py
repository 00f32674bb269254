import math

import keras
import numpy as np
import pytest

from keras_nc.metrics import BitsPerByte
from keras_nc.metrics.token_nats import token_nats
from keras_nc.tokenizers import EqualInfoTokenizer

pytestmark = pytest.mark.usefixtures("seeded")

TEXTS = ["the quick brown fox", "jumps over", "the lazy dog", ""] * 4


class Batches(keras.utils.PyDataset):
    """A user's own PyDataset, in keras-hub's form `(x, y, sample_weight)`."""

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


def dataset_kinds(arrays):
    yield "text", (TEXTS,), {"batch_size": 4}
    yield "bytes", ([t.encode() for t in TEXTS],), {"batch_size": 4}
    x, y, weight = arrays
    yield "arrays", (x, y), {"sample_weight": weight, "batch_size": 4}
    yield "PyDataset", (Batches(arrays),), {}
    try:
        import tensorflow as tf
    except ImportError:
        return
    raw = tf.data.Dataset.from_tensor_slices(TEXTS)
    yield "tf.data of text", (raw.batch(4),), {}
    packed = tf.data.Dataset.from_tensor_slices(arrays)
    yield "tf.data of arrays", (packed.batch(4),), {}


def test_every_kind_of_data_gives_the_same_result(causal_lm, arrays):
    initial = causal_lm.get_weights()
    evaluated, trained = {}, {}
    for kind, data, options in dataset_kinds(arrays):
        causal_lm.set_weights(initial)
        # No shuffling and no state of the optimizer: the same two epochs.
        causal_lm.compile(optimizer=keras.optimizers.SGD(0.05))
        evaluated[kind] = causal_lm.evaluate(
            *data, **options, verbose=0, return_dict=True
        )
        history = causal_lm.fit(
            *data, **options, epochs=2, shuffle=False, verbose=0
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


def test_predict_gives_logits(causal_lm, arrays):
    x, _, _ = arrays
    expected = keras.ops.convert_to_numpy(causal_lm(x))
    found = causal_lm.predict(x, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = causal_lm.predict(TEXTS, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_default_metric_follows_the_tokenizer(codebooks, make_m2):
    whole = make_m2(EqualInfoTokenizer(codebooks[12]))
    result = whole.evaluate(TEXTS, verbose=0, return_dict=True)
    assert set(result) == {"loss", "bits_per_byte"}
    split = make_m2(EqualInfoTokenizer(codebooks[16], token_bits=8))
    result = split.evaluate(TEXTS, verbose=0, return_dict=True)
    assert set(result) == {"loss"}
    # A text's bytes and tokens are known here, so split windows can say.
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
    codebook = Codebook.build(ByteLMModel(m1), window_bits=9)
    m2 = make_m2(EqualInfoTokenizer(codebook))
    alone = make_m2(EqualInfoTokenizer(codebook)).backbone
    assert m2.count_params() == alone.count_params()
    ids = {id(v) for v in m1.variables}
    assert not ids & {id(v) for v in m2.variables}
    assert all(
        v.path.startswith(("token_embedding", "block", "layer_norm"))
        for v in m2.variables
    )
