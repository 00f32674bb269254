"""Keep Keras and TensorFlow out of a process that does without them."""

import importlib.util
import os
import sys

_BACKENDS = ("jax", "torch", "tensorflow")


def hide_tensorflow():
    """Keep keras-hub from importing TensorFlow, which takes seconds.

    Call it before the first import of Keras; later it does nothing. Where
    `KERAS_BACKEND` is not set, an installed backend is chosen.

    Raises:
        ValueError: if `KERAS_BACKEND` is none of ours.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        installed = [b for b in _BACKENDS if importlib.util.find_spec(b)]
        backend = installed[0] if installed else _BACKENDS[0]
        os.environ["KERAS_BACKEND"] = backend
    if backend not in _BACKENDS:
        raise ValueError(
            f"KERAS_BACKEND must be one of {', '.join(_BACKENDS)}. Received: "
            f"{backend!r}. Set it to one that is installed, or unset it."
        )
    if backend != "tensorflow":
        # To Python, None stands for a module that cannot be imported.
        sys.modules["tensorflow"] = None
