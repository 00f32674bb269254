"""Text to ids and back, as Keras preprocessing layers."""

from keras_nc.tokenizers.arithmetic import ArithmeticScheme
from keras_nc.tokenizers.arithmetic import ArithmeticTokenizer
from keras_nc.tokenizers.arithmetic import ZeroPaddedScheme
from keras_nc.tokenizers.arithmetic import ZeroPaddedTokenizer
from keras_nc.tokenizers.bpe import BPEScheme
from keras_nc.tokenizers.bpe import BPETokenizer
from keras_nc.tokenizers.bpe import train_bpe
from keras_nc.tokenizers.byte import ByteScheme
from keras_nc.tokenizers.byte import ByteTokenizer
from keras_nc.tokenizers.compressed import GZipScheme
from keras_nc.tokenizers.compressed import GZipTokenizer
from keras_nc.tokenizers.dictionary import DictionaryScheme
from keras_nc.tokenizers.dictionary import DictionaryTokenizer
from keras_nc.tokenizers.dictionary import train_dictionary
from keras_nc.tokenizers.equal_info import EqualInfoScheme
from keras_nc.tokenizers.equal_info import EqualInfoTokenizer
from keras_nc.tokenizers.live_windows import LiveWindowScheme
from keras_nc.tokenizers.live_windows import LiveWindowTokenizer
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import ids_of_bytes
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.sentencepiece import SentencePieceScheme
from keras_nc.tokenizers.sentencepiece import SentencePieceTokenizer
from keras_nc.tokenizers.sentencepiece import train_sentencepiece
from keras_nc.tokenizers.tokenizer import SchemeTokenizer
