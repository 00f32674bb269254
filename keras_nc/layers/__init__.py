"""Keras layers of the decoder, on `keras.ops` alone."""

from keras_nc.layers.causal_self_attention import CausalSelfAttention
from keras_nc.layers.decoder_block import DecoderBlock
from keras_nc.layers.decoder_block import GatedMLP
from keras_nc.layers.relative_bias import RelativeBias
from keras_nc.layers.token_embedding import TokenEmbedding
