"""The figures of arXiv 2404.03626 that `recipes.reproduce_report` compares."""

import dataclasses

SIZES = ("25m", "113m", "403m", "2b")


@dataclasses.dataclass(frozen=True)
class Paper:
    """A row of the paper; `None` for what it does not say.

    Args:
        ratio: float. Bytes per token.
        bits: tuple of float. Bits per byte at each of `SIZES`.
        flops: tuple of float. Millions of FLOPs per byte at each of `SIZES`.
        uniform: float. Bits per byte of the uniform model.
        unigram: float. Bits per byte of the unigram model.
        fixed_compute: tuple of float. Bits per byte at equal compute.
    """

    ratio: float | None = None
    bits: tuple = (None,) * 4
    flops: tuple = (None,) * 4
    uniform: float | None = None
    unigram: float | None = None
    fixed_compute: tuple = (None,) * 4


#: By the names of experiments (sections 3.3, 4 and 5).
RESULTS = {
    "bytes": Paper(
        1.0,
        (1.29, 1.16, 1.08, 1.03),
        (50.0, 226, 806, 4000),
        8.0,
        4.602,
        (1.62, 1.36, 1.18, 1.03),
    ),
    "sentencepiece_32k": Paper(
        4.28,
        (1.12, 1.01, 0.94, 0.87),
        (11.7, 52.8, 188, 935),
        3.497,
        2.443,
        (1.35, 1.15, 1.00, 0.87),
    ),
    "ac_v256": Paper(5.49, (1.46,) * 4, uniform=1.457, unigram=1.457),
    "ac_v65k": Paper(10.98, (1.46,) * 4, uniform=1.457, unigram=1.457),
    "static_ac_v256": Paper(1.73, (4.61,) * 4, uniform=4.62),
    "static_ac_v65k": Paper(3.46),
    "gzip_v256": Paper(
        2.23, (2.34, 1.93, 1.69, 1.56), uniform=3.587, unigram=3.586
    ),
    "gzip_v65k": Paper(4.47, (2.92, 2.69, 2.48, 2.26), uniform=3.587),
    "b16_v256": Paper(
        2.66,
        (1.47, 1.23, 1.09, 0.99),
        (24.8, 91.0, 309, 1510),
        3.008,
        2.976,
        (1.86, 1.50, 1.21, 0.99),
    ),
    "b16_v65k": Paper(
        5.31,
        (1.25, 1.12, 1.02, 0.94),
        (15.4, 48.6, 158, 759),
        3.008,
        None,
        (1.62, 1.31, 1.10, 0.94),
    ),
    "b16_v65k_delay": Paper(
        4.40, (1.23, 1.11, 1.01, 0.93), (17.4, 57.4, 190, 915)
    ),
    "b16_v256_delay": Paper(2.20),
    "b16_v256_reset_2": Paper(3.40, (None, None, 1.748, None)),
    "b16_v65k_reset_2": Paper(6.80, (None, None, 1.697, None)),
    "b16_v256_never": Paper(5.33, (None, None, 1.501, None), uniform=1.501),
    "b24_v256": Paper(3.15),
    "b24_v65k": Paper(6.30),
    "b32_v256": Paper(
        3.49, (2.05, 1.94, 1.83, 1.65), uniform=2.292, unigram=2.285
    ),
    "b32_v65k": Paper(6.97, (1.95, 1.85, 1.74, 1.63), uniform=2.292),
    "b64_v256": Paper(
        4.16, (1.85, 1.82, 1.80, 1.79), uniform=1.923, unigram=1.921
    ),
    "b64_v65k": Paper(8.33, (1.82, 1.80, 1.79, 1.76), uniform=1.923),
    "b128_v256": Paper(
        4.61, (1.71, 1.71, 1.71, 1.71), uniform=1.735, unigram=1.735
    ),
    "b128_v65k": Paper(9.22, (1.70, 1.69, 1.68, 1.67), uniform=1.735),
}
#: 25m, v65k at a sequence of 256, so of as many bytes as v256 at 512.
BYTE_MATCHED = {"b16_v65k": 1.287, "b16_v256": 1.472}
NOTHING_SAID = Paper()
