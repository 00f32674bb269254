"""Keep the errors of runs, so that the other runs continue."""

from recipes.flags import say


def note(failures, name, error):
    """Print an error and keep it.

    Args:
        failures: dict of str by name, to which the error is added. `None`
            raises the error instead.
        name: str. What failed.
        error: A ValueError.
    """
    if failures is None:
        raise error
    say(f"{name}: {error}")
    failures[name] = str(error)


def raise_all(failures):
    """Raise a ValueError with the names of all that failed, if any did."""
    if failures:
        raise ValueError(
            "All runs must come to their end. Received: errors, see above, of "
            f"{', '.join(failures)}. The tables have the other runs."
        )
