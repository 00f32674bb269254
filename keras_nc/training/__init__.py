"""Training that can be killed at any moment and goes on where it was."""

from keras_nc.training.collapse import has_collapsed
from keras_nc.training.distribution import STRATEGIES
from keras_nc.training.distribution import get_distribution
from keras_nc.training.flops import training_flops_per_token
from keras_nc.training.optimizers import get_optimizer
from keras_nc.training.processes import initialize_processes
from keras_nc.training.processes import one_writer
from keras_nc.training.resumable_fit import resumable_fit
from keras_nc.training.schedules import InverseSquareRoot
