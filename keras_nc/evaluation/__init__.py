"""What a tokenizer or a model is worth: bits, FLOPs, stability."""

from keras_nc.evaluation.compressors import compressors_bits_per_byte
from keras_nc.evaluation.flops import FlopsPerByte
from keras_nc.evaluation.flops import body_parameters
from keras_nc.evaluation.flops import flops_per_byte
from keras_nc.evaluation.score import bits_per_byte
from keras_nc.evaluation.stability import instability
from keras_nc.evaluation.stability import levenshtein
from keras_nc.evaluation.trivial import token_counts
from keras_nc.evaluation.trivial import uniform_bits_per_byte
from keras_nc.evaluation.trivial import unigram_bits_per_byte
