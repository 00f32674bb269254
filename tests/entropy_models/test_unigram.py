import numpy as np
import pytest

from keras_nc.entropy_models import UnigramModel


def test_counts_become_probabilities():
    model = UnigramModel.from_text([b"aab", b"b"])
    rows = model.probabilities([b"", b"abc", b"\0"])
    assert rows.shape == (3, 256) and rows.dtype == np.float64
    assert rows[:, ord("a")].tolist() == [3 / 260] * 3
    assert rows[:, 0].tolist() == [1 / 260] * 3
    assert model.counts[ord("b")] == 3
    assert model.probabilities([]).shape == (0, 256)


def test_no_text_is_uniform():
    assert (UnigramModel.from_text(b"").probabilities([b""]) == 1 / 256).all()


@pytest.mark.parametrize(
    "counts", [[1] * 255, [0] * 256, [-1] + [1] * 255, [0.5] * 256]
)
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match=r"256 non-negative.*Received"):
        UnigramModel(counts)


def test_the_model_keeps_its_counts():
    counts = np.ones(256, np.int64)
    model = UnigramModel(counts)
    counts[0] = 1000
    model.counts[1] = 1000
    assert (model.probabilities([b""]) == 1 / 256).all()
