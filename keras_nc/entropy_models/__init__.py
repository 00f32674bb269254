"""Entropy models: p(next byte | bytes since the window's start)."""

from keras_nc.entropy_models.byte_lm import ByteLMModel
from keras_nc.entropy_models.byte_lm import ByteLMStepper
from keras_nc.entropy_models.ngram import NGramModel
from keras_nc.entropy_models.ngram import UnigramModel
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import class_named
from keras_nc.entropy_models.protocol import name_of
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.refitted import RefittedModel
from keras_nc.entropy_models.stepping import PrefixStepper
from keras_nc.entropy_models.stepping import RememberingStepper
from keras_nc.entropy_models.stepping import stepper_for
