"""Scripts that train and evaluate models with `keras_nc`, one stage each."""

import os
import sys

from keras_nc.imports import choose_backend

# Silence what TensorFlow logs about the machine at import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    choose_backend()
except ValueError as error:
    print(f"recipes: error: {error}", file=sys.stderr)
    sys.exit(2)
