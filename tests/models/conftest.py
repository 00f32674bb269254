import pytest

TEXTS = ["the quick brown fox", "jumps over", "the lazy dog", ""] * 4
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


@pytest.fixture(scope="session")
def models(codebooks, make_m1, make_m2):
    """An M1 and an M2 of every layout, untrained, so that any id is likely."""
    import keras

    from keras_nc.tokenizers import EqualInfoTokenizer

    keras.utils.set_random_seed(0)
    made = {"m1": make_m1(LENGTH)}
    for window_bits, token_bits in LAYOUTS:
        tokenizer = EqualInfoTokenizer(codebooks[window_bits], token_bits)
        made[window_bits, token_bits] = make_m2(tokenizer, LENGTH)
    return made
