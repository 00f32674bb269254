import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from tests.coding.conftest import UNREFINED
from tests.coding.conftest import windows_of


@pytest.mark.parametrize("allocation", ["arithmetic", "tunstall"])
def test_windows_end_at_max_window_bytes(allocation):
    zeros = UnigramModel([10_000] + [1] * 255)
    codebook = Codebook.build(
        zeros,
        window_bits=12,
        allocation=allocation,
        max_window_bytes=4,
        **UNREFINED,
    )
    assert codebook.encode(bytes(9)).size == 3
    low, high = codebook.prefix_range(bytes(4))
    if allocation == "arithmetic":
        # Codes that the longest window leaves over stand for nothing.
        assert high - low > 1
        with pytest.raises(ValueError, match=f"id {low + 1} at position 2"):
            codebook.decode([2, low, low + 1], skip_special=True)
        with pytest.raises(ValueError, match="stand for a window"):
            codebook.token_bytes(low + 1)
    assert codebook.split_prompt(bytes(4)).remainder == b""
    assert codebook.split_prompt(bytes(7)).remainder == bytes(3)


@pytest.mark.parametrize("allocation", ["arithmetic", "tunstall"])
@pytest.mark.parametrize("longest", [1, 2, 255])
def test_shortest_and_longest_windows(allocation, longest):
    zeros = UnigramModel([1_000_000] + [0] * 254 + [1])
    codebook = Codebook.build(
        zeros,
        window_bits=9,
        allocation=allocation,
        max_window_bytes=longest,
        **UNREFINED,
    )
    data = bytes(1000) + b"any" + bytes(3)
    assert codebook.decode(codebook.encode(data)) == data
    assert codebook.token_lengths.max() <= longest


PROCESS = """
import sys
from keras_nc.coding import Codebook
assert "numba" not in sys.modules
from keras_nc.entropy_models.ngram import NGramModel
text = b"a fresh process counts the same and shares the same " * 30
model = NGramModel.from_text(text)
for allocation in ("arithmetic", "tunstall"):
    codebook = Codebook.build(
        model,
        text,
        window_bits=10,
        allocation=allocation,
        parse="greedy",
        prune=False,
        rounds=2,
    )
    print(codebook.fingerprint)
"""


def test_a_fresh_process_builds_the_same(capsys):
    exec(PROCESS.replace("assert", "True or"), {})
    here = capsys.readouterr().out.split()
    there = subprocess.run(
        [sys.executable, "-c", PROCESS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    ).stdout.split()
    assert len(here) == 2 and there == here


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"window_bits": 8}, "9 to 16.*window_bits=8"),
        ({"window_bits": 17}, "9 to 16.*window_bits=17"),
        ({"allocation": "huffman"}, "huffman"),
        ({"max_window_bytes": 0}, "1 to 255.*0"),
        ({"max_window_bytes": 256}, "1 to 255.*256"),
        ({"rounds": -1}, "-1"),
        ({"rounds": 1}, "no bytes of text"),
        ({"rounds": 1, "text": b""}, "no bytes of text"),
        ({"rounds": 1, "text": [b"", b""]}, "no bytes of text"),
        (
            {"rounds": 1, "text": b"a", "model": UnigramModel([1] * 256)},
            "refit",
        ),
    ],
)
def test_build_refuses(ngram, arguments, match):
    with pytest.raises(ValueError, match=match):
        arguments = {"model": ngram, "window_bits": 9, **arguments}
        Codebook.build(**{**UNREFINED, **arguments})


@pytest.mark.parametrize(
    "row, match",
    [
        (np.full(256, np.nan), "finite"),
        (np.full(256, np.inf), "finite"),
        (np.r_[np.inf, -np.inf, np.zeros(254)], "finite"),
        (np.zeros(256), "sum to 1"),
        (np.full((256, 1), 1 / 256), "256 probabilities"),
        (np.r_[1, np.zeros(255)].astype(int), "floating dtype"),
        (np.full(256, 1 / 256 + 0j), "floating dtype"),
        (np.full(256, "a"), "floating dtype"),
        (np.full(256, 0.5), "sum to 1"),
        (np.full(255, 1 / 255), "255"),
        (np.r_[-0.5, 1.5, np.zeros(254)], "non-negative"),
    ],
)
@pytest.mark.parametrize("allocation", ["arithmetic", "tunstall"])
def test_build_refuses_models_that_are_none(row, match, allocation):
    class Broken:
        def probabilities(self, prefixes):
            return np.tile(row, (len(prefixes), 1))

    with pytest.raises(ValueError, match=match):
        Codebook.build(
            Broken(),
            window_bits=9,
            allocation=allocation,
            **UNREFINED,
        )


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.int8])
def test_settings_may_be_integers_of_numpy(ngram, text, integer):
    plain = dict(window_bits=10, rounds=1, max_window_bytes=100)
    other = {name: integer(value) for name, value in plain.items()}
    build = functools.partial(Codebook.build, ngram, text[:5000])
    expected = build(**plain, parse="greedy", prune=False)
    codebook = build(**other, parse="greedy", prune=np.False_)
    assert codebook == expected
    for value in (codebook.window_bits, codebook.max_window_bytes):
        assert type(value) is int
    by_hand = Codebook(
        {np.int64(i): window for i, window in windows_of(expected).items()},
        window_bits=integer(10),
        max_window_bytes=integer(100),
        allocation="tunstall",
    )
    assert by_hand == expected


