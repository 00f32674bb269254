import keras_hub
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from tests.models.conftest import LAYOUTS
from tests.models.conftest import LENGTH
from tests.models.conftest import PROMPTS

pytestmark = pytest.mark.usefixtures("seeded")


def uncached_greedy(causal_lm, prompt, length):
    """Return greedy ids, by a full pass per token and a search of ids."""
    tokenizer = causal_lm.preprocessor.tokenizer
    layout = tokenizer.layout
    encoded = tokenizer.split_prompt(prompt)
    ids = [1, *encoded.ids.tolist()]
    start = len(ids)
    codes = np.flatnonzero(layout.is_code)
    per_window = layout.tokens_per_window
    while len(ids) < length:
        window, phase = divmod(len(ids) - start, per_window)
        fit = codes
        generated = tokenizer.detokenize(
            ids[start : start + window * per_window], skip_special=True
        )
        free = len(generated) >= len(encoded.remainder)
        if not free:
            low, high, others = encoded.next_codes[len(generated)]
            inside = (codes >= low) & (codes < high)
            fit = codes[inside | np.isin(codes, others)]
        if per_window == 1:
            allowed = fit.tolist()
        else:
            bits = layout.token_bits
            shifts = layout.window_bits - bits * np.arange(1, per_window + 1)
            spelled = (fit[:, None] >> shifts & (1 << bits) - 1) + 3
            so_far = np.array(ids[len(ids) - phase :], dtype=int)
            fits = (spelled[:, :phase] == so_far).all(axis=1)
            allowed = sorted(set(spelled[fits, phase].tolist()))
        if phase == 0 and free:
            allowed.append(2)
        token_ids = np.zeros((1, length), "int32")
        token_ids[0, : len(ids)] = ids
        mask = token_ids > 0
        logits = causal_lm({"token_ids": token_ids, "padding_mask": mask})
        logits = ops.convert_to_numpy(logits)[0, len(ids) - 1]
        ids.append(max(allowed, key=lambda i: logits[i]))
        if ids[-1] == 2:
            break
    return ids


@pytest.mark.parametrize("layout", ["m1", *LAYOUTS], ids=str)
def test_cached_generation_equals_uncached(models, layout):
    causal_lm = models[layout]
    causal_lm.compile(sampler="greedy")
    prompts = [b"the qu", b"", b"naive st"]
    length = 32
    x = causal_lm.preprocessor.generate_preprocess(prompts, length)
    generate = causal_lm.make_generate_function()
    x = {k: ops.convert_to_tensor(v) for k, v in x.items()}
    found = generate(x, stop_token_ids=[2])
    found = {k: ops.convert_to_numpy(v) for k, v in found.items()}
    for i, prompt in enumerate(prompts):
        ids = found["token_ids"][i][found["padding_mask"][i]].tolist()
        assert ids == uncached_greedy(causal_lm, prompt, length)


