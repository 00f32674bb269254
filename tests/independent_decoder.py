"""Read the package's files by the description in docs/files.md alone.

This uses only the standard library, so a program in another language could do
the same.
"""

import array
import ast
import bisect
import itertools
import json
import lzma
import math
import pathlib
import struct
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


def read_costs(path):
    """Return the cost of each id; none if the parse does not weigh windows."""
    with zipfile.ZipFile(path) as file:
        return list(read_npy(file.read("costs.npy")))


def powers_of_two():
    """Return 2^(i / 1024) with 96 fractional bits."""
    root = 2 << 96
    for _ in range(10):
        root = math.isqrt(root << 96)
    powers = [1 << 96]
    while len(powers) < 1024:
        powers.append(powers[-1] * root >> 96)
    return powers


def initial_cells(windows, costs, digits):
    """Return the cell [parts, uses] of order 0 for each beginning of an id."""
    powers = powers_of_two()
    weights = [0] * 16**digits
    for i, window in enumerate(windows):
        cost = costs[i] if costs else 0
        power = powers[-cost % 1024] >> 58 >> -(-cost // 1024)
        weights[i] = bool(window) * (max(power, 1) if costs else 1)
    cells = {}
    for depth in range(digits):
        for node in range(16**depth):
            size = 16 ** (digits - depth - 1)
            first = 16 * size * node
            sums = [
                sum(weights[first + d * size : first + (d + 1) * size])
                for d in range(16)
            ]
            if not any(sums):
                sums = [1] * 16
            parts = [
                sum(sums[:d]) * (2**15 - 64) // sum(sums) + 4 * d
                for d in range(16)
            ]
            cells[depth, node] = [[*parts, 2**15], 8]
    return cells


class Decoder:
    """The range coder with parts of 2^15."""

    def __init__(self, code):
        self.code, self.at, self.span = code, 8, (1 << 64) - 1
        self.distance = int.from_bytes(code[:8].ljust(8, b"\0"), "big")

    def decode(self, parts):
        """Return the symbol whose part holds the code."""
        step = self.span >> 15
        target = min(self.distance // step, 2**15 - 1)
        symbol = bisect.bisect_right(parts, target) - 1
        self.distance -= step * parts[symbol]
        self.span = step * (parts[symbol + 1] - parts[symbol])
        while self.span < 1 << 56:
            byte = self.code[self.at] if self.at < len(self.code) else 0
            self.distance = self.distance << 8 | byte
            self.span, self.at = self.span << 8, self.at + 1
        return symbol

    def ask(self, values, i, shift, learns=True):
        """Decode a yes, and move its probability."""
        yes = self.decode([0, values[i] >> 1, 2**15]) == 0
        if learns:
            move(values, i, yes, shift)
        return yes


def decode_adaptive(code, count, windows, costs):
    """Decode `count` codes of a block."""
    bits = (len(windows) - 1).bit_length()
    digits = -(-bits // 4)
    cells = initial_cells(windows, costs, digits)
    others, trust = {}, {(j, n): 32000 for j in range(2) for n in range(21)}
    followers, streaks, last = {}, {}, {}
    answers = {(s, k): 20000 for s in range(16) for k in range(2)}
    last_size = 1 << min(max(8, count.bit_length() + 1), 18)
    hits = [40000] * 16
    coder = Decoder(code)
    ids, match, length, previous = [], 0, 0, 0
    for t in range(count):
        guess = ids[match] if length else None
        refused, i = None, None
        if length and hits[length] >= 26000:
            yes = coder.ask(hits, length, 5, learns=False)
            i, refused = (guess, None) if yes else (None, guess)
        pair = followers.setdefault(previous, [0, 0])
        streak = streaks.get(previous, 0)
        for k, candidate in enumerate(pair):
            if i is not None or not candidate:
                break
            if candidate != refused and coder.ask(answers, (streak, k), 6):
                i = candidate
        if i is None:
            i = 0
            for j in range(digits):
                cell = cells[j, i]
                if j == 0 or (j == 1 and digits < 4):
                    key = (previous, j, i)
                    other = others.setdefault(key, [list(cell[0]), 0])
                    w = trust[j, other[1]]
                    parts = [
                        a + ((b - a) * w >> 16)
                        for a, b in zip(cell[0], other[0], strict=True)
                    ]
                    d = coder.decode(parts)
                    gains = [c[0][d + 1] - c[0][d] for c in (cell, other)]
                    if gains[1] > gains[0]:
                        trust[j, other[1]] += (62000 - w) >> 6
                    elif gains[1] < gains[0]:
                        trust[j, other[1]] -= w >> 6
                    adapt(other, d, 20)
                else:
                    d = coder.decode(cell[0])
                adapt(cell, d, 60)
                i = 16 * i + d
        ids.append(i)
        if pair[0] == i:
            streaks[previous] = min(streak + 1, 15)
        else:
            streaks[previous] = streak >> 1
            if pair[1] == i:
                pair.reverse()
            else:
                pair[bool(pair[0])] = i
        if length:
            right = i == guess
            move(hits, length, right, 5)
            match, length = match + 1, min(length + 1, 15) if right else 0
        key = (previous << 16 | i) * 0xD6E8FEB86659FD93 % 2**64
        place = (key >> 40) % last_size
        if not length and t:
            match = last.get(place, 0)
            while length < min(15, match) and (
                ids[match - 1 - length] == ids[t - length]
            ):
                length += 1
            length = length if length > 1 else 0
        last[place], previous = t + 1, i
    return ids


def move(values, i, up, shift):
    """Move a probability in units of 2^-16 towards 1 or 0."""
    p = values[i]
    values[i] += (65472 - p) >> shift if up else -((p - 64) >> shift)


def adapt(cell, digit, limit):
    """Move the parts of a cell towards a digit."""
    parts, uses = cell
    rate = 131072 // (2 * uses + 3)
    for d in range(16):
        goal = 4 * d + (2**15 - 64) * (d > digit)
        parts[d] += (goal - parts[d]) * rate >> 16
    cell[1] = min(uses + 1, limit)


def read_encoded(data, windows, costs):
    """Return the text of an encoded file of format version 4."""
    at, text = 56, b""
    while True:
        numbers = struct.unpack_from("<IIII", data, at)
        num_bytes, count, size, _ = numbers
        if num_bytes == 0:
            return text
        by_lzma, size = size >> 31, size & (1 << 31) - 1
        content = data[at + 20 : at + 20 + size]
        if by_lzma:
            filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 22}]
            content = lzma.decompress(content, lzma.FORMAT_RAW, None, filters)
        elif size < num_bytes:
            ids = decode_adaptive(content, count, windows, costs)
            content = b"".join(windows[i] for i in ids)
        assert len(content) == num_bytes
        text += content
        at += 20 + size
