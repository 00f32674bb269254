"""Steppers: equal to whole prefixes, and the same bits in any batch."""

import copy

import keras
import numpy as np
import pytest

from keras_nc.coding import StreamCoder
from keras_nc.coding import ZeroPaddedWindows
from keras_nc.coding.shares import cumulate
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import PrefixStepper
from keras_nc.entropy_models import RememberingStepper
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import ZeroPaddedTokenizer

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture(scope="module")
def models(make_m1, text):
    return {
        "ngram": NGramModel.from_text(text),
        "m1": ByteLMModel(make_m1()),
        "rope": ByteLMModel(make_m1(position="rope")),
        # Sizes that are not multiples of the kernels' blocks.
        "odd": ByteLMModel(
            make_m1(hidden_dim=30, num_heads=5, intermediate_dim=33)
        ),
    }


@pytest.fixture(params=["ngram", "m1", "rope", "odd"])
def model(request, models):
    return models[request.param]


def walk(stepper, contents, restarts=(), steps=45):
    """Feed texts byte by byte; return all probabilities and prefixes."""
    B = len(contents)
    prefixes = [b""] * B
    places = np.zeros(B, int)
    seen = []
    for step in range(steps):
        rows = stepper.probabilities()
        seen.append((list(prefixes), rows.copy()))
        restarted = np.array([(step, b) in restarts for b in range(B)])
        stepper.restart(restarted)
        for b in np.flatnonzero(restarted):
            prefixes[b] = b""
        active = np.array([(step + b) % 3 > 0 for b in range(B)])
        next_bytes = np.zeros(B, "uint8")
        for b in np.flatnonzero(active):
            next_bytes[b] = contents[b][places[b]]
            prefixes[b] += bytes([next_bytes[b]])
            places[b] += 1
        stepper.step(next_bytes, active)
    return seen


CONTENTS = [b"the same text in a row, and it goes on" * 2, b"\0\xff" * 40]
CONTENTS += [b"the same text in a row, and it goes on" * 2]
RESTARTS = {(4, 0), (5, 1), (11, 1), (12, 1), (30, 2)}


def test_steps_are_the_models_probabilities(model):
    stepper = stepper_for(model, batch_size=3, context_bytes=40)
    for prefixes, rows in walk(stepper, CONTENTS, RESTARTS):
        assert rows.dtype == np.float64 and rows.shape == (3, 256)
        expected = model.probabilities(prefixes)
        np.testing.assert_allclose(rows, expected, atol=1e-5)
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)


def test_only_the_bytes_since_the_restart_decide(model):
    """Other rows, other sizes, more bytes at a time: the same bits."""
    known = {}
    runs = [(CONTENTS, RESTARTS, 40), (CONTENTS[::-1], {(7, 0)}, 90)]
    runs += [([content], {(9, 0), (20, 0)}, 33) for content in CONTENTS]
    for contents, restarts, size in runs:
        stepper = stepper_for(model, len(contents), size)
        for prefixes, rows in walk(stepper, contents, restarts):
            for prefix, row in zip(prefixes, rows, strict=True):
                expected = known.setdefault(prefix, row)
                np.testing.assert_array_equal(row, expected)
    assert len(known) > 60
    for prefix, row in known.items():
        stepper = stepper_for(model, 2, 64)
        data = np.frombuffer(prefix * 2, "uint8").reshape(2, -1)
        stepper.append(data, [0, len(prefix)])
        np.testing.assert_array_equal(stepper.probabilities()[1], row)


def test_a_full_row_takes_no_more(model):
    stepper = stepper_for(model, batch_size=2, context_bytes=3)
    data = np.zeros((2, 3), "uint8")
    stepper.append(data, [3, 2])
    with pytest.raises(ValueError, match="Received: 4 bytes"):
        stepper.step(data[:, 0], [True, False])
    stepper.restart(np.array([True, False]))
    stepper.step(data[:, 0], [True, True])
    expected = model.probabilities([b"\0", b"\0\0\0"])
    np.testing.assert_allclose(stepper.probabilities(), expected, atol=1e-5)


ODD = (TypeError, ValueError)


