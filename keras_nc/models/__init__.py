"""M1 and M2: Keras models with keras-hub's conventions."""

from keras_nc.models.backbone import SIZES
from keras_nc.models.byte_lm import ByteBackbone
from keras_nc.models.byte_lm import ByteCausalLM
from keras_nc.models.byte_lm import ByteCausalLMPreprocessor
from keras_nc.models.byte_lm import ByteLMTokenizer
from keras_nc.models.compressed_lm import CompressedBackbone
from keras_nc.models.compressed_lm import CompressedCausalLM
from keras_nc.models.compressed_lm import CompressedCausalLMPreprocessor
from keras_nc.models.compressed_lm import CompressedTokenizer
