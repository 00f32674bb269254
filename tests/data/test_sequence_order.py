import numpy as np
import pytest

from keras_nc.coding import END_ID
from keras_nc.coding import START_ID
from keras_nc.data import PackedSequences
from keras_nc.data import grain_dataset
from keras_nc.data import process_batches
from keras_nc.data import tf_dataset
from keras_nc.data import write_shards
from tests.data.conftest import B
from tests.data.conftest import T
from tests.data.conftest import assert_equal
from tests.data.conftest import leaves


def test_order_is_pinned(shards):
    # Another order would change every continued run.
    data = PackedSequences(shards, T, B, seed=5)
    order = data.mixed.parts[0].order
    assert order(0)[:8].tolist() == [96, 101, 59, 21, 183, 86, 179, 30]
    assert order(1)[:8].tolist() == [63, 116, 82, 45, 128, 28, 111, 75]


def targets(data):
    """Return the tokens of each row that is not empty, a list of lists."""
    rows = [
        ids[weight > 0].tolist()
        for _, y, sample_weight in data
        for ids, weight in zip(y, sample_weight, strict=True)
    ]
    return [row for row in rows if row]


def test_no_document_crosses_into_a_sequence(shards):
    """Sequences are those of the rule, written out slowly."""
    rows = [shards.document(i).tolist() for i in range(shards.num_documents)]
    parts = [row[i : i + T] for row in rows for i in range(0, len(row), T)]
    ends = np.cumsum(
        [shard["documents"] for shard in shards.manifest["shards"]]
    )
    assert len(ends) > 3, "the test needs several shards"
    firsts = {
        sum(-(-len(row) // T) for row in rows[:end]) for end in ends.tolist()
    }
    settings = dict(shuffle=False, packing="single")
    assert targets(PackedSequences(shards, T, B, **settings)) == parts
    rows_of_whole = [[]]
    for i, part in enumerate(parts):
        if i in firsts or len(rows_of_whole[-1]) + len(part) > T:
            rows_of_whole.append([])
        rows_of_whole[-1] += part
    settings["packing"] = "whole"
    assert targets(PackedSequences(shards, T, B, **settings)) == rows_of_whole
    shuffled = PackedSequences(
        shards, T, B, packing="whole", drop_remainder=False
    )
    assert sorted(targets(shuffled)) == sorted(rows_of_whole)


def test_document_masks_number_documents(shards):
    data = PackedSequences(shards, 40, B, packing="whole", document_masks=True)
    plain = PackedSequences(shards, 40, B, packing="whole")
    most = 0
    for (x, y, weight), other in zip(data, plain, strict=True):
        np.testing.assert_array_equal(y, other[1])
        np.testing.assert_array_equal(weight, other[2])
        for ids, mask, row, used in zip(
            x["token_ids"], x["padding_mask"], y, weight > 0, strict=True
        ):
            number, expected = 1, [START_ID]
            for i in np.flatnonzero(used):
                assert mask[i] == number
                assert ids[i] == expected[-1]
                number += row[i] == END_ID
                expected.append(START_ID if row[i] == END_ID else row[i])
            most = max(most, number)
        np.testing.assert_array_equal(
            x["padding_mask"] > 0, other[0]["padding_mask"] > 0
        )
    assert most > 2


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, make_shards):
    """Documents of one byte, those below 100 in the first shards."""
    documents = [bytes([i]) for i in range(256)]
    return [
        make_shards(part, tmp_path_factory.mktemp("mixed"), shard_tokens=50)
        for part in (documents[:100], documents[100:])
    ]


def test_mixture_has_the_shares_of_its_weights(mixed):
    settings = dict(seed=4, weights=[3, 1], packing="single")
    data = PackedSequences(mixed, T, 64, steps=256, **settings)
    rows = targets(data)
    assert len(rows) == 256 * 64
    assert all(len(row) == 2 for row in rows)
    firsts = np.array(rows)[:, 0] - 3
    assert (firsts < 100).sum() == 3 * 64 * 64
    # Each part is gone through epoch by epoch, whatever the other one does.
    for of_part in (firsts[firsts < 100], firsts[firsts >= 100]):
        count = len(set(of_part.tolist()))
        assert count in (100, 156)
        epoch, following = of_part[:count], of_part[count : 2 * count]
        assert sorted(epoch) == sorted(following) == sorted(set(of_part))
        assert epoch.tolist() != following.tolist()
    # It continues at any step.
    rest = PackedSequences(mixed, T, 64, steps=3, start_step=250, **settings)
    for index in range(3):
        assert_equal(rest[index], data[250 + index])
    by_tokens = PackedSequences(mixed, T, 64)
    quotas = by_tokens.mixed.mixture.quotas
    assert abs(quotas[0] / quotas.sum() - 200 / 512) < 1e-4


def test_odd_mixtures(shards, mixed, tmp_path, tokenizer):
    for weights in ([1], [1, 0], [1, -1], [1, float("nan")], [1, "a"]):
        with pytest.raises(ValueError, match="weight"):
            PackedSequences(mixed, T, B, weights=weights)
    with pytest.raises(ValueError, match="at least one of"):
        PackedSequences(mixed, T, B, weights=[1, 1e-9])
    with pytest.raises(ValueError, match="0 shards"):
        PackedSequences([], T, B)
    with pytest.raises(ValueError, match="'loose'"):
        PackedSequences(shards, T, B, packing="loose")
    foreign = write_shards([b"a"], type(tokenizer)(300), tmp_path)
    with pytest.raises(ValueError, match="tokenizer that made them"):
        PackedSequences([shards, foreign], T, B)


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": False},
        {"seed": 3, "steps": 20, "start_step": 7, "short_length": 1},
    ],
)
def test_processes_divide_the_rows(shards, settings):
    data = PackedSequences(shards, T, 6, **settings)
    assert process_batches(data) is data
    parts = [process_batches(data, i, 3) for i in range(3)]
    for index in range(len(data)):
        joined = [
            np.concatenate(arrays)
            for arrays in zip(
                *(leaves(part[index]) for part in parts), strict=True
            )
        ]
        for array, expected in zip(joined, leaves(data[index]), strict=True):
            np.testing.assert_array_equal(array, expected)
    with pytest.raises(ValueError, match="processes=4"):
        process_batches(data, 0, 4)
    with pytest.raises(ValueError, match="from 0 to 2"):
        process_batches(data, 3, 3)


def test_every_pipeline_gives_the_same_batches(shards, mixed):
    pytest.importorskip("grain")
    settings = dict(seed=1, steps=9, start_step=5, weights=[1, 2])
    settings.update(packing="whole", document_masks=True)
    data = PackedSequences([shards, mixed[0]], T, 4, **settings)
    data = process_batches(data, 1, 2)
    grains = grain_dataset(data)
    assert len(grains) == 9
    iterator = iter(grains.to_iter_dataset())
    for index in range(4):
        assert_equal(next(iterator), data[index])
    state = iterator.get_state()
    again = iter(grains.to_iter_dataset())
    again.set_state(state)
    for index in range(4, 9):
        assert_equal(next(again), data[index])
    dataset = tf_dataset(data)
    assert dataset.element_spec[1].shape == (2, T)
    for index, batch in enumerate(dataset):
        assert_equal(batch, data[index])
