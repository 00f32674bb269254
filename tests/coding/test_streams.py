import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_nc.coding import StreamCoder
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.entropy_models import stepper_for

NAMES = ["unigram", "ngram", "refitted", "byte_lm"]
few = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Steps:
    """A model with nothing but probabilities."""

    def __init__(self, model):
        self.probabilities = model.probabilities


@pytest.fixture(scope="module")
def models(text, make_m1):
    ngram = NGramModel.from_text(text, order=4)
    return {
        "unigram": UnigramModel.from_text(text),
        "ngram": ngram,
        "refitted": ngram.refit(text, np.arange(0, len(text), 64)),
        "byte_lm": ByteLMModel(make_m1(hidden_dim=16)),
    }


def encode_streams(model, documents, precision=16, context_bytes=1024):
    stepper = stepper_for(model, 32, context_bytes)
    return StreamCoder(stepper, precision).encode_batch(documents)


def decode_streams(
    model, codes, offsets, lengths, precision=16, context_bytes=1024
):
    stepper = stepper_for(model, 32, context_bytes)
    return StreamCoder(stepper, precision).decode_batch(codes, offsets, lengths)


def round_trip(model, documents, precision, context_bytes):
    codes, offsets = encode_streams(model, documents, precision, context_bytes)
    lengths = [len(document) for document in documents]
    found = decode_streams(
        model, codes, offsets, lengths, precision, context_bytes
    )
    assert found == documents
    return codes, offsets


@few
@given(
    st.lists(st.binary(max_size=50), max_size=5),
    st.sampled_from([14, 16, 24]),
    st.sampled_from([1, 7, 1024]),
)
@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_come_back(models, name, documents, precision, context):
    codes, offsets = round_trip(models[name], documents, precision, context)
    # The code of a document does not depend on the other documents.
    for i, document in enumerate(documents):
        alone, _ = encode_streams(models[name], [document], precision, context)
        assert alone.tolist() == codes[offsets[i] : offsets[i + 1]].tolist()


def test_batches_change_no_code(models, text):
    documents = [text[i : i + i % 23] for i in range(100)]
    expected = encode_streams(models["byte_lm"], documents, context_bytes=9)
    lengths = [len(document) for document in documents]
    for size in (1, 7, 100):
        coder = StreamCoder(stepper_for(models["byte_lm"], size, 9))
        for _ in range(2):  # nothing is left behind in the stepper
            codes, offsets = coder.encode_batch(documents)
            assert codes.tobytes() == expected[0].tobytes()
            assert offsets.tolist() == expected[1].tolist()
            assert coder.decode_batch(codes, offsets, lengths) == documents


@pytest.mark.parametrize("name", ["unigram", "ngram", "refitted"])
def test_kernels_are_the_steps(models, text, name):
    documents = [text[i : i + 150] for i in range(0, 6000, 150)] + [b"", b"a"]
    kernels = round_trip(models[name], documents, 16, 64)
    steps = round_trip(Steps(models[name]), documents, 16, 64)
    assert kernels[0].tobytes() == steps[0].tobytes()
    assert kernels[1].tolist() == steps[1].tolist()


def test_codes_have_the_length_of_the_models_information(models, text):
    document = text[1000:21000]
    prefixes = [document[i - i % 1024 : i] for i in range(len(document))]
    rows = models["ngram"].probabilities(prefixes)
    symbols = np.frombuffer(document, np.uint8)
    bits = -np.log2(rows[np.arange(symbols.size), symbols]).sum()
    codes, _ = encode_streams(models["ngram"], [document], 24, 1024)
    assert bits - 8 < 8 * codes.size < 1.001 * bits + 8


def test_the_context_restarts(models, text):
    # With a context of one byte, no byte sees another: order 0.
    model = models["ngram"]
    document = text[:64]
    order0 = UnigramModel(
        np.round(model.probabilities([b""])[0] * 2**40).astype(np.int64)
    )
    expected = encode_streams(order0, [document], 16)[0]
    found = encode_streams(model, [document], 16, context_bytes=1)[0]
    assert found.tolist() == expected.tolist()
    longer = encode_streams(model, [document], 16, context_bytes=64)[0]
    assert longer.size < found.size


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_refused(models, name):
    text = b"the statement is executed"
    codes, offsets = encode_streams(models[name], [text])
    for cut in range(codes.size):
        # By chance, a shorter code may be the code of another text.
        try:
            found = decode_streams(
                models[name], codes[:cut], [0, cut], [len(text)]
            )
        except ValueError as error:
            assert "Received" in str(error)
        else:
            assert found != [text]
            again, _ = encode_streams(models[name], found)
            assert again.tolist() == codes[:cut].tolist()
    for length in (1, 10, 2**40):
        with pytest.raises(ValueError, match="Received"):
            decode_streams(models[name], codes, offsets, [length])
    try:
        found = decode_streams(models[name], codes, offsets, [len(text)], 20)
    except ValueError as error:
        assert "Received" in str(error)
    else:
        assert found != [text]


def test_odd_settings_are_refused(models):
    for odd in (0, -1, 2.5, None):
        with pytest.raises((TypeError, ValueError), match="context_bytes="):
            encode_streams(models["ngram"], [b"a"], context_bytes=odd)
    with pytest.raises(ValueError, match="Received: precision=13"):
        encode_streams(models["unigram"], [b"a"], precision=13)
    for odd in (models["unigram"], None, 5):
        with pytest.raises(TypeError, match=r"`stepper` must.*Received"):
            StreamCoder(odd)
