import pathlib
import pickle
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_nc.entropy_models import NGramModel


def sample(n, seed=0):
    rng = random.Random(seed)
    words = [rng.randbytes(rng.randrange(1, 6)) for _ in range(20)]
    return b" ".join(rng.choice(words) for _ in range(n))


def followers(strings, context):
    """Counts of the bytes that follow a context, in a Counter of strings."""
    n = len(context)
    counts = np.zeros(256)
    for string, count in strings.items():
        if len(string) == n + 1 and string[:n] == context:
            counts[string[n]] += count
    return counts


def reference(documents, order, min_count, starts, start_min_count, prefix):
    """The definition, with substrings in a Counter."""
    anywhere, at_starts = Counter(), Counter()
    base = 0
    for document in documents:
        for i in range(len(document)):
            longest = max(order, 9) + 1
            for n in range(min(longest, len(document) - i) + 1):
                anywhere[document[i : i + n]] += 1
                if base + i in starts:
                    at_starts[document[i : i + n]] += 1
        base += len(document)

    def mix(strings, context, row):
        counts = followers(strings, context)
        T = np.count_nonzero(counts)
        return (counts + T * row) / (counts.sum() + T) if T else row

    row = np.full(256, 1 / 256)
    for n in range(min(order, len(prefix)) + 1):
        context = prefix[len(prefix) - n :]
        if n and anywhere[context] < min_count:
            break
        row = mix(anywhere, context, row)
    if not prefix or at_starts[prefix] >= start_min_count:
        row = mix(at_starts, prefix, row)
    return row


@pytest.mark.parametrize("order, min_count", [(0, 1), (3, 1), (4, 3)])
def test_probabilities_are_the_definition(order, min_count):
    documents = [sample(80), b"", sample(50, seed=1), b"x"]
    text = b"".join(documents)
    starts = sorted(random.Random(1).sample(range(len(text)), 100))
    model = NGramModel.from_text(
        documents, order=order, min_count=min_count, start_min_count=2
    )
    refitted = model.refit(documents, np.array(starts))
    prefixes = [b"", b"\xfe\xfd", text[:1], b"x"]
    prefixes += [text[i : i + i % 7] for i in range(0, 400, 13)]
    settings = (documents, order, min_count)
    rows = model.probabilities(prefixes)
    new_rows = refitted.probabilities(prefixes)
    for prefix, row, new_row in zip(prefixes, rows, new_rows, strict=True):
        expected = reference(*settings, [], 2, prefix)
        np.testing.assert_allclose(row, expected, rtol=1e-12)
        expected = reference(*settings, starts, 2, prefix)
        np.testing.assert_allclose(new_row, expected, rtol=1e-12)


def test_rows_do_not_depend_on_the_batch_or_the_thread():
    text = sample(2000)
    model = NGramModel.from_text(text).refit(text, np.arange(0, len(text), 3))
    prefixes = [text[i : i + i % 9] for i in range(500)]
    rows = model.probabilities(prefixes)
    assert np.array_equal(rows[::-1], model.probabilities(prefixes[::-1]))
    for i in (0, 17, 499):
        assert np.array_equal(rows[i], model.probabilities([prefixes[i]])[0])
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(model.probabilities, [prefixes] * 4):
            assert np.array_equal(rows, result)


