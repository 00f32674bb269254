"""Measure tokenizers and models."""

from keras_nc.evaluation.flops import FlopsPerByte
from keras_nc.evaluation.flops import body_parameters
from keras_nc.evaluation.flops import flops_per_byte
from keras_nc.evaluation.flops import training_flops_per_token
from keras_nc.evaluation.scores import bits_per_byte
from keras_nc.evaluation.scores import compressors_bits_per_byte
from keras_nc.evaluation.scores import token_counts
from keras_nc.evaluation.scores import uniform_bits_per_byte
from keras_nc.evaluation.scores import unigram_bits_per_byte
from keras_nc.evaluation.stability import instability
from keras_nc.evaluation.stability import levenshtein
