"""Invalid ids as inputs and targets, on every route."""

import keras
import numpy as np
import pytest

from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM

V = 300  # the table has 384 rows
#: An id that other libraries ignore, the next id, a padding row, and 70 + 2^32.
WRONG = [-100, V, 383, 2**32 + 70]


@pytest.fixture(scope="module")
def causal_lm():
    keras.utils.set_random_seed(0)
    model = CompressedCausalLM(
        CompressedBackbone(
            V, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=16
        )
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def batch(y=None, token_id=None):
    """A batch of two rows, perhaps with one wrong target or input."""
    ids = np.array([[1, 7, 8, 9], [1, 7, 2, 0]], "int64")
    targets = np.array([[7, 8, 9, 2], [7, 2, 0, 0]], "int64")
    if y is not None:
        targets[0, 2] = y
    if token_id is not None:
        ids[0, 2] = token_id
    x = {"token_ids": ids, "padding_mask": np.ones((2, 4), "int32")}
    return x, targets


class Batches(keras.utils.PyDataset):
    def __init__(self, *batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_targets_are_refused(causal_lm, wrong):
    x, y = batch(wrong)
    for use in (
        lambda: causal_lm.fit(x, y, verbose=0),
        lambda: causal_lm.fit(x, y.tolist(), verbose=0),
        lambda: causal_lm.evaluate(x, y, verbose=0),
        lambda: causal_lm.train_on_batch(x, y),
        lambda: causal_lm.test_on_batch(x, y, np.zeros((2, 4))),
        lambda: causal_lm.fit(*batch(), validation_data=(x, y), verbose=0),
        lambda: causal_lm.fit(Batches(batch(), (x, y)), verbose=0),
        lambda: causal_lm.evaluate(Batches((x, y)), verbose=0),
        lambda: causal_lm.fit(iter([(x, y)]), steps_per_epoch=1, verbose=0),
    ):
        with pytest.raises(ValueError, match="sample_weight") as error:
            use()
        assert str(wrong) in str(error.value) and "pads" in str(error.value)


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_inputs_are_refused(causal_lm, wrong):
    x, y = batch(token_id=wrong)
    for use in (
        lambda: causal_lm.fit(x, y, verbose=0),
        lambda: causal_lm.train_on_batch(x, y),
        lambda: causal_lm.predict(x, verbose=0),
        lambda: causal_lm.predict_on_batch(x),
        lambda: causal_lm.evaluate(Batches((x, y)), verbose=0),
    ):
        with pytest.raises(ValueError, match=f"token_ids.*{wrong}"):
            use()
    # Outputs from there on are NaN; outputs before are not.
    logits = keras.ops.convert_to_numpy(causal_lm(x))
    unknown = np.isnan(logits).any(axis=-1)
    assert unknown.tolist() == [[False, False, True, True], [False] * 4]


def test_loaders_of_wrong_ids_are_refused(causal_lm):
    torch = pytest.importorskip("torch")
    x, y = batch(-100)
    samples = [({k: v[i] for k, v in x.items()}, y[i]) for i in (1, 0)]
    loader = torch.utils.data.DataLoader(samples, batch_size=1)
    with pytest.raises(ValueError, match="-100 at"):
        causal_lm.evaluate(loader, verbose=0)


@pytest.mark.parametrize("wrong", [-100, 2**32 + 70])
def test_pipelines_of_wrong_ids_are_refused(causal_lm, wrong):
    tf = pytest.importorskip("tensorflow")
    for made in (batch(wrong), batch(token_id=wrong)):
        data = tf.data.Dataset.from_tensor_slices(made).batch(2)
        with pytest.raises(Exception, match=f"must hold ids(.|\n)*{wrong}"):
            causal_lm.evaluate(data, verbose=0)


def test_numbers_and_shapes_that_are_no_targets_are_refused(causal_lm):
    x, y = batch()
    with pytest.raises(ValueError, match="dtype=float32"):
        causal_lm.fit(x, y.astype("float32"), verbose=0)
    with pytest.raises(ValueError, match="dtype=bool"):
        causal_lm.fit(x, y > 0, verbose=0)
    with pytest.raises(ValueError, match=r"y of shape \(2, 4, 1\)"):
        causal_lm.fit(x, y[..., None], verbose=0)
    with pytest.raises(ValueError, match="must be rectangular"):
        causal_lm.fit(x, [[1, 2], [3]], verbose=0)
    ids = x["token_ids"].astype("float32")
    with pytest.raises(ValueError, match="dtype=float32"):
        causal_lm({**x, "token_ids": ids})


def test_a_step_that_cannot_raise_gives_nan(causal_lm):
    before = causal_lm.get_weights()
    x, y = batch(V)
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
    # Keras' own method does not check ids.
    loss, *_ = np.ravel(keras.Model.test_on_batch(causal_lm, *tensors))
    assert np.isnan(loss)
    for a, b in zip(causal_lm.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pads_weigh_nothing(causal_lm):
    x, y = batch()
    expected = causal_lm.test_on_batch(x, y, (y > 0).astype("float32"))
    for weights in (None, np.ones(2), np.ones((2, 1)), np.ones((2, 4))):
        found = causal_lm.test_on_batch(x, y, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_shards_of_a_larger_vocabulary_are_refused(causal_lm, tmp_path):
    from keras_nc.data import PackedSequences
    from keras_nc.data import write_shards
    from keras_nc.tokenizers import ByteTokenizer

    shards = write_shards([b"abc"], ByteTokenizer(), tmp_path, progress=False)
    small = CompressedCausalLM(
        CompressedBackbone(
            200, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8
        )
    )
    with pytest.raises(ValueError, match="vocabulary_size=200"):
        small.fit(PackedSequences(shards, 2, 1), verbose=0)
