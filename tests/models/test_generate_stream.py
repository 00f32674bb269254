import keras
import keras_hub
import numpy as np
import pytest

from keras_nc.models import sampling
from keras_nc.tokenizers import EqualInfoTokenizer

PROMPTS = [b"the quick brown f", b"", b"a", "na\u00efve".encode()[:-1]]
LENGTH = 48
TINY = dict(num_layers=1, hidden_dim=16, intermediate_dim=16)


@pytest.fixture(scope="module")
def causal_lm(codebooks, make_m2):
    """An M2 over windows of three tokens, untrained; compiled once."""
    keras.utils.set_random_seed(0)
    tokenizer = EqualInfoTokenizer(codebooks[12], token_bits=4)
    causal_lm = make_m2(tokenizer, LENGTH, **TINY)
    causal_lm.compile(sampler=keras_hub.samplers.RandomSampler(seed=1))
    return causal_lm


@pytest.fixture(autouse=True)
def same_samples(causal_lm):
    """Every test draws the same samples."""
    rewind(causal_lm)


def rewind(causal_lm, draw=1):
    """Put the sampler into the same state each time."""
    (state,) = causal_lm.sampler.variables
    state.assign(np.array([0, draw], "uint32"))


@pytest.fixture(scope="module")
def full_texts(causal_lm):
    """Return the continuations that `generate` gives."""
    rewind(causal_lm)
    return causal_lm.generate(PROMPTS, strip_prompt=True)


@pytest.fixture
def ends(causal_lm, monkeypatch):
    """Return where each piece ended, and where the prompts ended."""
    seen = []
    generate = causal_lm.make_generate_function()

    def run(inputs, stop_token_ids=None):
        seen.append(int(inputs["until"]))
        return generate(inputs, stop_token_ids=stop_token_ids)

    monkeypatch.setattr(causal_lm, "generate_function", run)
    return seen


@pytest.mark.parametrize("piece_length", [8, 5, LENGTH])
def test_streams_join_to_what_is_generated(causal_lm, full_texts, piece_length):
    parts = list(causal_lm.generate_stream(PROMPTS, piece_length=piece_length))
    assert all(len(part) == len(PROMPTS) and any(part) for part in parts)
    assert [b"".join(row) for row in zip(*parts, strict=True)] == full_texts
    assert len(parts) > 2 or piece_length == LENGTH
    # Some rows end before others do, by the end id.
    assert min(map(len, full_texts)) < max(map(len, full_texts))


def test_nothing_is_compiled_for_a_token(causal_lm, full_texts, monkeypatch):
    if keras.backend.backend() == "torch":
        pytest.skip("torch compiles nothing")
    list(causal_lm.generate_stream(PROMPTS))

    def trace(*args):
        raise AssertionError("traced again")

    monkeypatch.setattr(sampling, "next_logits_of", trace)
    assert list(causal_lm.generate_stream(PROMPTS, piece_length=3))


def test_text_is_streamed_as_text(causal_lm):
    prompts = [prompt.decode(errors="ignore") for prompt in PROMPTS]
    texts = []
    for draw in range(6):
        rewind(causal_lm, draw)
        expected = causal_lm.generate(prompts, strip_prompt=True)
        rewind(causal_lm, draw)
        parts = list(causal_lm.generate_stream(prompts))
        assert ["".join(row) for row in zip(*parts, strict=True)] == expected
        texts += expected
    # Some of these texts are no UTF-8.
    assert any("\ufffd" in text for text in texts)


def test_one_prompt_gives_its_parts(causal_lm):
    parts = list(causal_lm.generate_stream(b"", piece_length=1))
    assert len(parts) > 1 and all(isinstance(x, bytes) for x in parts)
    assert all(parts)
    assert list(causal_lm.generate_stream([])) == []


def test_texts_end_after_the_stop_string(causal_lm, full_texts):
    row = int(np.argmax([len(text) for text in full_texts]))
    text = full_texts[row]
    for start in (1, len(text) // 2):
        stop = text[start : start + 3]
        rewind(causal_lm)
        got = causal_lm.generate(PROMPTS, stop=stop, strip_prompt=True)
        for found, unstopped in zip(got, full_texts, strict=True):
            if stop in unstopped:
                assert found == unstopped[: unstopped.index(stop) + 3]
            else:
                assert found == unstopped
    stops = [text[12:20], text[10:13]]
    rewind(causal_lm)
    got = causal_lm.generate(PROMPTS, stop=stops)[row]
    assert got == PROMPTS[row] + text[: text.index(stops[1]) + 3]
    rewind(causal_lm)
    parts = list(causal_lm.generate_stream(PROMPTS, stop=stops))
    assert PROMPTS[row] + b"".join(part[row] for part in parts) == got


def test_stop_strings_are_not_looked_for_in_prompts(causal_lm, full_texts):
    got = causal_lm.generate(PROMPTS, stop="quick", strip_prompt=True)
    assert got == full_texts


def test_generation_ends_when_every_row_is_done(causal_lm, full_texts, ends):
    singles = [bytes([byte]) for byte in range(256)]
    got = causal_lm.generate(PROMPTS, stop=singles, strip_prompt=True)
    assert got == [text[:1] for text in full_texts]
    # The shortest prompt is one token; the longest has some windows.
    assert ends[0] == 1 and ends[-1] < LENGTH
    del ends[:]
    stops = range(3, causal_lm.preprocessor.tokenizer.vocabulary_size())
    assert list(causal_lm.generate_stream(b"", stop_token_ids=stops)) == []
    assert ends == [1, 9]


@pytest.mark.parametrize("stop", ["", b"", [], ["a", b""]], ids=repr)
def test_empty_stop_strings_are_refused(causal_lm, stop):
    for generate in (causal_lm.generate, causal_lm.generate_stream):
        with pytest.raises(ValueError, match=r"`stop` must be .* Received"):
            generate("a", stop=stop)


def test_odd_arguments_are_refused(causal_lm, monkeypatch):
    encoded = causal_lm.preprocessor.generate_preprocess([b"a"])
    with pytest.raises(ValueError, match="`stop` is looked for in text"):
        causal_lm.generate(encoded, stop="a")
    with pytest.raises(TypeError, match="Text must be"):
        causal_lm.generate("a", stop=5)
    with pytest.raises(ValueError, match="prompts must be text"):
        causal_lm.generate_stream(encoded)
    # At the call, not at the first part.
    for name in ("piece_length", "max_length"):
        for value in (0, -1):
            with pytest.raises(ValueError, match=f"positive.*{name}={value}"):
                causal_lm.generate_stream("a", **{name: value})
        for value in (2.5, "8", True):
            with pytest.raises(TypeError, match=f"`{name}` must be an integer"):
                causal_lm.generate_stream("a", **{name: value})
    with pytest.raises(ValueError, match="A prompt must fit"):
        causal_lm.generate_stream(b"\xff" * 200)
    beam = keras_hub.samplers.BeamSampler(num_beams=2)
    monkeypatch.setattr(causal_lm, "sampler", beam)
    with pytest.raises(ValueError, match="Received: sampler=BeamSampler"):
        causal_lm.generate_stream("a")
    monkeypatch.setattr(causal_lm, "preprocessor", None)
    with pytest.raises(ValueError, match="preprocessor=None"):
        causal_lm.generate_stream("a")
