"""Windows of words and phrases, and how a text and a model choose them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding import WordText
from keras_nc.coding import candidates
from keras_nc.coding import group_counts
from keras_nc.coding import units
from keras_nc.coding import word_text
from keras_nc.coding.candidates import CandidateText
from keras_nc.coding.kernels import runs
from keras_nc.coding.units import Windows
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from tests.coding.reference_parses import begins_word


def words_of(text):
    """Cut a text at the boundaries of `likely_words`."""
    starts = [i for i in range(len(text)) if begins_word(text, i)]
    ends = [*starts, len(text)][1:]
    return [text[i:j] for i, j in zip(starts, ends, strict=True)]


def windows_of(codebook):
    ids = np.flatnonzero(codebook.token_lengths).tolist()
    return [codebook.token_bytes(i) for i in ids]


@pytest.fixture(scope="module")
def phrases(text):
    return Codebook.build(text=text, window_bits=11)


documents = st.lists(
    st.lists(st.sampled_from(list(b"ab  ,.\n")), max_size=30).map(bytes),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(documents=documents)
def test_strings_are_counted_as_they_occur(documents):
    text = CandidateText(WordText.from_documents(documents), {})
    words = [words_of(document) for document in documents]
    assert [word for document in words for word in document] == [
        text.letters[start : start + length].tobytes()
        for i in text.sequence[text.sequence > 0] - 1
        for start, length in [(text.starts[i], text.lengths[i])]
    ]
    counts = {}
    for word in (word for document in words for word in document):
        for i in range(len(word)):
            for j in range(i + 2, min(i + 4, len(word)) + 1):
                counts[word[i:j]] = counts.get(word[i:j], 0) + 1
    table = text.count_parts(10_000, 4)
    found = dict(zip(text.strings_of(table), table[:, 3], strict=True))
    assert found == {s: n for s, n in counts.items() if n > 1}
    table = text.count_phrases(10_000, 12)
    found = dict(zip(text.strings_of(table), table[:, 3], strict=True))
    assert found == {
        run: len(places)
        for run, places in runs_of(words, 12).items()
        if len(places) > 1
    }


def runs_of(documents, longest):
    """Return where runs of words begin, by their bytes."""
    runs = {}
    place = 0
    for document in documents:
        marks = [len(w) == 1 and w in b",.\n" for w in document]
        for i in range(len(document)):
            words = 1
            for j in range(i + 1, len(document)):
                words += not (marks[j] and marks[j - 1])
                run = b"".join(document[i : j + 1])
                if words > 5 or len(run) > longest:
                    break
                runs.setdefault(run, []).append((place + i, j - i + 1))
        place += len(document) + 1
    return runs


@settings(deadline=None, max_examples=60)
@given(
    documents=documents,
    most=st.integers(1, 30),
    longest=st.integers(1, 12),
    counter_bits=st.integers(4, 8),
    constants=st.fixed_dictionaries(
        {
            "FIRST_WORDS": st.integers(1, 40),
            "GROWTH": st.integers(2, 4),
            "PIECE_WORDS": st.integers(1, 40),
        }
    ),
)
def test_the_best_phrases_are_found_in_a_text_of_any_size(
    documents, most, longest, counter_bits, constants
):
    """Counting more and more of the text gives what counting all of it does."""
    text = CandidateText(WordText.from_documents(documents), {})
    expected = []
    counted = runs_of([words_of(document) for document in documents], longest)
    for run, places in counted.items():
        saved = len(places) * (len(run) - 1)
        (first, words) = places[0]
        if len(places) > 1:
            row = [first, len(run), words, len(places)]
            expected.append((-saved, words, first, row))
    chosen = [row for *_, row in sorted(expected)[:most]]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in constants.items():
            patch.setattr(candidates, name, value)
        patch.setattr(runs, "COUNTER_BITS", counter_bits)
        table = text.count_phrases(most, longest)
    assert table.tolist() == sorted(chosen, key=lambda row: (row[2], row[0]))


FIELDS = ("letters", "lengths", "counts", "sequence")


@settings(deadline=None, max_examples=60)
@given(documents=documents, cuts=st.lists(st.integers(0, 4), max_size=3))
def test_parts_of_a_text_join_to_what_it_is(documents, cuts):
    together = WordText.from_documents(documents)
    cuts = [0, *sorted(cuts), len(documents)]
    parts = [documents[i:j] for i, j in itertools.pairwise(cuts)]
    parts = [WordText.from_documents(part) for part in parts]
    # Parts may be joined in any grouping.
    for joined in (
        WordText.join(parts),
        WordText.join([WordText.join(parts[:2]), WordText.join(parts[2:])]),
    ):
        for field in FIELDS:
            array, expected = getattr(joined, field), getattr(together, field)
            assert array.dtype == expected.dtype
            assert array.tolist() == expected.tolist()
        assert joined.head == together.head == b"".join(documents)


def expected_uses(document, windows):
    """Sum the probabilities of all cuts, with windows that cost 16 bits."""
    words = words_of(document)
    ends = list(itertools.accumulate(map(len, words), initial=0))

    def cuts(start):
        if start == len(document):
            yield ()
        for window in windows:
            end = start + len(window)
            if document[start:end] != window or not window:
                continue
            inside = any(i <= start and end <= j for i, j in
                         itertools.pairwise(ends))  # fmt: skip
            if inside or (start in ends and end in ends):
                yield from ((window, *rest) for rest in cuts(end))

    found = list(cuts(0))
    weights = np.array([2.0 ** (-16 * len(cut)) for cut in found])
    uses = dict.fromkeys(windows, 0)
    for cut, weight in zip(found, weights / weights.sum(), strict=True):
        for window in cut:
            uses[window] += weight
    return uses


def test_uses_are_sums_over_all_cuts(monkeypatch):
    monkeypatch.setattr("keras_nc.coding.units.ROUNDS", 1)
    document = b"abab ab. ab abab"
    text = CandidateText(WordText.from_documents([document] * 10_000), {})
    parts = text.count_parts(1000, 3)
    found = Windows(text, np.concatenate([parts, text.count_phrases(1000, 9)]))
    assert any(len(words_of(string)) > 1 for string in found.strings)
    uses, costs, _ = found.count_uses(0)
    assert costs[0] == 0 and set(costs[1:].tolist()) == {16 << 10}
    expected = expected_uses(document, found.strings)
    for string, count in zip(found.strings, uses[1:], strict=True):
        # Costs are rounded to 2^-10 bits, and small probabilities to 2^-20.
        assert count == pytest.approx(10_000 * expected[string], 2e-3, 2)


def test_codebook_of_parts_on_disk(text, phrases, tmp_path, monkeypatch):
    """Parts, small blocks, several tables and threads give the same bytes."""
    documents = [text[i : i + 3000] for i in range(0, len(text), 3000)]
    monkeypatch.setattr(group_counts, "LONGEST", 90)
    expected = Codebook.build(text=documents, window_bits=11)
    monkeypatch.setattr(word_text, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(candidates, "FIRST_WORDS", 1_000)
    monkeypatch.setattr(candidates, "PIECE_WORDS", 700)
    monkeypatch.setattr(candidates, "RUNS_OF_A_TABLE", 1_000)
    monkeypatch.setattr(group_counts, "PIECE_WORDS", 300)
    monkeypatch.setattr(group_counts, "THREAD_WORDS", 200)
    monkeypatch.setattr(units, "THREAD_VOCABULARY", 50)
    half = len(documents) // 2
    for name, part in (("a", documents[:half]), ("b", documents[half:])):
        WordText.from_documents(part, tmp_path / name)
    parts = (WordText.load(tmp_path / name) for name in "ab")
    WordText.join(parts, tmp_path / "joined")
    joined = WordText.load(tmp_path / "joined")
    assert isinstance(joined.sequence.base, np.memmap)
    assert Codebook.build(text=joined, window_bits=11) == expected
    assert sorted(p.name for p in (tmp_path / "joined").iterdir()) == [
        "sequence.int32",
        "words.npz",
    ]
    for parse in ("greedy", "aligned"):
        codebook = Codebook.build(text=joined, window_bits=9, parse=parse)
        other = Codebook.build(text=documents, window_bits=9, parse=parse)
        assert codebook == other


@pytest.mark.parametrize("memory_bytes", [1, 5_000, 10**6])
def test_large_texts_are_numbered_on_disk(text, tmp_path, memory_bytes):
    """The numbers are the same, and the folder goes, also after an error."""
    documents = [text[i : i + 700] for i in range(0, len(text), 700)]
    expected = WordText.from_documents(documents)
    with (
        pytest.raises(KeyError),
        WordText.temporary(iter(documents), tmp_path, memory_bytes) as words,
    ):
        assert (words.folder is None) == (len(text) <= memory_bytes)
        assert len(list(tmp_path.iterdir())) == (words.folder is not None)
        for name in ("letters", "lengths", "counts", "sequence"):
            found, right = getattr(words, name), getattr(expected, name)
            assert found.tolist() == right.tolist()
        assert words.head == expected.head
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_numbered_words_are_refused_where_text_is_needed(tmp_path):
    words = WordText.from_documents([b"some words"])
    model = UnigramModel([1] * 256)
    for options in ({"units": "any", "model": model}, {"parse": "likely"}):
        with pytest.raises(ValueError, match="Pass the documents"):
            Codebook.build(text=words, window_bits=9, **options)
    with pytest.raises(ValueError, match="no bytes of text"):
        Codebook.build(text=WordText.from_documents([]), window_bits=9)
    with pytest.raises(ValueError, match="must be complete"):
        WordText.load(tmp_path)
    WordText.from_documents([b"some words"], tmp_path)
    assert WordText.load(tmp_path).sequence.tolist() == [1, 2, 0]
    path = tmp_path / "sequence.int32"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="belong together"):
        WordText.load(tmp_path)


def test_windows_are_parts_of_words_or_phrases(phrases, text):
    several = [w for w in windows_of(phrases) if len(words_of(w)) > 1]
    assert 100 < len(several) < 1500
    assert all(window in text for window in several)
    words = Codebook.build(text=text, window_bits=11, units="words")
    assert all(len(words_of(window)) == 1 for window in windows_of(words))
    assert len(phrases.encode(text)) < 0.9 * len(words.encode(text))


def test_likelihood_beats_bytes_in_bits(text):
    half = len(text) // 2
    bits = {}
    for prune in ("likelihood", "bytes", False):
        codebook = Codebook.build(text=text[:half], window_bits=10, prune=prune)
        uses = np.bincount(codebook.encode(text[half:]), minlength=1024)
        shares = uses[uses > 0] / uses.sum()
        bits[prune] = -np.log2(shares) @ uses[uses > 0]
    assert bits["likelihood"] < bits["bytes"]
    assert bits["likelihood"] < bits[False]


def test_a_price_makes_tokens_longer(text):
    sizes = [
        Codebook.build(text=text, window_bits=10, price=price).encode(text).size
        for price in (0, 2, 8)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_model_knows_strings_that_the_text_lacks(text):
    half = len(text) // 2
    model = NGramModel.from_text(text[half:])
    few = text[:2000]
    alone = Codebook.build(text=few, window_bits=9)
    mixed = Codebook.build(model, few, window_bits=9)
    only = Codebook.build(model, window_bits=9)
    sizes = [len(c.encode(text[half:])) for c in (alone, mixed, only)]
    assert sizes[1] < 0.9 * sizes[0] and sizes[2] < 0.9 * sizes[0]
    assert any(window not in text[:2000] for window in windows_of(mixed))


def test_other_parses_can_cut_phrases(phrases, text):
    for parse in ("greedy", "aligned", "likely"):
        codebook = Codebook.build(text=text, window_bits=11, parse=parse)
        assert windows_of(codebook) == windows_of(phrases)
        assert codebook.decode(codebook.encode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        bytes(range(256)) * 20,
        b"ab" * 5000,
        np.random.default_rng(0).bytes(20_000),
        "\u6c49\u5b57\u6587\u672c\u6ca1\u6709\u7a7a\u683c".encode() * 100,
        b" " * 400 + b"\n" * 400 + b"she sells sea shells by the shore. " * 9,
    ],
)
def test_text_without_words(text):
    try:
        codebook = Codebook.build(text=text, window_bits=9)
    except ValueError as error:
        # As few different strings as this cannot fill a codebook.
        assert "509 windows needs a text with as many" in str(error)
        strings = {
            text[i:j]
            for i in range(len(text))
            for j in range(i + 1, min(i + 64, len(text)) + 1)
        }
        assert len(strings | {bytes([b]) for b in range(256)}) < 509
        return
    assert np.count_nonzero(codebook.token_lengths) == 509
    assert codebook.decode(codebook.encode(text)) == text


@pytest.mark.parametrize("units", ["phrases", "words"])
@pytest.mark.parametrize("prune", ["likelihood", "bytes", False])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_more_windows_than_candidates(units, prune, bits):
    """What the text repeats is not enough: any of its strings are taken."""
    text = np.random.default_rng(0).bytes(1 << bits)
    codebook = Codebook.build(
        text=text, window_bits=bits, units=units, prune=prune
    )
    windows = windows_of(codebook)
    assert len(windows) == (1 << bits) - 3
    assert all(len(window) == 1 or window in text for window in windows[::99])
    assert codebook.decode(codebook.encode(text)) == text


def test_strings_may_be_late_in_the_text(monkeypatch):
    """The beginning of a text may have no strings, and all of it enough."""
    monkeypatch.setattr("keras_nc.coding.word_text.HEAD_BYTES", 1000)
    monkeypatch.setattr("keras_nc.coding.units.HEAD_BYTES", 1000)
    monkeypatch.setattr("keras_nc.coding.candidates.PLACES", 300)
    late = np.random.default_rng(0).bytes(200)
    texts = [bytes(2000) + late + bytes(2000), b"no", late[::-1]]
    codebook = Codebook.build(text=texts, window_bits=9)
    windows = windows_of(codebook)
    assert len(windows) == 509
    assert all(any(w in text for text in texts) for w in windows if len(w) > 1)


def test_a_text_that_repeats_has_few_strings(monkeypatch):
    """The error counts all strings of up to `max_window_bytes` bytes."""
    monkeypatch.setattr("keras_nc.coding.candidates.PLACES", 50)
    text = b"ab cd. " * 40 + b"ef" + b"ab cd. " * 40
    strings = {text[i : i + n] for n in range(1, 9) for i in range(len(text))}
    strings |= {bytes([b]) for b in range(256)}
    with pytest.raises(
        ValueError, match=f"a text with {len(strings)} of at most 8 "
    ):
        Codebook.build(text=text, window_bits=9, max_window_bytes=8)


@settings(deadline=None, max_examples=30)
@given(data=st.binary(max_size=400))
def test_any_bytes_come_back(phrases, data):
    assert phrases.decode(phrases.encode(data)) == data


@pytest.mark.parametrize(
    "options, match",
    [
        (dict(units="letters"), "units"),
        (dict(units="phrases", rounds=1), "no allocation and no rounds"),
        (dict(units="words", allocation="tunstall"), "no allocation and no"),
        (dict(price=-1), "0 to 16.*-1"),
        (dict(price=float("nan")), "0 to 16.*nan"),
        (dict(model_tokens=0), "model_tokens"),
        (dict(text=None), "no bytes of text"),
        (dict(text=[b""]), "no bytes of text"),
        (dict(text=b"abc"), "as many different strings.*259"),
        (dict(model=UnigramModel, text=b"abc"), "entropy model"),
    ],
)
def test_bad_input_is_refused(text, options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        Codebook.build(**{"text": text, "window_bits": 9, **options})
