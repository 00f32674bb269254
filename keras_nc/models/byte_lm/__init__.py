"""M1: a language model over bytes, which drives the coding."""

from keras_nc.models.byte_lm.byte_backbone import ByteBackbone
from keras_nc.models.byte_lm.byte_causal_lm import ByteCausalLM
from keras_nc.models.byte_lm.byte_preprocessor import ByteCausalLMPreprocessor
from keras_nc.models.byte_lm.byte_tokenizer import ByteLMTokenizer
