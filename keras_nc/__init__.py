"""Language models over neurally compressed text, in Keras 3.

Importing this package registers its classes with Keras, so that `from_preset`
finds them. It compiles nothing, and it works where TensorFlow is absent;
keras-hub imports TensorFlow where it is installed.
"""

from keras_nc import coding
from keras_nc import data
from keras_nc import entropy_models
from keras_nc import layers
from keras_nc import metrics
from keras_nc import models
from keras_nc import tokenizers

__version__ = "0.1.0"
