"""Read the package's files by the description in docs/files.md alone.

This uses only the standard library, so a program in another language could do
the same.
"""

import array
import ast
import itertools
import json
import pathlib
import zipfile


def read_npy(data):
    """Return the values of a `.npy` file; a str for text."""
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode())
    kind, size = header["descr"][1], int(header["descr"][2:])
    if kind == "U":
        return data[start:].decode("utf-32-le")
    code = {"i8": "q", "u1": "B", "u2": "H", "u4": "I"}[f"{kind}{size}"]
    values = array.array(code, data[start:])
    return values if header["shape"] else values[0]


def read_codebook(path):
    """Return the window of each id; b"" for an id without a window."""
    with zipfile.ZipFile(path) as file:
        lengths = read_npy(file.read("lengths.npy"))
        content = read_npy(file.read("bytes.npy")).tobytes()
    windows, end = [], 0
    for length in lengths:
        windows.append(content[end : end + length])
        end += length
    return windows


def read_shards(folder):
    """Yield the ids of each document, without the end id."""
    manifest = json.loads(pathlib.Path(folder, "manifest.json").read_text())
    for i in range(len(manifest["shards"])):
        files = [f"{name}-{i:05d}.npy" for name in ("tokens", "offsets")]
        tokens, offsets = (
            read_npy(pathlib.Path(folder, file).read_bytes()) for file in files
        )
        for first, last in itertools.pairwise(offsets):
            yield tokens[first : last - 1].tolist()


def decode_windows(windows, ids, window_bits, token_bits):
    """Look up the code that every W / N ids spell."""
    pieces = window_bits // token_bits
    if pieces > 1:
        ids = [i - 3 for i in ids]
    text = b""
    for first in range(0, len(ids), pieces):
        code = 0
        for piece in ids[first : first + pieces]:
            code = code << token_bits | piece
        text += windows[code]
    return text


def decode_stream(stream, frequencies, precision):
    """Decode a stream of one table, with its length and checksum in front."""
    length = at = 0
    while True:
        length |= (stream[at] & 127) << 7 * at
        at += 1
        if stream[at - 1] < 128:
            break
    code = stream[at + 4 :]  # after the CRC-32
    scale, total, table = (1 << precision) - 256, sum(frequencies), [0]
    for byte in range(256):
        below = sum(frequencies[: byte + 1])
        table.append(below * scale // total + byte + 1)
    span, at, text = (1 << 64) - 1, 8, b""
    distance = int.from_bytes(code[:8].ljust(8, b"\0"), "big")
    while len(text) < length:
        step = span >> precision
        byte = max(b for b in range(256) if table[b] * step <= distance)
        text += bytes([byte])
        distance -= step * table[byte]
        span = step * (table[byte + 1] - table[byte])
        while span < 1 << 56:
            distance = distance << 8 | (code[at] if at < len(code) else 0)
            span, at = span << 8, at + 1
    return text


def read_cache(path):
    """Return the frequencies after each prefix."""
    with zipfile.ZipFile(path) as file:
        names = ("children", "bytes", "frequencies")
        children, last, f = (read_npy(file.read(f"{n}.npy")) for n in names)
    prefixes = [b""]
    for i, n in enumerate(children):
        following = last[len(prefixes) : len(prefixes) + n]
        prefixes += [prefixes[i] + bytes([byte]) for byte in following]
    return {p: f[256 * i : 256 * (i + 1)] for i, p in enumerate(prefixes)}


def share(codes, frequencies):
    """Share codes among bytes; the rest goes to the largest remainders."""
    total = sum(frequencies)
    shares = [f * codes // total for f in frequencies]
    rest = sorted((-(f * codes % total), b) for b, f in enumerate(frequencies))
    for _, byte in rest[: codes - sum(shares)]:
        shares[byte] += 1
    return shares


def decode_live_windows(data, window_bits, frequencies, cache):
    """Decode windows of one table; use the cache for prefixes that it holds."""
    text = b""
    for at in range(0, len(data) - window_bits // 8 + 1, window_bits // 8):
        code = int.from_bytes(data[at : at + window_bits // 8], "big")
        window, low, size = b"", 3, (1 << window_bits) - 3
        while not window or code != low:
            own = 0 if window else 1  # the code of each byte at the start
            if window:
                low, size = low + 1, size - 1
            f = cache.get(window, frequencies)
            shares = [n + own for n in share(size - 256 * own, f)]
            byte = 0
            while code >= low + shares[byte]:
                low += shares[byte]
                byte += 1
            size = shares[byte]
            window += bytes([byte])
        text += window
    return text
