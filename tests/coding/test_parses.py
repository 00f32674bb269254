"""Compare all parses with their definitions; test pruned codebooks."""

import functools
import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import Codebook
from keras_nc.coding import parses
from keras_nc.coding.window_choice import window_costs
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from tests.coding import reference_parses
from tests.coding.conftest import UNREFINED

PARSES = list(parses.PARSES)
ALPHABET = b"ab _,\xc3\xa9"
texts = st.lists(st.sampled_from(list(ALPHABET)), max_size=40).map(bytes)
quick = settings(deadline=None, max_examples=60)


@functools.cache
def by_hand(parse, seed):
    """A small codebook whose windows lack some of their prefixes."""
    rng = random.Random(seed)
    windows = {bytes([b]) for b in range(256)}
    while len(windows) < 256 + 60:
        length = rng.choice([2, 2, 3, 4, 6])
        windows.add(bytes(rng.choices(ALPHABET, k=length)))
    windows = dict(enumerate(sorted(windows), 3))
    costs = None
    if parse.startswith("likely"):
        costs = np.zeros(512, np.uint16)
        costs[list(windows)] = [rng.randrange(1, 9) for _ in windows]
    return Codebook(
        windows,
        window_bits=9,
        max_window_bytes=6,
        allocation="tunstall",
        parse=parse,
        costs=costs,
    )


def windows_of(codebook, text):
    return [codebook.token_bytes(i) for i in codebook.encode(text)]


def expected_windows(codebook, text):
    ids = np.flatnonzero(codebook.token_lengths).tolist()
    windows = {codebook.token_bytes(i): i for i in ids}
    costs = codebook._fields["costs"]
    costs = {w: int(costs[i]) for w, i in windows.items()} if costs.size else {}
    return reference_parses.parse(windows, text, codebook.parse, costs)


@quick
@given(text=texts, seed=st.integers(0, 2))
@pytest.mark.parametrize("parse", PARSES)
def test_parses_are_their_definitions(parse, text, seed):
    codebook = by_hand(parse, seed)
    assert windows_of(codebook, text) == expected_windows(codebook, text)


@quick
@given(text=texts, added=texts, seed=st.integers(0, 2))
@pytest.mark.parametrize("parse", PARSES)
def test_prompts_hold_what_may_come_next(parse, text, added, seed):
    codebook = by_hand(parse, seed)
    prompt = codebook.split_prompt(text)
    committed = len(text) - len(prompt.remainder)
    assert text[committed:] == prompt.remainder
    assert codebook.decode(prompt.ids) == text[:committed]
    assert len(prompt.next_codes) == len(prompt.remainder)
    ids = codebook.encode(text + added).tolist()
    assert ids[: len(prompt.ids)] == prompt.ids.tolist()
    at = 0
    for i in ids:
        if committed <= at < len(text):
            low, high, others = prompt.next_codes[at - committed]
            assert low <= i < high or i in others
        at += len(codebook.token_bytes(i))
    for k, (low, high, others) in enumerate(prompt.next_codes):
        left = prompt.remainder[k:]
        assert all(
            codebook.token_bytes(i).startswith(left)
            for i in range(low, high)
            if codebook.token_lengths[i]
        )
        for i in others:
            window = codebook.token_bytes(i)
            assert left.startswith(window) and left != window


@quick
@given(parts=st.lists(texts, max_size=5), seed=st.integers(0, 2))
@pytest.mark.parametrize("parse", PARSES)
def test_parts_of_a_text_are_cut_as_the_whole(parse, parts, seed):
    codebook = by_hand(parse, seed)
    ids, rest = [], b""
    for part in parts:
        part = rest + part
        committed, size = codebook.encode_part(part)
        ids += committed.tolist()
        rest = part[size:]
    ids += codebook.encode(rest).tolist()
    assert ids == codebook.encode(b"".join(parts)).tolist()


@settings(deadline=None, max_examples=20)
@given(data=st.binary(max_size=300))
@pytest.mark.parametrize("parse", PARSES)
def test_any_bytes_come_back(pruned, parse, data):
    assert pruned[parse].decode(pruned[parse].encode(data)) == data


