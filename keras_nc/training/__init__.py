"""Training that continues where it was interrupted."""

from keras_nc.training.callbacks import has_collapsed
from keras_nc.training.distribution import STRATEGIES
from keras_nc.training.distribution import get_distribution
from keras_nc.training.distribution import initialize_processes
from keras_nc.training.distribution import one_writer
from keras_nc.training.fit import resumable_fit
from keras_nc.training.fit import training_flops_per_token
from keras_nc.training.optimizers import InverseSquareRoot
from keras_nc.training.optimizers import get_optimizer
