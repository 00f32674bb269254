"""Initial weights: zeros if weights from a file replace them."""

import contextlib
import contextvars

import keras

_are_replaced = contextvars.ContextVar("are_replaced", default=False)


@contextlib.contextmanager
def weights_follow():
    """Create layers with zeros, because weights are loaded right after.

    Drawing random numbers would take most of the time of loading a small model.
    """
    token = _are_replaced.set(True)
    try:
        yield
    finally:
        _are_replaced.reset(token)


def initializer(random):
    """Return the initializer of a weight.

    Args:
        random: a Keras initializer, for weights that are not loaded.
    """
    return keras.initializers.Zeros() if _are_replaced.get() else random
