import math

import keras
import numpy as np
import pytest

from keras_nc.losses import TokenNats
from keras_nc.metrics import CARRY
from keras_nc.metrics import BitsPerByte

LENGTHS = [0, 0, 0, 1, 2, 5, 64]


def batches(count, rows=4, tokens=8, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        ids = random.integers(2, len(LENGTHS), (rows, tokens)).astype("int32")
        nats = random.gamma(2.0, 1.5, (rows, tokens)).astype("float32")
        weight = random.integers(0, 2, (rows, tokens)).astype("float32")
        yield ids, nats, weight


def by_hand(data):
    nats = sum((n.astype("float64") * w).sum() for _, n, w in data)
    count = sum((np.array(LENGTHS)[i] * w).sum() for i, _, w in data)
    return nats / (math.log(2) * count)


def test_equals_a_hand_computation():
    data = list(batches(20))
    metric = BitsPerByte(token_lengths=LENGTHS)
    for ids, nats, weight in data:
        metric.update_state(ids, nats, weight)
    assert float(metric.result()) == pytest.approx(by_hand(data), rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_counts_on_where_float32_stops():
    # 2^24 + 1 has no float32: a plain float32 counter would stop there. Here
    # single tokens are counted one at a time from far beyond.
    lengths = [0, 0, 0, 1, 2**24 - 2**10]
    metric = BitsPerByte(token_lengths=lengths)
    big = np.full((1, 1), 4, "int32")
    token = np.full((1, 1), 3, "int32")
    nats = np.full((1, 1), 0.25, "float32")
    for _ in range(40):
        metric.update_state(big, nats)
    before = (int(metric._counted.high), int(metric._counted.low))
    for _ in range(101):
        metric.update_state(token, nats)
    after = (int(metric._counted.high), int(metric._counted.low))
    count = 40 * lengths[4] + 101
    assert (after[0] - before[0]) * CARRY + after[1] - before[1] == 101
    assert after[0] * CARRY + after[1] == count > 2**29
    expected = 141 * 0.25 / (math.log(2) * count)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_more_than_2_24_bytes_in_large_batches():
    random = np.random.default_rng(0)
    metric = BitsPerByte(token_lengths=LENGTHS)
    nats_sum, bytes_sum = 0.0, 0
    for _ in range(12):
        ids = random.integers(2, len(LENGTHS), (256, 512)).astype("int32")
        nats = random.gamma(2.0, 3.0, (256, 512)).astype("float32")
        metric.update_state(ids, nats)
        nats_sum += nats.sum(dtype="float64")
        bytes_sum += int(np.array(LENGTHS)[ids].sum())
    assert bytes_sum > 2**24
    counted = metric._counted
    assert int(counted.high) * CARRY + int(counted.low) == bytes_sum
    expected = nats_sum / (math.log(2) * bytes_sum)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("tokens", [4, 8])
@pytest.mark.parametrize("rank", [1, 2])
def test_weights_of_rows(rank, tokens):
    # Four rows: with four tokens a wrong axis would go unnoticed.
    ((ids, nats, _),) = batches(1, rows=4, tokens=tokens)
    rows = np.array([1, 0, 0.5, 1], "float32")
    full = np.repeat(rows[:, None], tokens, axis=1)
    weight = rows if rank == 1 else rows[:, None]
    metric = BitsPerByte(token_lengths=LENGTHS)
    metric.update_state(ids, nats, weight)
    expected = by_hand([(ids, nats, full)])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    loss = float(TokenNats()(ids, nats, weight))
    expected = (nats * full).sum() / full.sum()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_weights_of_other_shapes_are_refused():
    ((ids, nats, _),) = batches(1)
    for shape in [(4, 8, 1), (4, 7)]:
        with pytest.raises(ValueError, match="sample_weight"):
            BitsPerByte(token_lengths=LENGTHS).update_state(
                ids, nats, np.ones(shape)
            )
        with pytest.raises(ValueError, match="sample_weight"):
            TokenNats()(ids, nats, np.ones(shape))


def test_what_float32_cannot_count_shows():
    token = np.full((1, 1), 3, "int32")
    metric = BitsPerByte(token_lengths=LENGTHS)
    metric.update_state(token, np.full((1, 1), 1e30, "float32"))
    expected = 1e30 / math.log(2)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.update_state(token, np.full((1, 1), np.nan, "float32"))
    assert math.isnan(float(metric.result()))
    for foreign in (-1, len(LENGTHS)):
        metric = BitsPerByte(token_lengths=LENGTHS)
        ids = np.full((1, 1), foreign, "int32")
        metric.update_state(ids, np.ones((1, 1), "float32"))
        assert math.isnan(float(metric.result()))
        # ... but not at tokens of weight 0.
        metric.reset_state()
        metric.update_state(
            np.array([[3, foreign]], "int32"),
            np.array([[math.log(2), np.inf]], "float32"),
            np.array([[1.0, 0.0]], "float32"),
        )
        assert float(metric.result()) == pytest.approx(1.0)


def test_many_rows_of_large_sums():
    metric = BitsPerByte(token_lengths=[0, 0, 0, 2**20 - 1])
    ids = np.full((4096, 1), 3, "int32")
    nats = np.full((4096, 1), (2**20 - 1) * math.log(2), "float32")
    metric.update_state(ids, nats)
    assert float(metric.result()) == pytest.approx(1.0, rel=1e-6)


def test_uniform_model_scores_log2_of_the_vocabulary():
    logits = np.zeros((2, 3, 64), "float32")
    ids = np.full((2, 3), 3, "int32")
    metric = BitsPerByte(token_lengths=np.ones(64, int))
    metric.update_state(ids, logits)
    assert float(metric.result()) == pytest.approx(6.0)


def test_bytes_per_token_can_change():
    metric = BitsPerByte(bytes_per_token=2.0)
    metric.update_state(np.array([[3]]), np.log([[16.0]]))
    assert float(metric.result()) == pytest.approx(2.0)
    metric.bytes_per_token = 4.0
    assert float(metric.result()) == pytest.approx(1.0)
    assert metric.get_config()["bytes_per_token"] == 4.0
    metric.reset_state()
    metric.update_state(np.array([[3]]), np.log([[16.0]]))
    assert float(metric.result()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="must be positive"):
        metric.bytes_per_token = 0.0
    with pytest.raises(ValueError, match="tokens without lengths"):
        BitsPerByte(token_lengths=LENGTHS).bytes_per_token = 1.0


def test_split_windows_count_bytes_per_token():
    metric = BitsPerByte(bytes_per_token=2.5)
    nats = np.full((1, 4), math.log(32.0), "float32")
    metric.update_state(np.zeros((1, 4), "int32"), nats, [[1, 1, 1, 0]])
    assert float(metric.result()) == pytest.approx(2.0)


def test_config_round_trip():
    for metric in (
        BitsPerByte(token_lengths=LENGTHS),
        BitsPerByte(bytes_per_token=2.5),
    ):
        config = keras.saving.serialize_keras_object(metric)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == metric.get_config()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"token_lengths": [1], "bytes_per_token": 1.0},
        {"token_lengths": [-1, 2]},
        {"bytes_per_token": 0.0},
    ],
)
def test_odd_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        BitsPerByte(**arguments)


def test_loss_is_the_mean_over_scored_tokens():
    ((ids, nats, weight),) = batches(1)
    loss = TokenNats()(ids, nats, weight)
    expected = (nats * weight).sum() / weight.sum()
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_loss_takes_logits_too():
    logits = np.random.default_rng(0).normal(size=(2, 3, 7)).astype("float32")
    ids = np.array([[3, 4, 5], [6, 3, 4]], "int32")
    shifted = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(shifted, ids[..., None], -1).mean()
    assert float(TokenNats()(ids, logits)) == pytest.approx(expected, rel=1e-5)