SAMPLERS = {
    "greedy": lambda: "greedy",
    "top_k": lambda: keras_hub.samplers.TopKSampler(k=5, seed=1),
    "top_p": lambda: keras_hub.samplers.TopPSampler(p=0.5, k=50, seed=1),
    "random": lambda: keras_hub.samplers.RandomSampler(seed=1),
    "beam": lambda: keras_hub.samplers.BeamSampler(num_beams=2),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("layout", ["m1", (16, 16), (16, 8)], ids=str)
def test_continuations_begin_with_their_prompts(models, layout, sampler):
    causal_lm = models[layout]
    causal_lm.compile(sampler=SAMPLERS[sampler]())
    texts = causal_lm.generate(PROMPTS, max_length=80)
    for prompt, text in zip(PROMPTS, texts, strict=True):
        assert isinstance(text, bytes)
        assert text.startswith(prompt)
    assert any(
        len(text) > len(prompt)
        for prompt, text in zip(PROMPTS, texts, strict=True)
    )
    if sampler == "beam" and layout == (
        16,
        8,
    ):  # settles no byte before the end
        stopped = causal_lm.generate(PROMPTS, max_length=80, stop=b"e")
        for prompt, text, cut in zip(PROMPTS, texts, stopped, strict=True):
            end = text.find(b"e", len(prompt))
            assert cut == (text if end < 0 else text[: end + 1])


@pytest.mark.parametrize(
    "parse, token_bits",
    [("flexible", 9), ("likely", 3), ("likely_aligned", 9)],
)
def test_every_parse_continues_prompts(make_m2, text, parse, token_bits):
    text = text[:30000]
    codebook = Codebook.build(
        NGramModel.from_text(text),
        text,
        window_bits=9,
        allocation="tunstall",
        parse=parse,
        rounds=1,
        prune=False,
    )
    tokenizer = EqualInfoTokenizer(codebook, token_bits)
    causal_lm = make_m2(tokenizer, 64, num_layers=1, hidden_dim=16)
    causal_lm.compile(sampler=keras_hub.samplers.TopKSampler(k=5, seed=1))
    prompts = [text[300 : 301 + length] for length in range(20)]
    texts = causal_lm.generate(prompts, stop_token_ids=None)
    for prompt, continued in zip(prompts, texts, strict=True):
        assert continued.startswith(prompt)
        assert len(continued) > len(prompt)
    # Some were cut inside a window.
    assert any(tokenizer.split_prompt(prompt).remainder for prompt in prompts)


# One batch shape for all examples: the model is compiled once.
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    prompts=st.lists(
        st.one_of(
            st.binary(max_size=14),
            st.text(max_size=3).map(str.encode),
            st.sampled_from([b"the ", b"statement", b"expr"]),
        ),
        min_size=4,
        max_size=4,
    )
)
@pytest.mark.parametrize("layout", [(16, 16), (16, 8)], ids=str)
def test_any_prompt_is_continued_byte_for_byte(models, layout, prompts):
    causal_lm = models[layout]
    if not isinstance(
        getattr(causal_lm, "sampler", None), keras_hub.samplers.TopKSampler
    ):
        causal_lm.compile(sampler=keras_hub.samplers.TopKSampler(k=5, seed=1))
    # Tokens for 14 bytes at the worst, and some more.
    length = 20 if layout == (16, 16) else 34
    texts = causal_lm.generate(prompts, max_length=length)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt)


def test_strings_give_strings(models):
    causal_lm = models[12, 12]
    causal_lm.compile(sampler="greedy")
    prompt = "na\u00efve \U0001f600"
    text = causal_lm.generate(prompt, max_length=24)
    assert isinstance(text, str) and text.startswith(prompt)
    raw = causal_lm.generate(prompt.encode(), max_length=24)
    assert isinstance(raw, bytes) and raw.decode(errors="replace") == text
    mixed = causal_lm.generate([prompt, prompt.encode()], max_length=24)
    assert mixed == [text, raw]
    assert causal_lm.generate([], max_length=24) == []


def test_prompts_are_stripped_in_bytes(models):
    causal_lm = models[16, 16]
    causal_lm.compile(sampler="greedy")
    unstripped = causal_lm.generate(PROMPTS, max_length=60)
    stripped = causal_lm.generate(PROMPTS, max_length=60, strip_prompt=True)
    for prompt, text, rest in zip(PROMPTS, unstripped, stripped, strict=True):
        assert prompt + rest == text
    text = causal_lm.generate("\u00e9t\u00e9", max_length=20)
    rest = causal_lm.generate("\u00e9t\u00e9", max_length=20, strip_prompt=True)
    assert "\u00e9t\u00e9" + rest == text


@pytest.mark.parametrize("layout", ["m1", (12, 12), (16, 8)], ids=str)
def test_generation_stops_at_the_end_id(models, layout):
    causal_lm = models[layout]
    tokenizer = causal_lm.preprocessor.tokenizer
    causal_lm.compile(sampler="greedy")
    encoded = causal_lm.preprocessor.generate_preprocess([b"the ", b""], 40)
    endless = causal_lm.generate(encoded, stop_token_ids=None)["token_ids"]
    assert (endless > 0).all()
    # If every id is a stop id, every row ends at once.
    stops = sorted(set(endless[endless > 1].tolist()))
    per_window = tokenizer.layout.tokens_per_window
    texts = causal_lm.generate([b"the ", b""], 40, stop_token_ids=stops)
    for prompt, text in zip([b"the ", b""], texts, strict=True):
        ids = tokenizer(text)
        assert len(ids) <= len(tokenizer(prompt)) + per_window


