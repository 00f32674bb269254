"""Nats per token and bits per byte."""

from keras_nc.metrics.bits_per_byte import BitsPerByte
from keras_nc.metrics.token_nats import TokenNats
