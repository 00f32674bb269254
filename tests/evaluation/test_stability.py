import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nc.evaluation import instability
from keras_nc.evaluation import levenshtein
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer

SENTENCE = b" is the first word of a sentence that has a good many more."
WORDS = [b"This", b"Here", b"What", b"Else"]
texts = st.text("ab", max_size=6)


@given(a=texts, b=texts, c=texts)
def test_levenshtein_is_a_distance(a, b, c):
    assert (levenshtein(a, b) == 0) == (a == b)
    assert levenshtein(a, b) == levenshtein(b, a)
    assert levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c)
    assert abs(len(a) - len(b)) <= levenshtein(a, b) <= max(len(a), len(b))
    assert levenshtein(a + c, b + c) <= levenshtein(a, b)


def test_bytes_change_as_the_words_do():
    changed = instability(ByteTokenizer(), SENTENCE, WORDS)
    distances = [levenshtein(a, b) for a, b in itertools.pairwise(WORDS)]
    expected = sum(distances) / 3 / len(WORDS[0] + SENTENCE)
    assert changed == pytest.approx(expected)


def test_windows_fall_into_step_and_chains_do_not(codebooks):
    class Chained:
        """Every token depends on all text before."""

        def encode_batch(self, documents):
            ids, offsets = ByteTokenizer().encode_batch(documents)
            for i, j in itertools.pairwise(offsets):
                state = random.Random(bytes(documents[0]))
                for at in range(i, j):
                    state = random.Random(state.random() + int(ids[at]))
                    ids[at] = state.randrange(256)
            return ids, offsets

    windows = instability(EqualInfoTokenizer(codebooks[12]), SENTENCE, WORDS)
    assert windows < 0.5 < 0.9 < instability(Chained(), SENTENCE, WORDS)


def test_one_word_is_too_few():
    with pytest.raises(ValueError, match="two first words"):
        instability(ByteTokenizer(), SENTENCE, [b"This"])


def test_no_bytes_have_no_stability():
    with pytest.raises(ValueError, match="an empty sentence"):
        instability(ByteTokenizer(), b"", [b"", b""])
    assert instability(ByteTokenizer(), b"", [b"a", b""]) == 2


def test_str_is_text_too():
    tokenizer = ByteTokenizer()
    words = [word.decode() for word in WORDS]
    got = instability(tokenizer, SENTENCE.decode(), words)
    assert got == instability(tokenizer, SENTENCE, WORDS)
    with pytest.raises(ValueError, match="two first words"):
        instability(tokenizer, SENTENCE, "This")
