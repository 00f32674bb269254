"""The built-in presets: models and codebooks that come with the package."""

from keras_nc.presets.built_in import BYTE_LMS
from keras_nc.presets.built_in import COMPRESSED_LMS
from keras_nc.presets.built_in import PRESETS
from keras_nc.presets.built_in import TOKENIZERS
from keras_nc.presets.built_in import resolve
