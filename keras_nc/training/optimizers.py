"""Optimizers and learning rate schedules, by name."""

import math

import keras
from keras import ops

from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_integer

OPTIMIZERS = ("adafactor", "adamw", "muon")
SCHEDULES = ("rsqrt", "cosine", "constant")


@keras.saving.register_keras_serializable(package="keras_nc")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls with the square root of the step.

    The rate is `learning_rate / sqrt(max(step, warmup_steps))`, so it is
    constant at first. `learning_rate=1.0` with 10,000 warm-up steps is the
    paper's schedule: 0.01, then 1/sqrt(step). The rate does not depend on when
    training ends, so a model in the middle of a run can be compared with a
    model at the end of a shorter run.

    Args:
        learning_rate: float. The rate times `sqrt(step)`.
        warmup_steps: int. Steps at the flat rate, at least 1.
        ramp: bool. Whether to rise linearly from 0 to the flat rate during the
            warm-up. Optimizers without Adafactor's clipping need that.

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
        """Return the rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        warmup = float(self.warmup_steps)
        rate = self.learning_rate / ops.sqrt(ops.maximum(step, warmup))
        if self.ramp:
            rate = rate * ops.minimum((step + 1) / warmup, 1.0)
        return rate

    def get_config(self):
        """Return the constructor arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "ramp": self.ramp,
        }


def get_optimizer(
    name="adamw",
    learning_rate=1e-3,
    *,
    schedule="constant",
    warmup_steps=1,
    steps=None,
):
    """Create an optimizer by its name.

    Args:
        name: str. `"adafactor"` is the paper's; `"adamw"` has weight decay 0.1
            and clips gradients to norm 1; `"muon"` is Muon for matrices and
            AdamW for the rest; it learns most per token.
        learning_rate: float. The peak of the schedule.
        schedule: str. `"rsqrt"` falls with the square root of the step after
            the warm-up, `"cosine"` falls to 0 at the last step, `"constant"`
            stays.
        warmup_steps: int. Steps until the peak. During these, the rate rises
            linearly; with Adafactor it is constant.
        steps: int. Steps in all, for `"cosine"`.

    Returns:
        A `keras.optimizers.Optimizer`.

    Raises:
        TypeError: If a number of steps is not an integer.
        ValueError: If a name is unknown, `steps` is missing, or a number is
            out of range.

    Example:
    >>> paper = get_optimizer(
    ...     "adafactor", 0.01, schedule="rsqrt", warmup_steps=10_000
    ... )
    """
    name = as_choice("name", name, OPTIMIZERS)
    schedule = as_choice("schedule", schedule, SCHEDULES)
    # Optimizers are saved as JSON, which takes only Python numbers.
    learning_rate = float(learning_rate)
    warmup_steps = as_integer("warmup_steps", warmup_steps, 1)
    if steps is not None:
        steps = as_integer("steps", steps, 1)
    if not 0 <= learning_rate < math.inf:
        raise ValueError(
            "`learning_rate` must be finite and not negative. Received: "
            f"learning_rate={learning_rate}"
        )
    if schedule == "rsqrt":
        learning_rate = InverseSquareRoot(
            learning_rate * warmup_steps**0.5,
            warmup_steps,
            ramp=name != "adafactor",
        )
    elif schedule == "cosine":
        if steps is None or steps <= warmup_steps:
            raise ValueError(
                "A cosine schedule needs more `steps` than `warmup_steps`. "
                f"Received: steps={steps}, warmup_steps={warmup_steps}"
            )
        learning_rate = keras.optimizers.schedules.CosineDecay(
            learning_rate / warmup_steps,
            steps - warmup_steps,
            warmup_target=learning_rate,
            warmup_steps=warmup_steps,
        )
    if name == "adafactor":
        return keras.optimizers.Adafactor(learning_rate, relative_step=False)
    if name == "adamw":
        return keras.optimizers.AdamW(
            learning_rate, weight_decay=0.1, beta_2=0.95, global_clipnorm=1.0
        )
    return keras.optimizers.Muon(
        learning_rate, weight_decay=0.1, adam_weight_decay=0.1
    )
