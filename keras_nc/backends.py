"""Choose a backend for Keras if the user has not chosen one."""

import importlib.util
import os
import sys

#: In the order of preference.
BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend():
    """Set `KERAS_BACKEND` before Keras is imported, which reads it once.

    If it is set, keep it. Otherwise, use the backend of Keras if Keras is
    already imported, else the first of `BACKENDS` that is installed.

    Returns:
        str, the backend.

    Raises:
        ValueError: if the backend is not supported or not installed.
    """
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    chosen = os.environ.get("KERAS_BACKEND")
    if not chosen and "keras" in sys.modules:
        chosen = sys.modules["keras"].config.backend()
    if not chosen and installed:
        chosen = installed[0]
    if chosen not in installed:
        remedy = "Set KERAS_BACKEND to one that is installed, or unset it."
        if not installed:
            remedy = 'Install one: pip install "keras-nc[jax]".'
        raise ValueError(
            f"The backend must be one of {', '.join(BACKENDS)}, and installed. "
            f"Received: KERAS_BACKEND={chosen or ''}; installed: "
            f"{', '.join(installed) or 'none'}. {remedy}"
        )
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def prepare_keras():
    """Choose a backend, and keep keras-hub from importing TensorFlow.

    Importing TensorFlow takes seconds. Call this before Keras is imported. It
    has no effect later.

    Raises:
        ValueError: if `KERAS_BACKEND` is not supported or not installed.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    if choose_backend() != "tensorflow":
        # In `sys.modules`, None marks a module that cannot be imported.
        sys.modules["tensorflow"] = None
