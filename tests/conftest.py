"""Text, codebooks and small models for all tests.

Do not import heavy packages at the top: the process that only distributes tests
also reads this file, and all others would wait for it.
"""

import pydoc_data.topics

import pytest

SMALL = dict(num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64)

#: The slowest files. They begin first, so that no process works alone at the
#: end.
LONGEST = ("test_docs.py", "test_quickstart.py", "test_benchmarks.py")


def pytest_make_parametrize_id(val, argname):
    """Name long values by their argument.

    All test processes must collect the same names. Compressed files may hold
    the time at which they were made.
    """
    if isinstance(val, (str, bytes)) and len(val) > 80:
        return argname
    return None


def pytest_collection_modifyitems(items):
    """Begin with the longest files."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def text():
    """200 kB of English: the language reference of the standard library."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics)).encode()[:200000]


@pytest.fixture(scope="session")
def codebooks(text):
    """Codebooks by window bits, one of each kind."""
    from keras_nc.coding import Codebook
    from keras_nc.entropy_models import NGramModel

    model = NGramModel.from_text(text)
    return {
        12: Codebook.build(text=text, window_bits=12),
        16: Codebook.build(
            model,
            text,
            window_bits=16,
            allocation="arithmetic",
            parse="greedy",
            prune=False,
        ),
    }


@pytest.fixture
def seeded():
    """The same initial weights and samples in every run."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def make_m1():
    """A function that makes a small M1."""
    import keras_nc

    def make(sequence_length=32, **kwargs):
        return keras_nc.models.ByteCausalLM(
            keras_nc.models.ByteBackbone(**{**SMALL, **kwargs}),
            keras_nc.models.ByteCausalLMPreprocessor(
                sequence_length=sequence_length
            ),
        )

    return make


@pytest.fixture(scope="session")
def make_m2():
    """A function that makes a small M2 over a tokenizer."""
    import keras_nc

    def make(tokenizer, sequence_length=32, **kwargs):
        return keras_nc.models.CompressedCausalLM(
            keras_nc.models.CompressedBackbone(
                tokenizer.vocabulary_size(), **{**SMALL, **kwargs}
            ),
            keras_nc.models.CompressedCausalLMPreprocessor(
                tokenizer, sequence_length=sequence_length
            ),
        )

    return make
