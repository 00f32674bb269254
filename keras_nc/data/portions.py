"""Take a number of bytes of a text, cut at natural boundaries."""


def cut_position(document, limit):
    r"""Find the best place to cut a document in two.

    Args:
        document: bytes.
        limit: int, the most bytes before the cut.

    Returns:
        int, at most `limit`: after the last blank line in the last quarter
        before `limit`, else after the last line or word there, else where no
        UTF-8 character is cut.

    Example:
    >>> from keras_nc.data import cut_position
    >>> cut_position(b"One line.\nAnother line.\n", 12)
    10
    """
    if limit >= len(document):
        return len(document)
    for end in (b"\n\n", b"\r\n\r\n", b"\n", b" "):
        least = max(0, limit - limit // 4 - len(end))
        found = document.rfind(end, least, limit)
        if found >= 0:
            return found + len(end)
    # In UTF-8, the first byte of a character is at most three bytes back.
    for position in range(limit, max(limit - 4, 0), -1):
        if document[position] & 0xC0 != 0x80:
            return position
    return limit


def take_bytes(documents, max_bytes):
    """Take documents up to a number of bytes.

    Documents are taken in order; those that do not fit are skipped. If the
    result has less than half of `max_bytes`, the first document that did not
    fit comes last, cut at `cut_position`.

    Args:
        documents: iterable of bytes.
        max_bytes: int, or `None` for all.

    Yields:
        bytes: documents, none of them empty.

    Example:
    >>> from keras_nc.data import take_bytes
    >>> list(take_bytes([b"long one", b"two", b"three"], 5))
    [b'two']
    >>> list(take_bytes([b"long one", b"longest"], 5))
    [b'long ']
    """
    room = float("inf") if max_bytes is None else max_bytes
    too_long = None
    for document in filter(None, documents):
        if len(document) <= room:
            room -= len(document)
            yield document
        elif too_long is None:
            too_long = document
        if room <= 0:
            return
    if too_long is not None and room > max_bytes / 2:
        yield too_long[: cut_position(too_long, room)]
