"""Language models over neurally compressed text, in Keras 3."""

__version__ = "0.1.0"
