from keras_nc.coding.kernels import jit  # noqa: F401
