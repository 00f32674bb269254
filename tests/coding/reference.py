"""Slow coders written from the definition, to test the fast ones.

Nothing here comes from the package; a model is asked for probabilities only.
"""

import heapq
from fractions import Fraction
from math import floor


def frequencies(model, prefix):
    row = model.probabilities([prefix])[0]
    # Scaling by a power of two is exact.
    return [floor(p * 2**24) for p in row.tolist()]


def shares(frequencies, codes):
    total = sum(frequencies)
    exact = [Fraction(f * codes, total) for f in frequencies]
    result = [floor(x) for x in exact]
    by_remainder = sorted(range(256), key=lambda b: (result[b] - exact[b], b))
    for b in by_remainder[: codes - sum(result)]:
        result[b] += 1
    return result


class ArithmeticCoder:
    """Equal-info windows with the model in the loop."""

    def __init__(self, model, window_bits, max_window_bytes):
        self.model = model
        self.start = (3, 2**window_bits - 3)
        self.longest = max_window_bytes
        self.memory = {}

    def children(self, prefix, state):
        """The code range of every next byte that fits."""
        if prefix in self.memory:
            return self.memory[prefix]
        low, size = state
        ranges = {}
        if len(prefix) < self.longest and size > 1:
            f = frequencies(self.model, prefix)
            if prefix:
                low += 1
                sizes = shares(f, size - 1)
            else:
                sizes = [1 + s for s in shares(f, size - 256)]
            for b, n in enumerate(sizes):
                if n:
                    ranges[b] = (low, n)
                low += n
        self.memory[prefix] = ranges
        return ranges

    def range_of(self, prefix):
        state = self.start
        for i, b in enumerate(prefix):
            ranges = self.children(prefix[:i], state)
            if b not in ranges:
                return None
            state = ranges[b]
        return state

    def encode(self, text):
        codes = []
        i = 0
        while i < len(text):
            window, state = b"", self.start
            while i < len(text):
                ranges = self.children(window, state)
                if text[i] not in ranges:
                    break
                state = ranges[text[i]]
                window += text[i : i + 1]
                i += 1
            codes.append(state[0])
        return codes

    def decode_one(self, code):
        """The window of a code, or None if it stands for none."""
        window, state = b"", self.start
        while state[0] != code or not window:
            for b, (low, size) in self.children(window, state).items():
                if low <= code < low + size:
                    window, state = window + bytes([b]), (low, size)
                    break
            else:
                return None
        return window


def tunstall_windows(model, window_bits, max_window_bytes):
    """The most probable prefixes, taken one by one from a heap."""
    heap = []

    def push_children(prefix, weight):
        if len(prefix) == max_window_bytes:
            return
        f = frequencies(model, prefix)
        total = sum(f)
        for b in range(256):
            child = prefix + bytes([b])
            w = weight * f[b] // total
            heapq.heappush(heap, (-w, len(child), child))

    push_children(b"", 2**39)
    windows = {bytes([b]) for b in range(256)}
    while heap and len(windows) < 2**window_bits - 3:
        weight, _, prefix = heapq.heappop(heap)
        windows.add(prefix)
        push_children(prefix, -weight)
    return sorted(windows)