@pytest.mark.parametrize("most_bytes", [24, 3])
def test_remembered_contexts_are_the_same_bits(model, most_bytes):
    expected = walk(stepper_for(model, 3, 40), CONTENTS, RESTARTS)
    inner = stepper_for(model, batch_size=3, context_bytes=40)
    asked = []
    ask = inner.probabilities
    inner.probabilities = lambda: asked.append(None) or ask()
    stepper = RememberingStepper(inner, most_bytes, most_contexts=60)
    for _ in range(2):
        found = walk(stepper, CONTENTS, RESTARTS)
        for (prefixes, rows), (_, its) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(rows, its, err_msg=str(prefixes))
        stepper.restart(np.ones(3, bool))
    assert len(asked) < 2 * len(expected)
    full = np.zeros((3, 41), "uint8")
    with pytest.raises(ValueError, match="Received: 41 bytes"):
        stepper.append(full, [41, 0, 0])


def test_odd_sizes_are_refused(model):
    for odd in (0, -1, 1.5, True, "1"):
        with pytest.raises(ODD, match=f"batch_size={odd!r}"):
            stepper_for(model, odd, 8)
        with pytest.raises(ODD, match=f"context_bytes={odd!r}"):
            stepper_for(model, 2, odd)


def on_device(model, rows):
    """Return a model that coders run on the device."""
    model = copy.copy(model)
    model.device_rows = rows
    return model


needs_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="M1 runs on devices with JAX only"
)


@needs_jax
@pytest.mark.parametrize("kind", ["m1", "rope", "odd"])
def test_steps_on_the_device(models, kind):
    stepper = stepper_for(on_device(models[kind], 3), 1, context_bytes=60)
    assert stepper.batch_size == 3
    # More positions than the cache has at first.
    for prefixes, rows in walk(stepper, CONTENTS, RESTARTS, steps=60):
        expected = models[kind].probabilities(prefixes)
        np.testing.assert_allclose(rows, expected, atol=1e-5)
    stepper.restart(np.ones(3, bool))
    data = np.frombuffer(CONTENTS[0], "uint8")[None, :40].repeat(3, 0)
    stepper.append(data, [40, 0, 7])
    expected = models[kind].probabilities(
        [CONTENTS[0][:40], b"", CONTENTS[0][:7]]
    )
    np.testing.assert_allclose(stepper.probabilities(), expected, atol=1e-5)
    with pytest.raises(ValueError, match="61 bytes"):
        stepper.append(np.zeros((3, 21), "uint8"), [21, 0, 0])


class Slow:
    """A stepper on the device without its methods of parts."""

    def __init__(self, stepper):
        self.batch_size = stepper.batch_size
        self.context_bytes = stepper.context_bytes
        self.restart, self.append = stepper.restart, stepper.append
        self.step, self.probabilities = stepper.step, stepper.probabilities


@needs_jax
@pytest.mark.parametrize(
    "settings",
    [{}, {"delay": True}, {"reset_every": None}, {"window_bits": 128}],
)
def test_integers_of_the_device_follow_the_rules(models, text, settings):
    documents = [text[i : i + n] for i, n in ((0, 90), (90, 1), (91, 60))]
    model = on_device(models["m1"], 4)
    fast, slow = (
        ZeroPaddedWindows(make(stepper_for(model, 4, 40)), **settings)
        for make in (lambda stepper: stepper, Slow)
    )
    assert fast.encode_codes(documents) == slow.encode_codes(documents)
    assert fast.encode(documents) == slow.encode(documents)
    ours = ZeroPaddedWindows(stepper_for(models["m1"], 4, 40), **settings)
    # The probabilities are those of the CPU but for rounding.
    bits = [sum(map(len, c.encode_codes(documents))) for c in (fast, ours)]
    assert abs(bits[0] - bits[1]) <= 0.02 * bits[1]


@needs_jax
def test_streams_of_the_device(models, text, monkeypatch):
    from keras_nc.coding.kernels import range_coder

    documents = [text[:75], b"", text[80:83], text[100:132]]
    stepper = stepper_for(on_device(models["m1"], 4), 1, context_bytes=32)
    found = []
    encode = range_coder.encode_parts

    def seen(parts, *others):
        found.append(parts)
        encode(parts, *others)

    monkeypatch.setattr(range_coder, "encode_parts", seen)
    codes, offsets = StreamCoder(stepper, 14).encode_batch(documents)
    # Each byte has the part that the rule gives it, but for rounding.
    prefixes = [
        document[at - at % 32 : at]
        for document in documents
        for at in range(len(document))
    ]
    p = models["m1"].probabilities(prefixes)
    tables = cumulate(np.floor(p * 2**24), 14).astype(int)
    symbols = np.frombuffer(b"".join(documents), "uint8").astype(int)
    rows = np.arange(symbols.size)
    expected = np.stack([tables[rows, symbols], tables[rows, symbols + 1]], 1)
    assert abs(found[0].astype(int) - expected).max() <= 1
    # Where the parts are equal, so are the codes.
    ours = StreamCoder(stepper_for(models["m1"], 4, 32), 14)
    assert (
        abs(np.diff(offsets) - np.diff(ours.encode_batch(documents)[1])).max()
        <= 1
    )
    with pytest.raises(ValueError, match="same bits again"):
        StreamCoder(stepper, 14).decode_batch(codes, offsets, [75, 0, 3, 32])


