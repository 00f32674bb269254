import math

import keras
import numpy as np
import pytest

from keras_nc.layers import RelativeBias
from keras_nc.layers.relative_bias import distance_buckets
from keras_nc.layers.relative_bias import near_first


def t5_bucket(distance, num_buckets, max_distance):
    """The published formula for one distance of the causal form."""
    exact = num_buckets // 2
    if distance < exact:
        return distance
    scale = math.log(distance / exact) / math.log(max_distance / exact)
    return min(num_buckets - 1, exact + int(scale * (num_buckets - exact)))


@pytest.mark.parametrize("buckets, distance", [(32, 128), (8, 20), (16, 500)])
def test_buckets_follow_the_formula(buckets, distance):
    table = distance_buckets(buckets, distance)
    expected = [t5_bucket(d, buckets, distance) for d in range(distance + 1)]
    assert table.tolist() == expected


@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_diagonals_equal_a_look_up_per_pair(length):
    layer = RelativeBias(num_heads=3, num_buckets=8, max_distance=20)
    positions = np.arange(length, dtype="int32")
    fast = keras.ops.convert_to_numpy(layer(positions))
    slow = keras.ops.convert_to_numpy(layer(positions, positions))
    causal = np.tril(np.ones((length, length), dtype=bool))
    np.testing.assert_array_equal(fast[:, causal], slow[:, causal])
    # ... which itself is the table at the bucket of the distance.
    table = layer.get_weights()[0]
    buckets = distance_buckets(8, 20)
    for i in range(length):
        for j in range(i + 1):
            expected = table[buckets[min(i - j, 20)]]
            np.testing.assert_array_equal(slow[:, i, j], expected)


def test_heads_begin_by_looking_near():
    layer = RelativeBias(num_heads=4, num_buckets=8, max_distance=20)
    bias = keras.ops.convert_to_numpy(layer(np.arange(10, dtype="int32")))
    last = bias[:, -1, ::-1]  # of the last query, by distance
    assert (last[:, 0] == 0).all()
    assert (np.diff(last, axis=1) <= 0).all()
    np.testing.assert_allclose(last[:, 1], [-2, -0.5, -0.125, -0.03125])


@pytest.mark.parametrize("buckets, distance", [(2, 3), (64, 65), (32, 128)])
def test_every_bucket_has_a_bias_to_begin_with(buckets, distance):
    table = distance_buckets(buckets, distance)
    biases = near_first(table, buckets, num_heads=3)
    assert biases.shape == (buckets, 3)
    assert np.isfinite(biases).all()


def test_config_round_trip():
    layer = RelativeBias(num_heads=3, num_buckets=8, max_distance=20)
    again = RelativeBias.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_odd_buckets_are_refused():
    with pytest.raises(ValueError, match="num_buckets=7"):
        RelativeBias(num_heads=1, num_buckets=7)
