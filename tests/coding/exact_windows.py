"""Zero-padded windows in unlimited integers, one at a time."""

import numpy as np

from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import frequencies


class ExactWindows:
    """The rule of `ZeroPaddedWindows`, without carries or batches.

    With `exact`, intervals are not rounded. Then long windows differ.
    """

    def __init__(
        self, model, W, precision, delay, reset_every, context_bytes, exact
    ):
        self.exact = exact
        self.model = model
        self.W = W
        self.precision = precision
        self.delay = delay
        self.reset_every = reset_every
        self.context_bytes = context_bytes
        self.tables = {}

    def encode(self, text):
        """Return windows as tuples of start, end, code and context."""
        windows = []
        start = context = 0
        while start < len(text):
            codes = self.codes(text, start, context)
            length = len(codes)
            if self.delay:
                while length > 1 and codes[length - 2] == codes[-1]:
                    length -= 1
            end = start + length
            windows.append((start, end, codes[-1], context))
            every = self.reset_every
            if every is not None and len(windows) % every == 0:
                context = end
            else:
                context = self.context_at(context, end)
            start = end
        return windows

    def context_at(self, context, position):
        while position - context >= self.context_bytes:
            context += self.context_bytes
        return context

    def codes(self, text, start, context):
        """Codes of the texts from `start` on that fit, one byte longer each."""
        interval, codes = self.all_codes(), []
        for end in range(start, len(text)):
            first = self.context_at(context, end)
            table = self.table(text[first:end])
            interval = self.narrow(*interval, *table[text[end] : text[end] + 2])
            code = self.padded(*interval)
            if code is None:
                break
            codes.append(code)
        return codes

    def all_codes(self):
        """Return low, size and scale, in units of 2^-scale."""
        return (0, 1, 0) if self.exact else (0, 1 << 63, 63)

    def narrow(self, low, size, scale, below, above):
        if self.exact:
            low, scale = low << self.precision, scale + self.precision
            return low + size * below, size * (above - below), scale
        step = size >> self.precision
        low, size = low + step * below, step * (above - below)
        while size < 1 << 56:
            low, size, scale = low << 8, size << 8, scale + 8
        return low, size, scale

    def padded(self, low, size, scale):
        """The shortest code inside an interval, padded to W bits, or None."""
        for bits in range(self.W + 1):
            code = -(-(low << bits) >> scale)  # rounded up
            if (code + 1) << scale <= (low + size) << bits:
                return code << (self.W - bits)
        return None

    def decode(self, code, before):
        """The longest text with a code, or with delay the shortest."""
        text, found = before, b""
        interval = self.all_codes()
        while True:
            first = self.context_at(0, len(text))
            table = self.table(text[first:])
            low, size, scale = self.narrow(*interval, 0, 1)
            target = (((code << scale) >> self.W) - low) // size
            if target >= table[-1]:
                return found  # lost by rounding
            byte = int(np.searchsorted(table, target, "right")) - 1
            interval = self.narrow(*interval, *table[byte : byte + 2])
            text += bytes([byte])
            own = self.padded(*interval)
            if own is None:
                return found
            if own == code:
                found = text[len(before) :]
                if self.delay:
                    return found

    def table(self, prefix):
        if prefix not in self.tables:
            row = frequencies(self.model.probabilities([prefix]))
            spare = [2**self.precision - 256]
            shares = allocate(row, spare)[0] + 1
            self.tables[prefix] = [0, *np.cumsum(shares).tolist()]
        return self.tables[prefix]
