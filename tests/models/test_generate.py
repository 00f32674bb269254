import keras
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

pytestmark = pytest.mark.usefixtures("seeded")

PROMPTS = [
    b"the quick brown f",
    b"",
    "na\u00efve \U0001f600".encode()[:-1],
    b"trailing\x00\x00",
    b"\xff" * 30,
    b"a",
    b"statement " * 4,
]
LENGTH = 96
TINY = dict(num_layers=1, hidden_dim=16, intermediate_dim=16)
LAYOUTS = [(12, 12), (16, 16), (16, 8), (12, 4)]


@pytest.fixture(scope="module")
def models(codebooks, make_m1, make_m2):
    """An M1 and an M2 of every layout, untrained, so that any id is likely."""
    keras.utils.set_random_seed(0)
    made = {"m1": make_m1(LENGTH)}
    for window_bits, token_bits in LAYOUTS:
        tokenizer = EqualInfoTokenizer(codebooks[window_bits], token_bits)
        made[window_bits, token_bits] = make_m2(tokenizer, LENGTH)
    return made


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
    whole = causal_lm.generate(PROMPTS, max_length=60)
    stripped = causal_lm.generate(PROMPTS, max_length=60, strip_prompt=True)
    for prompt, text, rest in zip(PROMPTS, whole, stripped, strict=True):
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


def test_without_a_preprocessor(make_m1):
    causal_lm = make_m1(**TINY)
    causal_lm.compile(sampler="greedy")
    ids = np.zeros((2, 8), "int32")
    ids[:, 0] = 1
    expected = causal_lm.generate({"token_ids": ids})
    causal_lm.preprocessor = None
    for mask in ({"padding_mask": ids > 0}, {"padding_mask": ids}, {}):
        for stop_token_ids in (None, "auto"):
            x = {"token_ids": ids, **mask}
            found = causal_lm.generate(x, stop_token_ids=stop_token_ids)
            assert found["token_ids"].shape == (2, 8)
            np.testing.assert_array_equal(
                found["token_ids"], expected["token_ids"]
            )
    for generate in (causal_lm.generate, causal_lm.generate_stream):
        for prompts in ("a", ["a", b"b"], []):
            with pytest.raises(ValueError, match="Text needs a tokenizer"):
                generate(prompts)


PADDED = np.array([[1, 5, 6, 7, 0, 0], [1, 8, 0, 0, 0, 0]])