@pytest.mark.parametrize("parse", ["likely", "likely_aligned", "likely_words"])
def test_blocks_do_not_matter(parse):
    rng = random.Random(0)
    codebook = by_hand(parse, 0)
    # Longer than a block, and parts without any word boundary.
    text = bytes(rng.choices(ALPHABET, k=70_000)) + b"ab" * 40_000
    assert windows_of(codebook, text) == expected_windows(codebook, text)
    documents = [text, b"", text[:7]]
    ids, offsets = codebook.encode_batch(documents)
    for i, document in enumerate(documents):
        own = ids[offsets[i] : offsets[i + 1]]
        assert own.tolist() == codebook.encode(document).tolist()


@pytest.mark.parametrize(
    "text, marked",
    [
        (b"she sells", "she| sells"),
        (b"(a+b1)", "(|a|+|b1|)"),
        (b"x.\n    y", "x|.\n|    |y"),
        (b"don't_stop", "don't_stop"),
        ("d\u00e9j\u00e0 vu".encode(), "d\u00e9j\u00e0| vu"),
        (b"a  b", "a|  |b"),
    ],
)
def test_where_word_boundaries_lie(text, marked):
    check_boundaries("aligned", text, marked)


@pytest.mark.parametrize(
    "text, marked",
    [
        (b"she sells", "she| sells"),
        (b"a (b), c", "a| (|b|)|,| c"),
        (b"x.\n\n    (y", "x|.|\n|\n|    |(|y"),
        (b"don't_stop", "don't_stop"),
        (b" a  b ", " a|  |b| "),
        (b"  ,", "  |,"),
    ],
)
def test_where_the_words_of_likely_words_begin(text, marked):
    check_boundaries("likely_words", text, marked)


def check_boundaries(parse, text, marked):
    offsets = np.array([0, len(text)])
    array = np.frombuffer(text, np.uint8)
    marks = parses.PARSES[parse].mark(array, offsets)
    cuts = [0, *np.flatnonzero(marks[1:]) + 1, len(text)]
    parts = [text[i:j] for i, j in itertools.pairwise(cuts)]
    assert b"|".join(parts).decode() == marked


@quick
@given(text=texts, seed=st.integers(0, 2))
@pytest.mark.parametrize("parse", PARSES)
def test_text_may_be_divided_where_the_record_says(parse, text, seed):
    codebook = by_hand(parse, seed)
    record = parses.PARSES[parse]
    array = np.frombuffer(text, np.uint8)
    windows = windows_of(codebook, text)
    at = 0
    for i, window in enumerate(windows):
        if at and record.may_divide(array, at):
            assert windows_of(codebook, text[at:]) == windows[i:]
        at += len(window)


def test_parses_stay_as_they_are():
    # Codebook files name them.
    names = ["greedy", "aligned", "flexible", "likely", "likely_aligned"]
    names.append("likely_words")
    assert list(parses.PARSES) == names
    for name, parse in parses.PARSES.items():
        assert parse.name == name
        assert parse.weighs_windows == name.startswith("likely")
        assert not parse.first or not parses.PARSES[parse.first].weighs_windows


def run_bytes(trie, costs, marks, text, offsets, ids, id_offsets):
    """A kernel, in Python: every byte is a window."""
    single = np.flatnonzero(trie.lengths == 1)  # in the order of the bytes
    ids[:] = single[text]
    id_offsets[:] = offsets
    return text.size, -1


def test_a_new_parse_is_one_record(ngram, text, tmp_path, monkeypatch):
    record = parses.Parse("bytes", run_bytes, lambda ends, *_: ends[:1])
    monkeypatch.setitem(parses.PARSES, "bytes", record)
    for prune in (False, True):
        codebook = Codebook.build(
            ngram, text, window_bits=9, units="any", parse="bytes", prune=prune
        )
        assert codebook.parse == "bytes"
        codebook.save(tmp_path / "codebook.npz")
        codebook = Codebook.load(tmp_path / "codebook.npz")
        ids, offsets = codebook.encode_batch([b"ab", b"", b"c"])
        assert [codebook.token_bytes(i) for i in ids] == [b"a", b"b", b"c"]
        assert offsets.tolist() == [0, 2, 2, 3]
        assert codebook.decode(codebook.encode(text)) == text
        prompt = codebook.split_prompt(b"ab")
        assert (len(prompt.ids), prompt.remainder) == (2, b"")


@pytest.fixture(scope="module")
def pruned(text):
    model = NGramModel.from_text(text, order=4)
    return {
        parse: Codebook.build(
            model,
            text,
            window_bits=10,
            allocation="tunstall",
            parse=parse,
            prune=True,
            rounds=1,
        )
        for parse in PARSES
    }


