"""Errors of some runs, which do not stop the others."""

from recipes.flags import say


def note(failures, name, error):
    """Print an error and keep it; raise it if there is no dict to keep it in.

    Args:
        failures: dict of str by name, or `None`.
        name: str. What failed.
        error: A ValueError.
    """
    if failures is None:
        raise error
    say(f"{name}: {error}")
    failures[name] = str(error)


def raise_all(failures):
    """Raise a ValueError that names all that failed, if anything did."""
    if failures:
        raise ValueError(
            "All runs must come to their end. Received: errors, see above, of "
            f"{', '.join(failures)}. The tables have the other runs."
        )
