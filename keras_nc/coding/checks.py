"""Checks on settings."""

import operator

import numpy as np


class SettingTypeError(TypeError, ValueError):
    """A setting has the wrong type. Both TypeError and ValueError catch it."""


def as_integer(name, value, least=1, most=None, remedy=None):
    """Return a setting of any integer type as an int.

    Args:
        name: str, what the setting is called in errors.
        value: an integer of Python or NumPy. A bool is not one.
        least: int, the smallest that is allowed.
        most: int, the largest that is allowed, or `None`.
        remedy: str, a sentence that errors end with.

    Returns:
        int.

    Raises:
        SettingTypeError: if the value is not an integer.
        ValueError: if it is out of range.

    Example:
    >>> as_integer("rounds", np.uint8(200), 0) + 100
    300
    """
    remedy = f" {remedy}" if remedy else ""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        integer = operator.index(value)
    except TypeError:
        raise SettingTypeError(
            f"`{name}` must be an integer. Received: {name}={value!r}.{remedy}"
        ) from None
    if integer < least or (most is not None and integer > most):
        allowed = f"from {least} to {most}"
        if most is None:
            allowed = "positive" if least == 1 else f"at least {least}"
        raise ValueError(
            f"`{name}` must be {allowed}. Received: {name}={integer}.{remedy}"
        )
    return integer


def as_flag(name, value):
    """Return a setting as a bool.

    Args:
        name: str, what the setting is called in errors.
        value: a bool of Python or NumPy.

    Raises:
        SettingTypeError: if the value is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise SettingTypeError(
            f"`{name}` must be True or False. Received: {name}={value!r}."
        )
    return bool(value)


def as_choice(name, value, choices):
    """Return a setting that is one of some names.

    Args:
        name: str, what the setting is called in errors.
        value: str.
        choices: an iterable of str.

    Raises:
        ValueError: if the value is not one of the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be one of {sorted(choices)}. Received: "
            f"{value!r}. Choose one of them."
        )
    return str(value)
