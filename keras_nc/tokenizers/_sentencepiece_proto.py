"""Read the description in the file of a SentencePiece model.

A file is a `ModelProto` of SentencePiece, in the wire format of Protocol
Buffers: each field is a number, a type and a value. This module reads a dozen
fields, so that the `protobuf` package is not needed. The numbers and defaults
are those of `sentencepiece_model.proto`.
"""

import dataclasses

#: Types of pieces.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
#: Types of models.
UNIGRAM, BPE, WORD, CHAR = range(1, 5)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The properties of a model that decide whether text round-trips.

    Attributes:
        pieces: A list by id of pairs: the bytes of a piece, and its type.
        model_type: int. `UNIGRAM`, `BPE`, `WORD` or `CHAR`.
        normalizer: str. Name of the normalization rule.
        has_map: bool. Whether text is mapped before it is cut.
        has_decoding_map: bool. Whether text is mapped after decoding.
        add_dummy_prefix: bool. Whether a space is put before a text.
        remove_extra_whitespaces: bool. Whether spaces are dropped.
        escape_whitespaces: bool. Whether a space is written as U+2581.
    """

    pieces: list
    model_type: int
    normalizer: str
    has_map: bool
    has_decoding_map: bool
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool


def describe(proto):
    """Read a serialized model.

    Args:
        proto: bytes.

    Returns:
        A `ModelDescription`.

    Raises:
        ValueError: If the bytes are not a message.
    """
    model = _fields(proto)
    trainer = _fields(_message(model, 2))
    normalizer = _fields(_message(model, 3))
    pieces = []
    for piece in model.get(1, []):
        fields = _fields(piece)
        pieces.append((_last(fields, 1, b""), _last(fields, 3, NORMAL)))
    return ModelDescription(
        pieces=pieces,
        model_type=_last(trainer, 3, UNIGRAM),
        normalizer=_last(normalizer, 1, b"").decode(errors="replace"),
        has_map=bool(_last(normalizer, 2, b"")),
        has_decoding_map=bool(_last(_fields(_message(model, 5)), 2, b"")),
        add_dummy_prefix=bool(_last(normalizer, 3, 1)),
        remove_extra_whitespaces=bool(_last(normalizer, 4, 1)),
        escape_whitespaces=bool(_last(normalizer, 5, 1)),
    )


def _last(fields, number, default):
    """Return the value of a field: the last one of the right type wins."""
    values = fields.get(number, [])
    values = [value for value in values if type(value) is type(default)]
    return values[-1] if values else default


def _message(fields, number):
    """Return the message in a field, joined if it comes in several parts."""
    return b"".join(v for v in fields.get(number, []) if type(v) is bytes)


def _fields(data):
    """Return integers and bytes by field number; skip other numbers."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = bytes(data[at : at + size]), at + size
        elif kind in (1, 5):  # numbers of 8 and 4 bytes
            value, at = None, at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field of type {kind}")
        if at > len(data):
            raise ValueError("a field that is cut")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data, at):
    """Return an integer in groups of 7 bits, lowest first, and its end."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("an integer that is cut")
