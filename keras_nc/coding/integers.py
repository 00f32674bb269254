"""Integers as settings: Python's or NumPy's."""

import numbers


def as_integer(name, value, least=1, most=None, advice=""):
    """Return an integer setting as a Python `int`.

    NumPy's integers are taken, too; as they are, they would overflow in shifts
    and could not be written as JSON.

    Args:
        name: str. Name of the setting, for the error.
        value: The setting.
        least: int. Least value.
        most: int, or `None` for no bound.
        advice: str. A sentence for the end of the error.

    Returns:
        An `int`.

    Raises:
        ValueError: If the value is no integer, or out of range.

    Example:
    >>> import numpy as np
    >>> as_integer("order", np.uint8(6), 0, 255)
    6
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and value >= least and (most is None or value <= most):
        return int(value)
    rule = f"an integer from {least} to {most}"
    if most is None:
        rule = "a positive integer" if least == 1 else f"at least {least}"
    raise ValueError(
        f"`{name}` must be {rule}. Received: {name}={value!r}"
        + (f". {advice}" if advice else "")
    )