@pytest.mark.parametrize("parse", PARSES)
def test_pruned_windows_hold_more_text(pruned, text, parse):
    codebook = pruned[parse]
    assert codebook.parse == parse
    assert np.count_nonzero(codebook.token_lengths) == 1021
    assert all(codebook.find(bytes([b])) is not None for b in range(256))
    model = NGramModel.from_text(text, order=4)
    closed = Codebook.build(
        model,
        text,
        window_bits=10,
        allocation="tunstall",
        parse=parse,
        rounds=1,
        prune=False,
    )
    assert len(codebook.encode(text)) < 0.95 * len(closed.encode(text))
    assert codebook != closed


def test_arithmetic_codebooks_can_be_pruned(text):
    model = NGramModel.from_text(text, order=4)
    codebook = Codebook.build(
        model,
        text,
        window_bits=9,
        prune=True,
        allocation="arithmetic",
        parse="greedy",
        rounds=0,
    )
    closed = Codebook.paper(model, window_bits=9)
    assert len(codebook.encode(text)) < len(closed.encode(text))
    assert codebook.decode(codebook.encode(text)) == text


def test_aligned_windows_end_at_words(pruned, text):
    inside = {}
    for parse in ("greedy", "aligned", "likely", "likely_aligned"):
        ids = pruned[parse].encode(text)
        ends = np.cumsum(pruned[parse].token_lengths[ids])[:-1]
        cut = [not reference_parses.is_boundary(text, i) for i in ends.tolist()]
        inside[parse] = np.mean(cut)
    assert inside["aligned"] < 0.7 * inside["greedy"]
    assert inside["likely_aligned"] < 0.8 * inside["likely"]


def test_costs_are_bits():
    lengths = np.array([0, 1, 1, 2], np.uint8)
    costs = window_costs(np.array([0, 7, 3, 3]), lengths)
    assert costs.tolist() == [0, 1024, 2048, 2048]


@pytest.mark.parametrize("parse", PARSES)
def test_saved_codebooks_come_back(pruned, tmp_path, parse):
    pruned[parse].save(tmp_path / "codebook.npz")
    again = Codebook.load(tmp_path / "codebook.npz")
    assert again == pruned[parse]
    assert again.encode(b"the end").tolist() == (
        pruned[parse].encode(b"the end").tolist()
    )
    fingerprints = {codebook.fingerprint for codebook in pruned.values()}
    assert len(fingerprints) == len(PARSES)


def test_costs_are_part_of_the_fingerprint():
    codebook = by_hand("likely", 0)
    costs = codebook._fields["costs"].copy()
    costs[np.flatnonzero(costs)[0]] += 1
    ids = np.flatnonzero(codebook.token_lengths).tolist()
    other = Codebook(
        {i: codebook.token_bytes(i) for i in ids},
        window_bits=9,
        max_window_bytes=6,
        allocation="tunstall",
        parse="likely",
        costs=costs,
    )
    assert other.fingerprint != codebook.fingerprint


@pytest.mark.parametrize("parse, costs", [("likely", None), ("greedy", 512)])
def test_costs_belong_to_the_parse(parse, costs):
    windows = {i + 3: bytes([i]) for i in range(256)}
    if costs:
        costs = np.ones(costs, np.uint16)
    with pytest.raises(ValueError, match="costs for parse"):
        Codebook(
            windows,
            window_bits=9,
            max_window_bytes=1,
            allocation="tunstall",
            parse=parse,
            costs=costs,
        )


@pytest.mark.parametrize(
    "options", [{}, dict(prune=True), dict(parse="likely"), dict(rounds=1)]
)
@pytest.mark.parametrize("nothing", [None, b"", [], [b"", b""]])
def test_text_is_needed(ngram, options, nothing):
    options = {**UNREFINED, **options} if options else dict(units="any")
    with pytest.raises(ValueError, match="no bytes of text") as error:
        Codebook.build(ngram, nothing, window_bits=9, **options)
    for way_out in ("Pass the text", "Codebook.paper(model, window_bits="):
        assert way_out in str(error.value)
    assert Codebook.build(ngram, nothing, window_bits=9, **UNREFINED)


def test_a_model_without_refit_can_be_pruned(text):
    model = UnigramModel.from_text(text)
    codebook = Codebook.build(model, text, window_bits=9, units="any")
    assert codebook.decode(codebook.encode(text)) == text
    with pytest.raises(ValueError, match="refit"):
        Codebook.build(model, text, window_bits=9, rounds=1)
