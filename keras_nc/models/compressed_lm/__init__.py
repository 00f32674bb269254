"""M2: a language model over compressed text."""

from keras_nc.models.compressed_lm.compressed_backbone import CompressedBackbone
from keras_nc.models.compressed_lm.compressed_causal_lm import (
    CompressedCausalLM,
)
from keras_nc.models.compressed_lm.compressed_preprocessor import (
    CompressedCausalLMPreprocessor,
)
from keras_nc.models.compressed_lm.compressed_tokenizer import (
    CompressedTokenizer,
)