@needs_jax
def test_tokenizers_encode_on_the_device_and_do_not_decode(models, text):
    model = on_device(models["m1"], 8)
    for tokenizer in (
        ZeroPaddedTokenizer(model, encode_only=True),
        ArithmeticTokenizer(model, checksum=False),
    ):
        assert tokenizer(text[:50]).shape[0] > 20
    with pytest.raises(ValueError, match="Streams that are decoded need"):
        tokenizer.detokenize(tokenizer(text[:50]))
    with pytest.raises(ValueError, match="Live windows need"):
        LiveWindowTokenizer(model, window_bits=32)
    model.device_rows = 0
    with pytest.raises(ValueError, match="device_rows=0"):
        ZeroPaddedTokenizer(model, encode_only=True)(text[:50])


def test_a_device_needs_jax_and_numbers(models, text, make_m1):
    if keras.backend.backend() != "jax":
        with pytest.raises(ValueError, match="KERAS_BACKEND=jax"):
            stepper_for(on_device(models["m1"], 3), 1, 8)
        return
    m1 = make_m1()
    [weight] = m1.backbone.layer_norm.weights
    weight.assign(np.full(weight.shape, 3e38))  # gives NaN
    model = on_device(ByteLMModel(m1), 2)
    for tokenizer in (
        ZeroPaddedTokenizer(model, encode_only=True),
        ArithmeticTokenizer(model, checksum=False),
    ):
        with pytest.raises(ValueError, match="finite probabilities"):
            tokenizer(text[:20])


def test_a_reader_gives_the_steppers_bits_in_any_order(models):
    rng = np.random.default_rng(0)
    prefixes = [
        bytes(rng.choice(list(b"ab"), n).tolist())
        for n in rng.integers(0, 7, 150)
    ]
    for name in ("m1", "rope"):
        model = models[name]
        reader = model.reader(context_bytes=6)
        rows = reader.probabilities(prefixes)
        np.testing.assert_allclose(
            rows, model.probabilities(prefixes), atol=1e-5
        )
        # Rows of the reader still hold the prefixes that it read last.
        order = rng.permutation(len(prefixes))[:100]
        again = reader.probabilities([prefixes[i] for i in order])
        np.testing.assert_array_equal(again, rows[order])
        stepper = model.stepper(1, 6)
        stepper.append(np.frombuffer(b"abba", "uint8")[None], np.array([4]))
        np.testing.assert_array_equal(
            reader.probabilities([b"abba"]), stepper.probabilities()
        )
        with pytest.raises(ValueError, match="at most 6 bytes"):
            reader.probabilities([b"a" * 7])


def test_count_models_keep_their_prefixes(models):
    assert isinstance(stepper_for(models["ngram"], 1, 8), PrefixStepper)
    assert not isinstance(stepper_for(models["m1"], 1, 8), PrefixStepper)


def test_sums_are_taken_term_by_term():
    """The bits of float32 additions in order, without fused multiply-add."""
    from keras_nc.entropy_models.kernels import byte_lm as kernels

    random = np.random.default_rng(0)
    for n, K, N in [(1, 7, 5), (2, 64, 70), (5, 33, 64), (8, 256, 130)]:
        x = random.standard_normal((n, K)).astype("float32")
        matrix = random.standard_normal((K, N)).astype("float32")
        packed = kernels.pack(matrix)
        out = np.empty((n, len(packed) * kernels.COLUMNS), "float32")
        kernels.matmul(x, packed, out)
        expected = np.zeros((n, N), "float32")
        for k in range(K):
            expected = expected + x[:, k : k + 1] * matrix[k]
        np.testing.assert_array_equal(out[:, :N], expected)


def test_exponentials():
    from keras_nc.entropy_models.kernels import byte_lm as kernels

    for x in [0.0, -1e-9, -0.3, -0.35, -1.0, -17.7, -300.0, -708.0]:
        assert kernels.exp(x) == pytest.approx(np.exp(x), rel=1e-12)
    assert kernels.exp(-1e6) == 0.0
