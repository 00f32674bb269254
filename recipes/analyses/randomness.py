"""How far bits and tokens are from uniform (the paper, section 6).

    python -m recipes.analyses.randomness --workdir runs/tiny

The table has the divergence of n-grams of bits from the uniform distribution,
in bits, with Miller and Madow's correction. The last row is that of random bits
from the system, as many as the longest row has. N-grams do not overlap.
"""

import math
import secrets

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from recipes import launch
from recipes.analyses import common

NAMES = ("ac_v256", "b16_v256", "b32_v256", "b64_v256", "b128_v256")
SIZES = (1, 2, 4, 8, 12, 16)
RANDOM = "Random"


def divergence(symbols, size):
    """Estimate the divergence of symbols from uniform.

    Args:
        symbols: Integers in `[0, size)`.
        size: int.

    Returns:
        float, in bits: log2(size) minus the entropy, which is that of the
        frequencies plus `(kinds - 1) / (2 count)` nats.
    """
    counts = np.bincount(symbols, minlength=size)
    counts = counts[counts > 0]
    p = counts / counts.sum()
    entropy = -float(p @ np.log2(p))
    entropy += (counts.size - 1) / (2 * counts.sum()) / math.log(2)
    return math.log2(size) - entropy


def bits_of(ids, token_bits):
    """Return the bits of ids, most significant first."""
    pieces = (ids - NUM_SPECIAL).astype(f">u{token_bits // 8}")
    return np.unpackbits(pieces.view(np.uint8))


def ngrams(bits, n):
    """Return n-grams of bits as integers, one after the other."""
    rows = bits[: len(bits) // n * n].reshape(-1, n)
    return rows @ (1 << np.arange(n)[::-1])


def run(workdir, experiment):
    """Measure, print and draw."""
    streams = {}
    for name in experiment:
        prepared = common.Prepared(workdir, name)
        size = prepared.figures["vocabulary_size"] - NUM_SPECIAL
        if size not in (2**8, 2**16):
            raise ValueError(
                "Tokens must be 8 or 16 bits of compressed text. Received: "
                f"--experiment {name}, of {size} ids. Choose others."
            )
        streams[prepared.row] = bits_of(prepared.ids(), size.bit_length() - 1)
    longest = max(map(len, streams.values()))
    noise = secrets.token_bytes(longest // 8)
    streams[RANDOM] = np.unpackbits(np.frombuffer(noise, np.uint8))
    lines, rows = {}, []
    for name, bits in streams.items():
        values = [divergence(ngrams(bits, n), 2**n) for n in SIZES]
        # The estimate may be below 0, which has no logarithm.
        lines[name] = (SIZES, [v if v > 0 else math.nan for v in values])
        rows.append([name, f"{len(bits):,}", *(f"{v:.5f}" for v in values)])
    figure = common.chart(
        "bits of an n-gram", "divergence from uniform, bits", lines, log=True
    )
    common.save(
        workdir,
        "randomness",
        "Bits and randomness",
        "Divergence from uniform of n-grams of bits, in bits, with the "
        "correction of Miller and Madow. With few n-grams of a size, even "
        "random bits seem to diverge, so compare with the last row.",
        ["tokens", "bits", *(f"{n} bits" for n in SIZES)],
        rows,
        figure,
    )


if __name__ == "__main__":
    launch.start(
        run, workdir=common.WORKDIR, experiment=common.names_flag(NAMES)
    )
