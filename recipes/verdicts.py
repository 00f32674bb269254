"""Scores of experiments, and verdicts on how they compare."""

import dataclasses
import itertools
import math

SEEN = "seen"
NOT_SEEN = "not seen"
NOT_TESTABLE = "not testable at this size"
NOT_RUN = "not run"
#: Bits per byte. The paper's runs at 25m differ by as much, so a smaller
#: difference says nothing.
SPREAD = 0.006
#: A model has learned nothing if it is no more than this share below uniform.
NOTHING = 0.02
#: A model has learned if it is at least this share below the trivial models,
#: uniform and unigram. A run has failed if it is at least this share above
#: uniform.
LEARNED = 0.10


@dataclasses.dataclass(frozen=True)
class Score:
    """The score of an experiment at one size, from all its seeds.

    Args:
        bits: float. Mean bits per byte of held-out text.
        half_range: float. Half of the range of the seeds.
        uniform: float. Bits per byte of the uniform model.
        flops: float. FLOPs per byte, M1 included where it runs.
        unigram: float. Bits per byte of a unigram model.
    """

    bits: float
    half_range: float
    uniform: float
    flops: float
    unigram: float = math.inf

    @property
    def gain(self):
        """Share of the uniform model's bits that the model saves."""
        return 1 - self.bits / self.uniform

    @property
    def gain_of_context(self):
        """Share of the best trivial model's bits that the model saves."""
        return 1 - self.bits / min(self.uniform, self.unigram)


def largest(scores, sizes, *names):
    """Return the scores of experiments at the largest size that has them all.

    Returns:
        A pair of the size and a list of `Score`; `None` if no size has them
        all.
    """
    for size in reversed(sizes):
        if all((name, size) in scores for name in names):
            return size, [scores[name, size] for name in names]
    return None


def margin(*scores):
    """Return the largest difference in bits per byte that may be chance."""
    return max(SPREAD, *(2 * score.half_range for score in scores))


def share_margin(*scores):
    """Return the largest difference in gains that may be chance."""
    return max(margin(score) / score.uniform for score in scores)


def judge(steps):
    """Judge whether all differences are above zero, by more than chance.

    Args:
        steps: A list of float, the differences. A difference of 1 is the
            largest one that may be chance.
    """
    if all(step > 1 for step in steps):
        return SEEN
    if any(step < -1 for step in steps):
        return NOT_SEEN
    return NOT_TESTABLE


def step_of_bits(better, worse):
    """Return by how many margins of chance one score is better; see `judge`."""
    return (worse.bits - better.bits) / margin(better, worse)


def judge_gains(scores):
    """Judge whether each model learns more than the one before.

    Two models that both learn nothing have no order.
    """
    return judge(
        [
            (max(b.gain, 0.0) - max(a.gain, 0.0)) / share_margin(a, b)
            if max(a.gain, b.gain) > NOTHING
            else 0.0
            for a, b in itertools.pairwise(scores)
        ]
    )