def test_ids_may_be_cut_padded_and_stripped(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    expected = causal_lm.generate(
        [bytes([2, 3, 4]), bytes([5])], max_length=9, stop_token_ids=None
    )
    # Garbage beyond the mask is not part of a prompt.
    garbage = np.where(PADDED, PADDED, [999, 2, -1, 0, 2, 999])
    arrays = {
        "lists": {"token_ids": PADDED.tolist()},
        "wide": {
            "token_ids": np.pad(PADDED, [(0, 0), (0, 9)]).astype("uint16")
        },
        "cut": {"token_ids": PADDED[:, :4]},
        "mask": {"token_ids": garbage, "padding_mask": (PADDED > 0) * 1.0},
        "tensors": {
            "token_ids": ops.convert_to_tensor(PADDED),
            "padding_mask": ops.convert_to_tensor(PADDED > 0),
        },
    }
    for x in arrays.values():
        given = dict(x)
        found = causal_lm.generate(x, max_length=9, stop_token_ids=None)
        assert x.keys() == given.keys(), "inputs stay as they are"
        assert found["token_ids"].shape == (2, 9)
        assert found["padding_mask"].all()
        texts = causal_lm.preprocessor.generate_postprocess(found)
        assert texts == expected
        stripped = causal_lm.generate(
            x, np.int64(9), stop_token_ids=None, strip_prompt=True
        )
        for row, length in enumerate((4, 2)):
            count = 9 - length
            ids, mask = (
                stripped[k][row] for k in ("token_ids", "padding_mask")
            )
            assert (
                ids[:count].tolist()
                == found["token_ids"][row, length:].tolist()
            )
            assert mask.tolist() == [True] * count + [False] * length
            assert not ids[count:].any()
    # Nothing to add, and no rows.
    found = causal_lm.generate({"token_ids": PADDED[:1, :4]})
    assert found["token_ids"].tolist() == PADDED[:1, :4].tolist()
    found = causal_lm.generate({"token_ids": PADDED[:0]}, max_length=4)
    assert found["token_ids"].shape == found["padding_mask"].shape == (0, 4)


@pytest.mark.parametrize(
    "x, message",
    [
        ({"token_ids": PADDED[:, ::-1]}, "padded on the right.*row 0"),
        (
            {"token_ids": PADDED, "padding_mask": [[1, 0, 1, 0, 0, 0]] * 2},
            "padded on the right.*id 6 in row 0, position 2",
        ),
        ({"token_ids": PADDED * 0}, "at least one id.*row 0"),
        (
            {"token_ids": PADDED, "padding_mask": PADDED * [[1], [0]] > 0},
            "at least one id.*row 1",
        ),
        ({"token_ids": PADDED[:, :0]}, "at least one id"),
        ({"token_ids": PADDED + 252 * (PADDED > 6)}, "1 to 258.*id 259"),
        (
            {"token_ids": PADDED + 2**32 * (PADDED > 7)},
            "id 4294967304 in row 1",
        ),
        ({"token_ids": -PADDED}, "1 to 258.*id -1"),
        ({"token_ids": PADDED, "padding_mask": PADDED >= 0}, "id 0 in row 0"),
        ({"token_ids": PADDED * 1.0}, "integers. Received: dtype=float64"),
        ({"token_ids": PADDED > 0}, "integers. Received: dtype=bool"),
        ({"token_ids": [["a", "b"]]}, "integers"),
        ({"token_ids": PADDED[0]}, "shape .B, S."),
        ({"token_ids": [[1, 5], [1]]}, "shape .B, S."),
        ({"token_ids": PADDED, "padding_mask": PADDED}, "1 or 0"),
        ({"token_ids": PADDED, "padding_mask": [[1] * 5] * 2}, "1 or 0"),
        ({"padding_mask": PADDED > 0}, "must be a dict of .token_ids."),
        ({"token_ids": PADDED, "labels": PADDED}, "a dict of .'labels'"),
        ({"prompts": ["a"]}, "a dict of .'prompts'"),
        ({"token_ids": PADDED, "may_end": [True]}, "1 rows for 2 prompts"),
    ],
)
def test_odd_ids_are_refused(models, x, message):
    with pytest.raises(ValueError, match=message):
        models["m1"].generate(x)


def test_ids_beside_what_is_for_text_are_refused(models):
    x = {"token_ids": PADDED}
    with pytest.raises(ValueError, match="`stop` is looked for in text"):
        models["m1"].generate(x, stop="a")
    with pytest.raises(ValueError, match=r"`max_length` of 3 .*prompt 0"):
        models["m1"].generate(x, max_length=3)


@pytest.mark.parametrize("layout", [(16, 8), (12, 4)], ids=str)
def test_ids_may_end_inside_a_window(models, layout):
    # The next ids complete the window, so that it stands for bytes.
    causal_lm = models[layout]
    causal_lm.compile(sampler="greedy")
    tokenizer = causal_lm.preprocessor.tokenizer
    prompt = tokenizer("the quick brown fox")[:7]
    per_window = tokenizer.layout.tokens_per_window
    rows = [[1, *prompt[:n]] for n in range(8)]
    rows += [[1, 2, *row] for row in rows]  # after another document
    ids = np.zeros((16, 10), "int32")
    for row, part in zip(ids, rows, strict=True):
        row[: len(part)] = part
    found = causal_lm.generate(
        {"token_ids": ids}, max_length=40, stop_token_ids=None
    )["token_ids"]
    for i, row in enumerate(found):
        assert (row[: len(rows[i])] == rows[i]).all()
        tokens = row[1 if i < 8 else 3 :]
        tokens = tokens[: len(tokens) - len(tokens) % per_window]
        assert tokenizer.detokenize(tokens)


def test_what_the_preprocessor_gives_is_what_text_gives(models):
    causal_lm = models[16, 8]
    causal_lm.compile(sampler="greedy")
    for stops in ("auto", None, [77]):
        x = causal_lm.preprocessor.generate_preprocess(PROMPTS[:3], 32)
        found = causal_lm.generate(x, stop_token_ids=stops)
        texts = causal_lm.preprocessor.generate_postprocess(found)
        assert texts == causal_lm.generate(
            PROMPTS[:3], 32, stop_token_ids=stops
        )


def test_rows_hold_pads_after_their_end(models):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    x = {"token_ids": PADDED}
    endless = causal_lm.generate(x, 20, stop_token_ids=None)["token_ids"]
    # One row ends with its second new id, the other maybe later.
    stop = int(endless[0, 5])
    found = causal_lm.generate(x, 20, stop_token_ids=[stop])
    for row, length, ids, mask in zip(
        endless, (4, 2), found["token_ids"], found["padding_mask"], strict=True
    ):
        ends = np.flatnonzero(row[length:] == stop)
        end = length + ends[0] + 1 if len(ends) else 20
        assert mask.tolist() == [i < end for i in range(20)]
        assert ids.tolist() == [*row[:end], *[0] * (20 - end)]


def beam_search(causal_lm, prompt, length, num_beams):
    """Return ids of the best beam, by full passes over all continuations."""
    beams = [(0.0, [1, *(byte + 3 for byte in prompt)])]
    while len(beams[0][1]) < length:
        candidates = []
        for score, ids in beams:
            if 2 in ids:
                candidates.append((score, [*ids, 0]))
                continue
            token_ids = np.array([ids + [0] * (length - len(ids))], "int32")
            x = {"token_ids": token_ids, "padding_mask": token_ids > 0}
            logits = ops.convert_to_numpy(causal_lm(x))[0, len(ids) - 1, :259]
            logits = logits.astype("float64")
            logits[:2] = -np.inf  # neither pads nor starts
            logits -= np.log(np.exp(logits).sum())
            candidates += [(score + logits[i], [*ids, i]) for i in range(259)]
        beams = sorted(candidates, key=lambda beam: -beam[0])[:num_beams]
    return beams[0][1]


def test_beam_search_is_right_in_batches_and_after_ends(make_m1):
    causal_lm = make_m1(8, **TINY)
    # The end is likely after "e".
    ids = np.array([[1, 3 + ord("e")]], dtype="int32")
    hidden = causal_lm.backbone({"token_ids": ids, "padding_mask": ids > 0})
    embedding = causal_lm.backbone.token_embedding
    table = embedding.get_weights()[0] * 3
    table[2] = ops.convert_to_numpy(hidden)[0, -1]
    embedding.set_weights([table])
    causal_lm.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3))
    prompts = [b"e", b"abcd", b"", b"she"]
    expected = [beam_search(causal_lm, p, 8, 3) for p in prompts]
    assert any(2 in ids for ids in expected)
    assert not all(2 in ids for ids in expected)
    x = causal_lm.preprocessor.generate_preprocess(prompts)
    assert causal_lm.generate(x)["token_ids"].tolist() == expected


