"""Run keras-hub's own tests on our classes.

They apply to backbones, tasks, preprocessors, and tokenizers that give arrays.
Tokenizers with ragged output return a list of arrays in eager calls, where
keras-hub's helper insists on lists of lists: for them
`tests/tokenizers/test_tokenizers.py` compares eager calls and tf.data.

Slow compilations run on one backend only: mixed precision and quantization of a
backbone on TensorFlow (the helper skips them on torch), the task on torch.
`test_preset_names.py` and `test_training.py` do the same on all.
"""

import keras
import numpy as np
import pytest

from keras_nc import models
from keras_nc import tokenizers

# It imports Grain, which nothing else needs.
pytest.importorskip("grain")
TestCase = pytest.importorskip("keras_hub.src.tests.test_case").TestCase

# Ignore warnings of the helpers: float16 overflows, NumPy's old names.
pytestmark = pytest.mark.filterwarnings("ignore")

BACKEND = keras.backend.backend()
SMALL = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)
TEXTS = ["abcd", "efgh"]


class KerasHubTest(TestCase):
    def setUp(self):
        """Do not clear the session: other tests have models in it."""

    def tearDown(self):
        """Nothing to clean up."""

    def test_backbone(self):
        ids = np.ones((2, 5), "int32")
        self.run_backbone_test(
            cls=models.CompressedBackbone,
            init_kwargs=dict(vocabulary_size=300, **SMALL),
            input_data={"token_ids": ids, "padding_mask": ids},
            expected_output_shape=(2, 5, 8),
            run_mixed_precision_check=BACKEND == "tensorflow",
            run_quantization_check=BACKEND == "tensorflow",
        )

    def test_tokenizer(self):
        self.run_preprocessing_layer_test(
            cls=tokenizers.ByteTokenizer,
            init_kwargs=dict(sequence_length=4),
            input_data=TEXTS,
            expected_output=[[100, 101, 102, 103], [104, 105, 106, 107]],
            expected_detokenize_output=[b"abcd", b"efgh"],
        )

    def test_preprocessor(self):
        self.init_kwargs = dict(sequence_length=8)
        self.run_preprocessor_test(
            cls=models.ByteCausalLMPreprocessor,
            init_kwargs=self.init_kwargs,
            input_data=TEXTS,
        )

    @pytest.mark.skipif(BACKEND != "torch", reason="compiles for long")
    def test_task(self):
        keras.utils.disable_interactive_logging()
        self.run_task_test(
            cls=models.ByteCausalLM,
            init_kwargs=dict(
                backbone=models.ByteBackbone(**SMALL),
                preprocessor=models.ByteCausalLMPreprocessor(sequence_length=8),
            ),
            train_data=(TEXTS,),
            expected_output_shape=(2, 8, 384),
        )
