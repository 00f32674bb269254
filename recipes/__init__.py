"""Scripts that train and evaluate models with `keras_nc`, one stage each."""

import importlib.util
import os
import sys

BACKENDS = ("jax", "tensorflow", "torch")

# What TensorFlow says of the machine when it is imported is no news.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def choose_backend():
    """Make sure of a backend before Keras is imported, which reads it once.

    `KERAS_BACKEND` if it is set, else the first one that is installed.

    Raises:
        SystemExit: with one line and code 2, if there is none.
    """
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    chosen = os.environ.get("KERAS_BACKEND") or (installed or ["none"])[0]
    if chosen not in installed:
        remedy = "Set KERAS_BACKEND to one of them."
        if not installed:
            remedy = 'Install one with: pip install "keras-nc[jax]"'
        print(
            f"recipes: error: the backend must be one of {BACKENDS} and "
            f"installed. Received: KERAS_BACKEND={chosen}, installed: "
            f"{', '.join(installed) or 'none'}. {remedy}",
            file=sys.stderr,
        )
        sys.exit(2)
    os.environ["KERAS_BACKEND"] = chosen


choose_backend()
