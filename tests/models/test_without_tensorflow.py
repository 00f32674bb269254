import keras
import pytest

from tests.scripts import run_script

TRAIN = """
    import sys
    import keras
    import numpy as np
    import keras_nc
    from keras_nc.coding import Codebook
    from keras_nc.entropy_models import ByteLMModel
    from keras_nc.models import *
    from keras_nc.tokenizers import EqualInfoTokenizer

    small = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32)
    texts = ["the quick brown fox", "jumps over the lazy dog"] * 4

    m1 = ByteCausalLM(
        ByteBackbone(**small), ByteCausalLMPreprocessor(sequence_length=24)
    )
    m1.fit(texts, batch_size=4, verbose=0)
    codebook = Codebook.paper(ByteLMModel(m1), window_bits=9)
    tokenizer = EqualInfoTokenizer(codebook)
    m2 = CompressedCausalLM(
        CompressedBackbone(tokenizer.vocabulary_size(), **small),
        CompressedCausalLMPreprocessor(tokenizer, sequence_length=24),
    )
    x, y, weight = keras.tree.map_structure(
        keras.ops.convert_to_numpy, m2.preprocessor(texts)
    )

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            rows = slice(4 * i, 4 * i + 4)
            return keras.tree.map_structure(lambda a: a[rows], (x, y, weight))

    m2.fit(texts, batch_size=4, verbose=0)
    m2.fit(x, y, sample_weight=weight, verbose=0)
    m2.fit(Batches(), validation_data=Batches(), verbose=0)
    m2.evaluate(texts, verbose=0)
    m2.predict(texts, verbose=0)
    m2.compile(sampler="greedy")
    assert m2.generate(b"the qu\\xff", max_length=16).startswith(b"the qu\\xff")
    assert sys.modules["tensorflow"] is None
    print("trained")
"""


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="needs TensorFlow"
)
def test_everything_works_without_tensorflow():
    assert run_script(TRAIN, tensorflow=False).split()[-1] == "trained"
