"""Read the package's files by the description in docs/files.md alone.

This uses only the standard library, so a program in another language could do
the same.
"""

import array
import ast
import bisect
import itertools
import json
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


def squash_table(powers):
    """Return the probability, of 2^16, for each x from -2047 to 2047."""
    table = {}
    for x in range(2048):
        odds = powers[8 * x % 1024] << 8 * x // 1024
        table[x] = (odds << 16) // (odds + (1 << 96))
        table[-x] = 65536 - table[x]
    return table


def initial_cells(windows, costs, bits, powers):
    """Return the cell [p, n] of order 0 for each prefix of bits."""
    weights = [0] * (1 << bits)
    for i, window in enumerate(windows):
        cost = costs[i] if costs else 0
        power = powers[-cost % 1024] >> 58 >> -(-cost // 1024)
        weights[i] = bool(window) * (max(power, 1) if costs else 1)
    cells = {}
    for depth in reversed(range(bits)):
        for i in range(1 << depth):
            zero, one = weights[2 * i : 2 * i + 2]
            p = (one << 22) // (zero + one) if zero + one else 1 << 21
            p = min(max(p, 1 << 8), (1 << 22) - (1 << 8))
            cells[(1 << depth) + i] = [p, 4 if costs else 2]
        pairs = zip(weights[::2], weights[1::2], strict=True)
        weights = [zero + one for zero, one in pairs]
    return cells


class BitDecoder:
    """The range coder for bits with a probability in units of 2^-16."""

    def __init__(self, code):
        self.code, self.at, self.span = code, 8, (1 << 64) - 1
        self.distance = int.from_bytes(code[:8].ljust(8, b"\0"), "big")

    def decode(self, part):
        step = self.span >> 16
        bit = int(self.distance < step * part)
        if not bit:
            self.distance -= step * part
        self.span = step * (part if bit else 65536 - part)
        while self.span < 1 << 56:
            more = self.code[self.at] if self.at < len(self.code) else 0
            self.distance = self.distance << 8 | more
            self.span, self.at = self.span << 8, self.at + 1
        return bit


class Slots:
    """The cells of order 1."""

    def __init__(self, count):
        self.size = 1 << min(max(10, (4 * count).bit_length()), 16)
        self.slots = [self.fresh(0) for _ in range(self.size)]

    def fresh(self, check):
        return {"check": check, **{i: [2048, 0] for i in range(1, 16)}}

    def find(self, previous, node):
        key = (previous << 16 | node) * 0x9E3779B97F4A7C15 % 2**64
        i = (key >> 40) % self.size
        check = (key >> 20) % 65536
        for j in (i, i ^ 1):
            if self.slots[j]["check"] == check:
                return self.slots[j]
        if self.slots[i ^ 1][1][1] < self.slots[i][1][1]:
            i ^= 1
        self.slots[i] = self.fresh(check)
        return self.slots[i]


def decode_adaptive(code, count, windows, costs):
    """Decode `count` codes of a block."""
    bits = (len(windows) - 1).bit_length()
    powers = powers_of_two()
    exact = squash_table(powers)
    stretch = [
        bisect.bisect_left(range(-2047, 2047), 16 * p + 8, key=exact.get) - 2047
        for p in range(4096)
    ]
    squash = {x: min(max(p, 16), 65520) for x, p in exact.items()}
    cells = initial_cells(windows, costs, bits, powers)
    coder, slots, last = BitDecoder(code), Slots(count), {}
    last_size = 1 << min(max(8, count.bit_length() + 1), 18)
    weights = [[28000, 46000, 40000] for _ in range(16)]
    weights[0], weights[8] = [65536, 0, 40000], [65536, 0, 40000]
    hits = [30000] * 3 + [50000] * 3 + [60000] * 10
    agreements = list(hits)
    ids, match, length, previous = [], 0, 0, 0
    for t in range(count):
        guess = ids[match] if length else None
        asked = length > 0 and hits[length] >= 40000
        hit = asked and coder.decode(min(hits[length], 65472))
        agrees = length > 0 and not asked
        node = 1
        for j in range(0 if hit else bits):
            if j % 4 == 0:
                slot, number = slots.find(previous, node), 1
            zero, one = cells[node], slot[number]
            row, expected = min(one[1], 7), None
            if agrees:
                expected = guess >> (bits - 1 - j) & 1
                agrees = guess >> (bits - j) == node - (1 << j)
            x = [stretch[zero[0] >> 10], stretch[one[0]], 0]
            if agrees:
                row += 8
                x[2] = stretch[agreements[length] >> 4]
                x[2] *= 1 if expected else -1
            w = weights[row]
            mixed = sum(a * b for a, b in zip(w, x, strict=True)) >> 16
            part = squash[min(max(mixed, -2047), 2047)]
            bit = coder.decode(part)
            error = 3 * (65536 * bit - part)
            for k in range(3):
                w[k] += (x[k] * error + 32768) >> 16
            if agrees:
                move(agreements, length, bit == expected, 6)
            if not one[1]:
                one[0] = zero[0] >> 10
            adapt(zero, bit << 22, 127)
            adapt(one, 4095 * bit, 7)
            number, node = 2 * number + bit, 2 * node + bit
        ids.append(guess if hit else node - (1 << bits))
        if length:
            right = ids[t] == guess
            move(hits, length, right, 5)
            match, length = match + 1, min(length + 1, 15) if right else 0
        key = (previous << 16 | ids[t]) * 0xD6E8FEB86659FD93 % 2**64
        place = (key >> 40) % last_size
        if not length and t:
            match = last.get(place, 0)
            while length < min(15, match) and (
                ids[match - 1 - length] == ids[t - length]
            ):
                length += 1
            length = length if length > 1 else 0
        last[place], previous = t + 1, ids[t]
    return ids


def move(values, i, up, shift):
    """Move a probability in units of 2^-16 towards 1 or 0."""
    values[i] += (65535 - values[i]) >> shift if up else -(values[i] >> shift)


def adapt(cell, target, limit):
    """Move the probability of a cell towards a bit."""
    cell[0] += (target - cell[0]) * (131072 // (2 * cell[1] + 3)) >> 16
    cell[1] = min(cell[1] + 1, limit)


def read_encoded(data, windows, costs):
    """Return the text of an encoded file of format version 2."""
    at, text = 46, b""
    while True:
        numbers = struct.unpack_from("<IIII", data, at)
        num_bytes, count, size, _ = numbers
        if num_bytes == 0:
            return text
        content = data[at + 20 : at + 20 + size]
        if size < num_bytes:
            ids = decode_adaptive(content, count, windows, costs)
            content = b"".join(windows[i] for i in ids)
        assert len(content) == num_bytes
        text += content
        at += 20 + size
