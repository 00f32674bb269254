import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import ZeroPaddedWindows
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for
from tests.coding.exact_windows import ExactWindows

few = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SETTINGS = {
    "paper": (16, 14, False, 1, 1024),
    "delay": (16, 14, True, 1, 1024),
    "every_second": (24, 14, False, 2, 1024),
    "never": (16, 14, False, None, 1024),
    "never_delay": (24, 14, True, None, 1024),
    "short_context": (32, 16, False, None, 7),
    "short_context_delay": (32, 14, True, 3, 7),
    "128": (128, 24, False, 1, 1024),
}


@pytest.fixture(scope="module")
def models(text):
    return {
        "ngram": NGramModel.from_text(text, order=4),
        "unigram": UnigramModel.from_text(text),
        # Powers of two: here codes end in many zeros.
        "halves": UnigramModel(
            np.maximum(1, (1 << 20) >> np.arange(256).clip(max=30))
        ),
    }


def windows_of(
    model,
    window_bits=16,
    precision=14,
    delay=False,
    reset_every=1,
    context_bytes=1024,
):
    stepper = stepper_for(model, 32, context_bytes)
    return ZeroPaddedWindows(
        stepper, window_bits, precision, delay, reset_every
    )


def check(model, documents, values, exact=False):
    """Compare with unlimited integers."""
    rule = windows_of(model, *values)
    exact = ExactWindows(model, *values, exact)
    rows = rule.encode(documents)
    for text, row in zip(documents, rows, strict=True):
        windows = [
            (w.start, w.end, int.from_bytes(w.code, "big"), w.context)
            for w in row
        ]
        assert windows == exact.encode(text)
        assert b"".join(text[w.start : w.end] for w in row) == text
        before = [text[w.context : w.start] for w in row]
        decoded = rule.decode([w.code for w in row], before)
        codes = [window[2] for window in windows]
        assert decoded == list(map(exact.decode, codes, before))
        strings = [text[w.start : w.end] for w in row]
        wrong = sum(a != b for a, b in zip(decoded, strings, strict=True))
        assert rule.count_collisions(text) == (wrong, len(row))


@pytest.mark.parametrize("name", SETTINGS)
def test_windows_are_those_of_unlimited_integers(models, text, name):
    documents = [b"", b"\x00\xffa", text[:90], text[5000:5400]]
    check(models["ngram"], documents, SETTINGS[name])


@pytest.mark.parametrize("name", ["paper", "delay", "every_second", "never"])
def test_short_windows_are_as_if_nothing_was_rounded(models, text, name):
    documents = [text[:90], text[5000:5400]]
    check(models["ngram"], documents, SETTINGS[name], exact=True)


@few
@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=3),
    st.sampled_from(sorted(SETTINGS)),
    st.sampled_from(["ngram", "unigram"]),
)
def test_any_bytes_are_cut_as_by_unlimited_integers(models, documents, name, m):
    check(models[m], documents, SETTINGS[name])


def test_runs_of_a_probable_byte(models):
    # A window has hundreds of bytes, most of which add only zeros.
    values = (24, 14, False, 1, 1024)
    check(models["halves"], [b"\x00" * 400 + b"\x05\x00"], values)


def test_windows_collide_and_delayed_ones_less(models, text):
    sample = text[2000:5000]
    plain = windows_of(models["ngram"]).count_collisions(sample)
    delayed = windows_of(models["ngram"], delay=True)
    wrong, windows = delayed.count_collisions(sample)
    assert plain[0] > 0.1 * plain[1]
    assert wrong < 0.2 * plain[0]
    # Delayed bytes are coded again.
    assert windows > plain[1]


def test_fewer_resets_make_longer_windows(models, text):
    sample = text[2000:8000]
    sizes = [
        len(windows_of(models["ngram"], reset_every=every).encode([sample])[0])
        for every in (1, 2, None)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_document_is_cut_alone_as_in_company(make_m1, text):
    model = ByteLMModel(make_m1(hidden_dim=16))
    rule = windows_of(model, delay=True, reset_every=2)
    documents = [text[i : i + 7 * i] for i in range(9)]
    rows = rule.encode(documents)
    for document, row in zip(documents, rows, strict=True):
        assert rule.encode([document]) == [row]
        ends = [0, *(window.end for window in row)]
        assert [window.start for window in row] == ends[:-1]
        assert ends[-1] == len(document)
        assert all(a < b for a, b in itertools.pairwise(ends))


def test_odd_settings_are_refused(models):
    model = models["unigram"]
    for W in (14, 15, 20, 136, 0):
        with pytest.raises(ValueError, match="`window_bits` must be"):
            windows_of(model, W)
    with pytest.raises(TypeError, match=r"window_bits=16\.0"):
        windows_of(model, 16.0)
    with pytest.raises(ValueError, match="precision=16"):
        windows_of(model, 16, precision=16)
    for every in (0, -1, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="`reset_every` must"):
            windows_of(model, reset_every=every)
    with pytest.raises(ValueError, match="context_bytes=0"):
        windows_of(model, context_bytes=0)
    for odd in (model, None, 5):
        with pytest.raises(TypeError, match=r"`stepper` must.*Received"):
            ZeroPaddedWindows(odd)
