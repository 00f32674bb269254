"""Optimizers and their schedules, by name."""

import math

import keras

from keras_nc.coding.checks import as_integer
from keras_nc.training.schedules import InverseSquareRoot

OPTIMIZERS = ("adafactor", "adamw", "muon")
SCHEDULES = ("rsqrt", "cosine", "constant")


def get_optimizer(
    name="adamw",
    learning_rate=1e-3,
    *,
    schedule="constant",
    warmup_steps=1,
    steps=None,
):
    """Make an optimizer as a configuration names it.

    Args:
        name: str. `"adafactor"`, the paper's; `"adamw"`, with weight decay 0.1
            and gradients clipped to norm 1; or `"muon"`, for matrices, with
            AdamW for the rest, which learns most per token.
        learning_rate: float. The peak of the schedule.
        schedule: str. `"rsqrt"` falls with the square root of the step after
            the warm-up, `"cosine"` falls to 0 at the last step.
        warmup_steps: int. Steps until the peak: a linear rise, or Adafactor's
            flat rate.
        steps: int. Steps in all; for `"cosine"` only.

    Returns:
        A `keras.optimizers.Optimizer`.

    Raises:
        TypeError: If a number of steps is no integer.
        ValueError: If a name is unknown, `steps` is missing, or a number is
            out of range.

    Example:
    >>> paper = get_optimizer(
    ...     "adafactor", 0.01, schedule="rsqrt", warmup_steps=10_000
    ... )
    """
    if name not in OPTIMIZERS or schedule not in SCHEDULES:
        raise ValueError(
            f"`name` must be one of {OPTIMIZERS} and `schedule` one of "
            f"{SCHEDULES}. Received: name={name!r}, schedule={schedule!r}"
        )
    # Plain numbers, which a configuration holds as JSON.
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