def test_end_id_ends_the_text(make_m1):
    causal_lm = make_m1(LENGTH)
    causal_lm.compile(sampler="greedy")
    # After an "e", the end id is by far the likeliest: move its embedding onto
    # the final hidden state of "e".
    ids = np.array([[1, 3 + ord("e")]], dtype="int32")
    hidden = causal_lm.backbone({"token_ids": ids, "padding_mask": ids > 0})
    embedding = causal_lm.backbone.token_embedding
    table = embedding.get_weights()[0]
    table[2] = ops.convert_to_numpy(hidden)[0, -1] * 3
    embedding.set_weights([table])
    assert causal_lm.generate(b"e", max_length=40) == b"e"
    causal_lm.compile(sampler="greedy")
    unstopped = causal_lm.generate(b"e", 40, stop_token_ids=None)
    assert unstopped.startswith(b"e")


def test_prompts_beyond_the_context_are_refused(models):
    causal_lm = models[16, 8]
    with pytest.raises(ValueError, match="prompt 1 of 300 bytes"):
        causal_lm.generate([b"a", b"\xff" * 300])
    with pytest.raises(ValueError, match="needs 3 tokens"):
        causal_lm.generate(b"a", max_length=2)


def test_odd_arguments_are_refused(models):
    causal_lm = models["m1"]
    for length in (0, -1, np.int64(-1)):
        with pytest.raises(ValueError, match=f"max_length={length}"):
            causal_lm.generate("a", max_length=length)
    for length in (2.0, np.float32(8), "8", True, [8]):
        with pytest.raises(TypeError, match="`max_length` must be an integer"):
            causal_lm.generate("a", max_length=length)
    for stops in ([], [2.5], [-1], [0], {2, 259}, ["2"], "end", True):
        with pytest.raises(ValueError, match="stop_token_ids"):
            causal_lm.generate("a", stop_token_ids=stops)
    for prompts in (5, None, [b"a", 5], [[3, 4]], np.array([[3, 4]])):
        with pytest.raises(TypeError, match="must be"):
            causal_lm.generate(prompts)


def test_prompts_of_many_types(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    text = causal_lm.generate("ab", max_length=12)
    raw = causal_lm.generate(b"ab", max_length=12)
    for prompt in (bytearray(b"ab"), np.frombuffer(b"ab", "uint8")):
        assert causal_lm.generate(prompt, max_length=12) == raw
    for prompts in (("ab",), iter(["ab"]), np.array(["ab"])):
        assert causal_lm.generate(prompts, max_length=12) == [text]
    assert causal_lm.generate("ab", max_length=np.int32(12)) == text
    for stops in (2, [2], {2}, np.array([2], "uint8"), np.int64(2)):
        found = causal_lm.generate("ab", 12, stop_token_ids=stops)
        assert found == text
    x = causal_lm.preprocessor.generate_preprocess(["ab"], 12)
    found = causal_lm.generate(x)
    assert causal_lm.preprocessor.generate_postprocess(found) == [raw]


def test_a_prompt_may_fill_the_context(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    assert causal_lm.generate(b"abc", max_length=4) == b"abc"


def test_data_sets_of_prompts(models):
    tf = pytest.importorskip("tensorflow")
    causal_lm = models[12, 12]
    causal_lm.compile(sampler="greedy")
    prompts = [b"one\x00", b"two", b"three", b"four"]
    ds = tf.data.Dataset.from_tensor_slices(prompts).batch(2)
    texts = causal_lm.generate(ds, max_length=24)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt)
    ids = np.array([[1, 9], [1, 10], [1, 11]], "int32")
    x = {"token_ids": ids, "padding_mask": ids > 0}
    found = causal_lm.generate(
        tf.data.Dataset.from_tensor_slices(x).batch(2), max_length=6
    )
    expected = causal_lm.generate(x, max_length=6)
    for name in ("token_ids", "padding_mask"):
        np.testing.assert_array_equal(found[name], expected[name])
    with pytest.raises(TypeError, match="Received: a tuple"):
        causal_lm.generate(tf.data.Dataset.from_tensors((prompts, prompts)))


def test_remainders_constrain_only_the_first_window(codebooks):
    tokenizer = EqualInfoTokenizer(codebooks[16])
    codebook = codebooks[16]
    cut_short = 0
    for length in range(1, 60):
        text = b"the statement is executed when the expression"[:length]
        prompt = tokenizer.split_prompt(text)
        if not prompt.remainder:
            continue
        cut_short += 1
        low, high = codebook.prefix_range(prompt.remainder)
        assert prompt.next_codes[0] == (low, high, [])
        starts = [codebook.token_bytes(i) for i in range(low, high)]
        assert all(window.startswith(prompt.remainder) for window in starts)
    assert cut_short > 10
    assert ByteTokenizer().split_prompt(b"the stat").remainder == b""
