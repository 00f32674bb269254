"""Integers as settings of layers and models."""

import operator


def positive_integers(**settings):
    """Return settings as plain positive integers, which JSON can hold.

    Args:
        **settings: Integers by name, of Python or NumPy.

    Returns:
        A list of ints, in the order of the arguments.

    Raises:
        ValueError: If one is no integer, or not positive.
    """
    integers = []
    for name, value in settings.items():
        try:
            # Booleans are integers in Python; nobody means them here.
            integer = 0 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            integer = 0
        if integer < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. "
                f"Received: {name}={value!r}"
            )
        integers.append(integer)
    return integers
