"""Models without valid distributions: the same error everywhere."""

import numpy as np
import pytest

from keras_nc.coding import Codebook
from keras_nc.coding import PrefixCache
from keras_nc.coding import StreamCoder
from keras_nc.coding import WindowCoder
from keras_nc.coding import ZeroPaddedWindows
from keras_nc.entropy_models import PrefixStepper
from keras_nc.entropy_models import RefittedModel
from keras_nc.entropy_models import stepper_for
from keras_nc.entropy_models.count_trie import count_window_starts

TEXT = b"to be or not to be" * 3
UNIFORM = np.full(256, 1 / 256)


def changed(place, value):
    row = UNIFORM.copy()
    row[place] = value
    return row


#: Rows of 256 numbers; the model returns one for each prefix.
ROWS = {
    "nan": changed(7, np.nan),
    "all nan": UNIFORM * np.nan,
    "infinite": changed(7, np.inf),
    "both infinite": np.where(np.arange(256) % 2, np.inf, -np.inf),
    "zeros": UNIFORM * 0,
    "negative": changed([0, 1], [-0.1, 0.1 + 2 / 256]),
    "sum 2": UNIFORM * 2,
    "huge": UNIFORM * 1e308 * 256,
    "logits": np.linspace(-5, 5, 256),
    "integers": np.ones(256, int),
    "complex": UNIFORM * 1j,
    "text": np.full(256, "x"),
}
#: Answers of a wrong shape to n prefixes.
SHAPES = {
    "one row for all": lambda n: UNIFORM,
    "a row too many": lambda n: np.tile(UNIFORM, (n + 1, 1)),
    "a row too few": lambda n: np.tile(UNIFORM, (n - 1, 1)),
    "255 bytes": lambda n: np.full((n, 255), 1 / 255),
    "259 ids": lambda n: np.full((n, 259), 1 / 259),
    "an axis too many": lambda n: np.tile(UNIFORM, (n, 1, 1)),
    "a number": lambda n: 1 / 256,
    "nothing": lambda n: None,
}


class Broken:
    """A model with invalid rows, which is also its own stepper."""

    def __init__(self, name):
        self.give = SHAPES.get(name) or (lambda n: np.tile(ROWS[name], (n, 1)))

    def probabilities(self, prefixes):
        return self.give(len(prefixes))


class BrokenStepper(PrefixStepper):
    def probabilities(self):
        return self.model.give(self.batch_size)


class WithStepper(Broken):
    def stepper(self, batch_size, context_bytes):
        return BrokenStepper(self, batch_size, context_bytes)


def build_cache(model):
    stepper = stepper_for(model, 2, 8)
    PrefixCache.build(stepper, TEXT, window_bits=24, max_prefixes=3)


def code_windows(model, decode):
    coder = WindowCoder(stepper_for(model, 2, 8), window_bits=24)
    if decode:
        coder.decode_batch(np.array([12345678], "uint32"), [0, 1])
    else:
        coder.encode_batch([TEXT, b"to"])


def code_streams(model, decode):
    coder = StreamCoder(stepper_for(model, 2, 8))
    if decode:
        coder.decode_batch(b"abcdef", [0, 6], [5])
    else:
        coder.encode_batch([TEXT, b"to"])


def code_zero_padded(model, decode):
    rule = ZeroPaddedWindows(stepper_for(model, 2, 8))
    if decode:
        rule.decode([b"ab", b"cd"])
    else:
        rule.encode([TEXT, b"a"])


USES = {
    "codebook": lambda model: Codebook.paper(model, window_bits=9),
    "encode streams": lambda model: code_streams(model, False),
    "decode streams": lambda model: code_streams(model, True),
    "encode windows": lambda model: code_windows(model, False),
    "decode windows": lambda model: code_windows(model, True),
    "encode zero-padded": lambda model: code_zero_padded(model, False),
    "decode zero-padded": lambda model: code_zero_padded(model, True),
    "prefix cache": build_cache,
}
RULE = "Probabilities must|one row of 256 probabilities"


@pytest.mark.parametrize("cls", [Broken, WithStepper])
@pytest.mark.parametrize("name", [*ROWS, *SHAPES])
def test_one_error_everywhere(name, cls):
    for run in USES.values():
        with pytest.raises(ValueError, match=f"({RULE}).*Received"):
            run(cls(name))


@pytest.mark.parametrize("name", [*ROWS, *SHAPES])
def test_what_is_refitted_stays_broken(name):
    counts = count_window_starts(TEXT, np.arange(0, len(TEXT), 3), 1)
    model = RefittedModel(Broken(name), counts)
    # The counts do not hide `q`: all of it has weight.
    for use in ("codebook", "encode windows", "encode streams"):
        with pytest.raises(ValueError, match=f"({RULE}).*Received"):
            USES[use](model)


@pytest.mark.parametrize("use", [*USES])
@pytest.mark.parametrize("odd", [object(), None, Broken, "model", 5])
def test_what_is_no_model_is_refused(odd, use):
    with pytest.raises(TypeError, match=r"`model` must be.*Received"):
        USES[use](odd)