def test_rows_are_distributions():
    model = NGramModel.from_text(b"abracadabra" * 50)
    rows = model.probabilities([b"", b"abra", b"\0", b"abracadabra" * 5])
    assert rows.shape == (4, 256) and rows.dtype == np.float64
    assert (rows > 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
    assert model.probabilities([]).shape == (0, 256)


def test_documents_do_not_run_into_each_other():
    model = NGramModel.from_text([b"ab"] * 50, min_count=1)
    row = model.probabilities([b"ab"])[0]
    assert row[ord("a")] < 0.6  # b is never followed by a


def test_a_new_refit_forgets_the_old_one():
    text = sample(300)
    model = NGramModel.from_text(text)
    first, second = np.array([0, 5, 9]), np.array([1, 4, 30])
    direct = model.refit(text, second)
    indirect = model.refit(text, first).refit(text, second)
    prefixes = [b"", text[:1], text[1:3]]
    assert np.array_equal(
        direct.probabilities(prefixes), indirect.probabilities(prefixes)
    )


def test_models_survive_pickle():
    text = sample(300)
    model = NGramModel.from_text(text).refit(text, np.array([0, 7, 70]))
    copy = pickle.loads(pickle.dumps(model))
    prefixes = [b"", text[:3]]
    assert np.array_equal(
        model.probabilities(prefixes), copy.probabilities(prefixes)
    )


@pytest.mark.parametrize(
    "text, settings",
    [
        (b"", {}),
        ([], {}),
        ([b"", b""], {}),
        (b"a", {"order": -1}),
        (b"a", {"order": 256}),
        (b"a", {"min_count": 0}),
        (b"a", {"start_min_count": 0}),
        (b"a", {"order": 2.0}),
        (b"a", {"order": True}),
        (b"a", {"min_count": "2"}),
        (b"a", {"start_min_count": np.nan}),
    ],
)
def test_from_text_refuses(text, settings):
    with pytest.raises((TypeError, ValueError), match="Received"):
        NGramModel.from_text(text, **settings)


@pytest.mark.parametrize(
    "starts", [[], [-1], [3], [1, 1], [1, 0], [0.0], [[0, 1]]]
)
def test_refit_refuses_starts_outside_the_text(starts):
    model = NGramModel.from_text(b"abc")
    with pytest.raises(ValueError, match=r"ascending offsets.*Received"):
        model.refit(b"abc", np.array(starts))


@pytest.mark.parametrize("min_count", [None, 1, 2, 7])
@pytest.mark.parametrize("order", [0, 2, 5])
def test_parts_give_the_counts_of_the_whole(order, min_count):
    documents = [sample(60, seed) for seed in range(6)] + [b"", b"x"]
    settings = dict(order=order, min_count=min_count, start_min_count=min_count)
    expected = NGramModel.from_text(documents, **settings)
    for size in (1, 3, 8):
        parts = [
            documents[i : i + size] for i in range(0, len(documents), size)
        ]
        model = NGramModel.from_parts(list, parts, **settings)
        assert model.fingerprint == expected.fingerprint

    def starts_of(part):
        size = len(b"".join(part))
        return np.arange(0, size, 3)

    starts, base = [], 0
    for part in parts:
        starts.append(base + starts_of(part))
        base += len(b"".join(part))
    at_once = expected.refit(documents, np.concatenate(starts))
    refitted = model.refit_parts(lambda p: (p, starts_of(p)), parts)
    assert refitted.fingerprint == at_once.fingerprint
    assert refitted.fingerprint != model.fingerprint


def test_workers_count_parts(tmp_path):
    """Least counts that grow with the text, and parts of unequal sizes."""
    paths = []
    for number, size in enumerate((900, 50, 700, 1)):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(sample(size, number))
    with ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_nc.entropy_models.count_trie.BYTES_SHIFT", 8)
        patch.setattr("keras_nc.entropy_models.ngram.BYTES_SHIFT", 8)
        model = NGramModel.from_parts(
            pathlib.Path.read_bytes, paths, run=pool.map
        )
        text = [path.read_bytes() for path in paths]
        assert sum(map(len, text)) >> 8 > 10
        expected = NGramModel.from_text(text)
    assert model.fingerprint == expected.fingerprint


def test_parts_that_cannot_be_counted():
    for parts in ([], [[]], [[b""], [b""]]):
        with pytest.raises(ValueError, match="no bytes"):
            NGramModel.from_parts(list, parts)
    texts = iter([b"abc", b"abcd"])
    with pytest.raises(ValueError, match="second time"):
        NGramModel.from_parts(lambda part: next(texts), [0])
    model = NGramModel.from_text(b"abc")
    with pytest.raises(ValueError, match="ascending offsets"):
        model.refit_parts(lambda p: (b"abc", [2, 1]), [0])