@pytest.mark.parametrize("name", ["window_bits", "max_window_bytes", "rounds"])
@pytest.mark.parametrize("value", [True, np.True_, 9.0, "9", None, [9]])
def test_settings_that_are_no_integers_are_refused(ngram, name, value):
    arguments = {"window_bits": 9, name: value}
    if (name, value) == ("rounds", None):
        return  # the default
    with pytest.raises(TypeError, match=f"`{name}` must be an integer.*Rec"):
        Codebook.build(ngram, b"text", **arguments)
    if name != "rounds":
        settings = {"window_bits": 9, "max_window_bytes": 4, name: value}
        with pytest.raises(TypeError, match=f"`{name}` must be an integer"):
            Codebook({}, allocation="tunstall", **settings)


def test_prune_is_one_of_the_ways(ngram):
    with pytest.raises(ValueError, match=r"'likelihood', 'bytes'.*'yes'"):
        Codebook.build(
            ngram,
            b"text",
            window_bits=9,
            prune="yes",
        )


def test_rounds_learn_what_follows_window_starts(text):
    model = NGramModel.from_text(text)
    sizes = [
        Codebook.build(
            model,
            [text],
            window_bits=12,
            allocation="tunstall",
            rounds=rounds,
            parse="greedy",
            prune=False,
        )
        .encode(text)
        .size
        for rounds in (0, 2)
    ]
    assert sizes[1] < 0.97 * sizes[0]


def test_rounds_take_bytes_or_documents(text):
    model = NGramModel.from_text(text)
    codebook = Codebook.build(model, text, window_bits=9)
    assert codebook == Codebook.build(model, [text], window_bits=9)
    halves = [text[:1000], text[1000:]]
    two = Codebook.build(model, halves, window_bits=9)
    assert two.decode(two.encode(text)) == text


def test_the_plain_call_is_what_we_recommend(ngram, text):
    plain = Codebook.build(text=text, window_bits=9)
    assert (plain.allocation, plain.parse) == ("frequency", "likely_words")
    assert plain == Codebook.build(
        text=[text],
        window_bits=9,
        units="phrases",
        prune="likelihood",
        parse="likely_words",
        price=2,
    )
    plain = Codebook.build(ngram, text, window_bits=9, units="any")
    assert (plain.allocation, plain.parse) == ("tunstall", "aligned")
    options = dict(allocation="tunstall", parse="aligned", prune="bytes")
    for rounds in (0, 1):
        other = Codebook.build(
            ngram, text, window_bits=9, rounds=rounds, **options
        )
        assert (plain == other) == (rounds == 1)
    # A model without `refit` is used unchanged.
    unigram = UnigramModel.from_text(text)
    assert Codebook.build(
        unigram, text, window_bits=9, units="any"
    ) == Codebook.build(unigram, text, window_bits=9, rounds=0, **options)


def test_text_may_be_a_str(ngram):
    text = "d\u00e9j\u00e0 vu, " * 40
    codebook = Codebook.build(ngram, text, window_bits=9)
    assert codebook == Codebook.build(ngram, [text.encode()], window_bits=9)
    assert (
        codebook.encode(text).tolist()
        == codebook.encode(text.encode()).tolist()
    )
    prompt = codebook.split_prompt(text)
    assert codebook.decode(prompt.ids) + prompt.remainder == text.encode()


def test_the_paper_needs_no_text(ngram, codebooks):
    codebook = Codebook.paper(ngram, window_bits=9)
    assert (codebook.allocation, codebook.parse) == ("arithmetic", "greedy")
    assert codebook == codebooks[9, "arithmetic"]
    short = Codebook.paper(ngram, window_bits=9, max_window_bytes=2)
    assert short.token_lengths.max() == 2


@pytest.mark.parametrize("model", [b"some text", UnigramModel, None])
def test_what_is_no_model_is_told_first(model):
    builders = [Codebook.paper, functools.partial(Codebook.build, rounds=0)]
    if model is not None:
        builders.append(Codebook.build)
    for build in builders:
        with pytest.raises(TypeError, match="must be an entropy model"):
            build(model, window_bits=9)
