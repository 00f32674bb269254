"""Bytes to codes and back: exact, in integers, with NumPy and Numba only."""

from keras_nc.coding.adaptive import AdaptiveCoder
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.arithmetic import ArithmeticDecoder
from keras_nc.coding.arithmetic import ArithmeticEncoder
from keras_nc.coding.arithmetic import decode_static
from keras_nc.coding.arithmetic import encode_static
from keras_nc.coding.codebook import Codebook
from keras_nc.coding.codes import END_ID
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.codes import PAD_ID
from keras_nc.coding.codes import START_ID
from keras_nc.coding.codes import Encoding
from keras_nc.coding.codes import Prompt
from keras_nc.coding.codes import join_codes
from keras_nc.coding.codes import split_codes
from keras_nc.coding.prefix_cache import PrefixCache
from keras_nc.coding.streams import StreamCoder
from keras_nc.coding.text_tokenizer import TextTokenizer
from keras_nc.coding.windows import WindowCoder
from keras_nc.coding.word_text import WordText
from keras_nc.coding.zero_padded import ZeroPaddedWindows
