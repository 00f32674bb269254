"""Cut codes of live windows into pieces of N bits, and back."""

import numpy as np

_WORD_BITS = 64
#: The paper's b24/v65k: three tokens hold two windows.
CROSSING = (24, 16)


def check_bits(window_bits, token_bits):
    """Raise a ValueError unless W and N are a supported pair."""
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


def codes_to_bytes(codes, window_bits):
    """Join the codes of a `WindowCoder` into bytes."""
    width = 8 * -(-window_bits // _WORD_BITS)
    rows = np.ascontiguousarray(codes, ">u8").view(np.uint8)
    rows = rows.reshape(len(codes), width)
    return rows[:, width - window_bits // 8 :].tobytes()


def bytes_to_codes(data, window_bits):
    """Undo `codes_to_bytes`; `data` holds whole windows."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, window_bits // 8)
    width = 8 * -(-window_bits // _WORD_BITS)
    wide = np.zeros((len(rows), width), np.uint8)
    wide[:, width - rows.shape[1] :] = rows
    codes = wide.view(">u8").astype(np.uint64)
    return codes if window_bits > _WORD_BITS else codes[:, 0]


def bytes_to_pieces(data, token_bits):
    """Return pieces of N bits, most significant first, int32."""
    return np.frombuffer(data, f">u{token_bits // 8}").astype("int32")


def pieces_to_bytes(pieces, token_bits):
    """Undo `bytes_to_pieces`."""
    return pieces.astype(f">u{token_bits // 8}").tobytes()


def split_pieces(codes, window_bits, token_bits):
    """Cut a document's codes into pieces; zero bits fill the last one."""
    data = codes_to_bytes(codes, window_bits)
    filling = -len(data) % (token_bits // 8)
    return bytes_to_pieces(data + b"\0" * filling, token_bits)


def join_pieces(pieces, window_bits, token_bits):
    """Return the codes of a document's pieces; undo `split_pieces`.

    Raises:
        ValueError: If a window is incomplete, or padding is not zero.
    """
    data = pieces_to_bytes(pieces, token_bits)
    complete = len(data) - len(data) % (window_bits // 8)
    used = -(-complete // (token_bits // 8))
    if used != len(pieces):
        raise ValueError(
            f"Windows of {window_bits} bits in tokens of {token_bits} must be "
            f"whole. Received: {len(pieces)} ids of windows, of which only "
            f"{used} are. Decode whole documents."
        )
    if any(data[complete:]):
        raise ValueError(
            "Bits after the last window must be zero. Received: "
            f"{list(data[complete:])}. Decode whole documents."
        )
    return bytes_to_codes(data[:complete], window_bits)
