"""Show where zero-padded windows collide, and that a codebook's do not.

    python -m recipes.show_collision

The rule of "Training LLMs over Neurally Compressed Text" (section 3.3): the
code of a text is the shortest bit string whose interval lies inside the text's
own. A window ends where one more byte would need more than W bits, and its
code is padded with zeros to W bits. The decoder grows the text as long as its
code stays the same. Intervals are computed exactly here, so that what goes
wrong is the rule and not rounding.
"""

import itertools

import numpy as np

from keras_nc.coding import Codebook
from keras_nc.coding.shares import allocate
from keras_nc.coding.shares import frequencies
from keras_nc.data import default_corpus
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel

WINDOW_BITS = 16
#: Bits of a probability, as in the paper: none is below 2^-14.
PRECISION = 14
#: Its byte counts, integers, are the example's model.
SENTENCES = (
    b"she sells sea shells by the sea shore. the shells she sells are sea "
    b"shells, she is sure. if she sells sea shells on the sea shore, the "
    b"shells are sea shore shells for sure. "
)
TRAIN_BYTES = 1_000_000
SAMPLE_BYTES = 20_000


class ZeroPaddedWindows:
    """Equal-info windows by the paper's rule.

    Args:
        model: A `keras_nc.entropy_models.EntropyModel`.
    """

    def __init__(self, model):
        self._model = model
        self._cumulative = {}

    def encode(self, text):
        """Cut bytes into windows; give a list of windows and one of codes."""
        windows, codes = [], []
        start = 0
        while start < len(text):
            interval = (0, 1)
            length, code = 0, None
            for end in range(start, len(text)):
                prefix, byte = text[start:end], text[end]
                interval = self._narrow(prefix, interval, byte)
                longer = padded_code(interval, end - start + 1)
                if longer is None:
                    break
                length, code = end - start + 1, longer
            windows.append(text[start : start + length])
            codes.append(code)
            start += length
        return windows, codes

    def decode(self, code):
        """Give the longest text whose padded code is `code`."""
        text, interval = b"", (0, 1)
        decoded = b""
        while True:
            text += bytes([self._byte_at(text, interval, code)])
            interval = self._narrow(text[:-1], interval, text[-1])
            own = padded_code(interval, len(text))
            if own is None:
                return decoded
            if own == code:
                decoded = text

    def _cdf(self, prefix):
        """Cumulative frequencies of the next byte: 257 integers to 2^14."""
        if prefix not in self._cumulative:
            row = frequencies(self._model.probabilities([prefix]))
            shares = allocate(row, [2**PRECISION - 256])[0] + 1
            self._cumulative[prefix] = [0, *np.cumsum(shares).tolist()]
        return self._cumulative[prefix]

    def _narrow(self, prefix, interval, byte):
        """The interval after one byte more, in units of 2^-14 of the old."""
        low, size = interval
        below, above = self._cdf(prefix)[byte : byte + 2]
        return (low << PRECISION) + size * below, size * (above - below)

    def _byte_at(self, prefix, interval, code):
        """The byte in whose part of the interval the padded code lies."""
        low, size = interval
        scale = PRECISION * (len(prefix) + 1)
        offset = ((code << scale) >> WINDOW_BITS) - (low << PRECISION)
        cdf = self._cdf(prefix)
        return int(np.searchsorted(cdf, offset // size, side="right")) - 1


def padded_code(interval, length):
    """The shortest code inside an interval, padded to W bits, or `None`.

    Args:
        interval: Two ints, where it begins and its size, in units of
            `2^(-14 * length)`.
        length: int. Bytes of the text.

    Returns:
        The code as an int, or `None` if it has more than W bits.
    """
    low, size = interval
    scale = PRECISION * length
    for bits in range(WINDOW_BITS + 1):
        code = -(-(low << bits) >> scale)  # rounded up
        if (code + 1) << scale <= (low + size) << bits:
            return code << (WINDOW_BITS - bits)
    return None


def find_collision(rule, texts):
    """Find a text that another text shares all its codes with.

    The first window of the other has some bytes more, which do not change its
    code; the byte behind the window fits neither.

    Args:
        rule: A `ZeroPaddedWindows`.
        texts: A list of bytes.

    Returns:
        A pair of texts, the first of them one of `texts`.

    Raises:
        ValueError: If no text has such a double.
    """
    for text in texts:
        windows, codes = rule.encode(text)
        other = rule.decode(codes[0]) + text[len(windows[0]) :]
        # With one window it could be the end of the text that is ambiguous.
        several = len(windows) > 1
        if several and other != text and rule.encode(other)[1] == codes:
            return text, other
    raise ValueError(
        f"No text has a double. Received: {len(texts)} texts. Pass more, or "
        "longer ones."
    )


def count_wrong(windows, codes, decode):
    """Count the windows that do not come back from their codes."""
    pairs = zip(windows, codes, strict=True)
    return sum(decode(code) != window for window, code in pairs)


def main():
    """Print a collision, and how many windows of real text come back wrong."""
    model = UnigramModel.from_text(SENTENCES)
    texts = find_collision(ZeroPaddedWindows(model), SENTENCES.split())
    codebook = Codebook.build(model, window_bits=WINDOW_BITS)
    print("Zero-padded windows: two texts, the same codes.")
    for text in texts:
        codes = ZeroPaddedWindows(model).encode(text)[1]
        print(f"  {text!r:16}", *(f"{code:0{WINDOW_BITS}b}" for code in codes))
    print("A codebook of the same model: two texts, different codes.")
    for text in texts:
        codes = codebook.encode(text).tolist()
        print(f"  {text!r:16}", *(f"{code:0{WINDOW_BITS}b}" for code in codes))

    model = NGramModel.from_text(list(default_corpus("train", TRAIN_BYTES)))
    sample = b"".join(default_corpus("validation", SAMPLE_BYTES))
    rule = ZeroPaddedWindows(model)
    windows, codes = rule.encode(sample)
    wrong = count_wrong(windows, codes, rule.decode)
    print(f"{len(sample):,} bytes of the default corpus, n-gram counts:")
    print(
        f"  zero-padded: {wrong:,} of {len(windows):,} windows come back "
        f"wrong, {wrong / len(windows):.1%}"
    )
    codebook = Codebook.build(model, window_bits=WINDOW_BITS)
    codes = codebook.encode(sample)
    ends = np.cumsum(codebook.token_lengths[codes]).tolist()
    windows = [sample[a:b] for a, b in itertools.pairwise([0, *ends])]
    wrong = count_wrong(windows, codes.tolist(), codebook.token_bytes)
    print(
        f"  codebook: {wrong:,} of {len(windows):,} windows come back wrong, "
        f"{wrong / len(windows):.1%}"
    )


if __name__ == "__main__":
    main()
