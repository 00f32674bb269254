"""Language models over neurally compressed text, in Keras 3.

A subpackage is imported when it is first used, so processes load only what they
need. For example, `keras_nc.coding` loads neither Keras nor a backend.
Importing `keras_nc.models` registers all classes with Keras, so that
`from_preset` of keras-hub and keras-nlp finds them.
"""

import sys
import typing

from keras_nc import imports

if typing.TYPE_CHECKING:
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

__version__ = "0.1.0"

__getattr__, __dir__ = imports.on_first_use(
    __name__,
    {
        "coding": "keras_nc.coding",
        "data": "keras_nc.data",
        "entropy_models": "keras_nc.entropy_models",
        "evaluation": "keras_nc.evaluation",
        "layers": "keras_nc.layers",
        "losses": "keras_nc.losses",
        "metrics": "keras_nc.metrics",
        "models": "keras_nc.models",
        "tokenizers": "keras_nc.tokenizers",
        "training": "keras_nc.training",
    },
)

# If keras-hub is already loaded, registering is cheap.
if "keras_hub" in sys.modules:
    from keras_nc import models
