"""Codes of live windows in pieces of N bits, and back."""

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import join_codes
from keras_nc.coding import split_codes

_WORD_BITS = 64
#: The paper's b24/v65k: three tokens hold two windows.
CROSSING = (24, 16)


def check_bits(window_bits, token_bits):
    """Raise a ValueError unless windows and tokens have such bits."""
    widths = [*range(24, 65, 8), 128]
    divides = token_bits in (8, 16) and window_bits % token_bits == 0
    crosses = (window_bits, token_bits) == CROSSING
    if window_bits not in widths or not (divides or crosses):
        raise ValueError(
            f"`window_bits` must be one of {widths}, and `token_bits` 8 or 16 "
            "and a divisor of `window_bits`, or 16 with 24. Received: "
            f"window_bits={window_bits}, token_bits={token_bits}. Windows of "
            "up to 16 bits are for an `EqualInfoTokenizer`."
        )


def split_pieces(codes, window_bits, token_bits):
    """Pieces of a document's codes, most significant first, int32.

    `codes` are what `WindowCoder.encode_batch` gives. If tokens cross windows,
    zero bits fill the last piece.
    """
    if (window_bits, token_bits) == CROSSING:
        data = pieces_of(codes, window_bits, 8).astype(np.uint8).tobytes()
        return np.frombuffer(data + b"\0" * (len(data) % 2), ">u2")
    if window_bits > _WORD_BITS:
        return pieces_of(codes.reshape(-1), _WORD_BITS, token_bits)
    return pieces_of(codes, window_bits, token_bits)


def join_pieces(pieces, window_bits, token_bits):
    """Codes of a document's pieces; undoes `split_pieces`.

    Raises:
        ValueError: If a window is incomplete, or padding is not zero.
    """
    windows = len(pieces) * token_bits // window_bits
    used = -(-windows * window_bits // token_bits)
    if used != len(pieces):
        raise ValueError(
            f"Windows of {window_bits} bits in tokens of {token_bits} must be "
            f"whole. Received: {len(pieces)} ids of windows, of which only "
            f"{used} are. Decode whole documents."
        )
    if (window_bits, token_bits) == CROSSING:
        data = np.frombuffer(pieces.astype(">u2").tobytes(), np.uint8)
        whole = len(data) - len(data) % 3
        if data[whole:].any():
            raise ValueError(
                "Bits after the last window must be zero. Received: "
                f"{data[whole:].tolist()}. Decode whole documents."
            )
        return _codes_of(data[:whole].astype(np.int32), window_bits, 8)
    if window_bits > _WORD_BITS:
        return _codes_of(pieces, _WORD_BITS, token_bits).reshape(-1, 2)
    return _codes_of(pieces, window_bits, token_bits)


def pieces_of(codes, bits, token_bits):
    """Pieces of codes of up to 64 bits."""
    return split_codes(codes, bits, token_bits) - NUM_SPECIAL


def _codes_of(pieces, bits, token_bits):
    return join_codes(pieces + NUM_SPECIAL, bits, token_bits)
