"""Language models over neurally compressed text, in Keras 3.

Importing this package registers its classes with Keras, so that `from_preset`
finds them. It compiles nothing, and it works where TensorFlow is absent;
keras-hub imports TensorFlow where it is installed.
"""

import os
import sys

__version__ = "0.1.0"


def _is_console_command():
    name = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    return os.path.splitext(name)[0] == "keras-nc"


# The console command imports what it needs on its own: most of it works in
# less time than Keras takes to start.
if not _is_console_command():
    from keras_nc import coding
    from keras_nc import data
    from keras_nc import entropy_models
    from keras_nc import evaluation
    from keras_nc import layers
    from keras_nc import losses
    from keras_nc import metrics
    from keras_nc import models
    from keras_nc import tokenizers
    from keras_nc import training
