"""Keep TensorFlow out of a process that does without it."""

import sys

from keras_nc.backends import choose_backend


def prepare_keras():
    """Choose a backend, and keep keras-hub from importing TensorFlow.

    TensorFlow takes seconds to import. Call this before the first import of
    Keras; later it does nothing.

    Raises:
        ValueError: if `KERAS_BACKEND` is none of ours, or not installed.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    if choose_backend() != "tensorflow":
        # To Python, None stands for a module that cannot be imported.
        sys.modules["tensorflow"] = None