class Likeliest(keras_hub.samplers.Sampler):
    def get_next_token(self, probabilities):
        return ops.argmax(probabilities, axis=-1)


class Everything(Likeliest):
    def __call__(self, next, prompt, **kwargs):
        return prompt


class Nothing(keras_hub.samplers.Sampler):
    pass


def test_a_sampler_of_ones_own_is_used(models):
    causal_lm = models[16, 8]
    causal_lm.compile(sampler="greedy")
    expected = causal_lm.generate(PROMPTS, max_length=70)
    causal_lm.compile(sampler=Likeliest())
    assert causal_lm.generate(PROMPTS, max_length=70) == expected
    assert "".join(causal_lm.generate_stream("the ", max_length=20))


@pytest.mark.parametrize(
    "sampler, message",
    [
        ("contrastive", "'contrastive'"),
        ("speculative", "'speculative'"),
        ("gready", "'gready'"),
        (keras_hub.samplers.ContrastiveSampler(), "ContrastiveSampler"),
        (keras_hub.samplers.SpeculativeSampler(), "SpeculativeSampler"),
        (Everything(), "Everything"),
        (Nothing(), "Nothing"),
        (Likeliest, "Likeliest"),
        (None, "None"),
        (lambda **kwargs: kwargs["prompt"], "function"),
        (
            keras_hub.samplers.BeamSampler(return_all_beams=True),
            "return_all_beams",
        ),
        (keras_hub.samplers.BeamSampler(num_beams=0), "num_beams=0"),
        (keras_hub.samplers.TopKSampler(k=260), "from 1 to 259.*k=260"),
        (keras_hub.samplers.TopPSampler(k=-1), "k=-1"),
        (keras_hub.samplers.TopKSampler(temperature=0.0), "temperature=0.0"),
        (keras_hub.samplers.RandomSampler(temperature=-1), "temperature=-1"),
        (Likeliest(temperature=float("nan")), "temperature=nan"),
        (Likeliest(temperature=float("inf")), "temperature=inf"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_samplers_that_would_not_be_right_are_refused(models, sampler, message):
    causal_lm = models["m1"]
    causal_lm.compile(sampler="greedy")
    with pytest.raises(ValueError, match=f"Received: .*{message}|{message}"):
        causal_lm.compile(sampler=sampler)
    assert isinstance(causal_lm.sampler, keras_hub.samplers.GreedySampler)
    if isinstance(sampler, (Everything, keras_hub.samplers.ContrastiveSampler)):
        causal_lm.sampler = sampler
        with pytest.raises(ValueError, match=message):
            causal_lm.generate("a")


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
