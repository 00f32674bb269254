"""Byte strings that end a generated text."""

from keras_nc.coding.inputs import as_documents


def to_stop_strings(stop):
    """Stop strings as bytes.

    Args:
        stop: `None`, a `str` or `bytes`, or several of them.

    Returns:
        A list of bytes, empty for `None`.

    Raises:
        ValueError: If there is none, or one is empty.
    """
    if stop is None:
        return []
    stops = as_documents(stop)
    if not stops or b"" in stops:
        raise ValueError(
            "`stop` must be `None`, a text or a list of texts, of at least one "
            f"byte each. Received: stop={stop!r}. Pass `None` to stop at the "
            "end id only."
        )
    return stops


def cut_after(text, stops):
    """Cut a text right after the stop string that is complete first.

    Args:
        text: bytes.
        stops: A list of bytes.

    Returns:
        A pair: the text up to and with the stop string, and whether it holds
        one at all.

    Example:
    >>> cut_after(b"one, two. three.", [b".", b"e."])
    (b'one, two.', True)
    """
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    return (text[: min(ends)], True) if ends else (text, False)
