"""Learning rates over steps."""

import keras
from keras import ops

from keras_nc.coding.checks import as_integer


@keras.saving.register_keras_serializable(package="keras_nc")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls with the square root of the step.

    `learning_rate / sqrt(max(step, warmup_steps))`: flat at first, so that
    `learning_rate=1.0` and 10,000 steps of warm-up are the paper's (0.01, then
    1/sqrt(step)). It does not depend on when training ends, so that a model in
    the middle of a run can be compared with one at the end of a shorter run.

    Args:
        learning_rate: float. The rate times `sqrt(step)`.
        warmup_steps: int. Steps at the flat rate, at least 1.
        ramp: bool. Rise linearly from 0 to the flat rate meanwhile, as
            optimizers without Adafactor's clipping need it.

    Example:
    >>> schedule = InverseSquareRoot(1.0, warmup_steps=10_000)
    >>> [round(float(schedule(step)), 4) for step in (0, 10_000, 40_000)]
    [0.01, 0.01, 0.005]
    """

    def __init__(self, learning_rate=1.0, warmup_steps=10_000, ramp=False):
        self.learning_rate = float(learning_rate)
        self.warmup_steps = as_integer("warmup_steps", warmup_steps, 1)
        self.ramp = bool(ramp)

    def __call__(self, step):
        """The rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        warmup = float(self.warmup_steps)
        rate = self.learning_rate / ops.sqrt(ops.maximum(step, warmup))
        if self.ramp:
            rate = rate * ops.minimum((step + 1) / warmup, 1.0)
        return rate

    def get_config(self):
        """Constructor arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "ramp": self.ramp,
        }
