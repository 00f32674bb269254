"""Nine claims of the paper, and verdicts on them from our own runs."""

import dataclasses
import itertools

from recipes.compare_table import bits_at

SEEN = "seen"
NOT_SEEN = "not seen"
NOT_TESTABLE = "not testable at this size"
NOT_RUN = "not run"
#: Bits per byte by which runs of the paper at 25m differ. A smaller difference
#: says nothing.
SPREAD = 0.006
#: A model has learned nothing if it is within this share of uniform.
NOTHING = 0.02
#: A model has learned if it is below uniform by this share.
LEARNED = 0.10
#: The bits per byte by which SentencePiece leads in the paper, least and most.
LEAD = (0.07, 0.13)


@dataclasses.dataclass(frozen=True)
class Score:
    """The score of an experiment at one size, from all its seeds.

    Args:
        bits: float. Mean bits per byte of held-out text.
        half_range: float. Half of the range of the seeds.
        uniform: float. Bits per byte of the uniform model.
        flops: float. FLOPs per byte, M1 included where it runs.
    """

    bits: float
    half_range: float
    uniform: float
    flops: float

    @property
    def gain(self):
        """Share of the uniform model's bits that the model saves."""
        return 1 - self.bits / self.uniform

    @property
    def learned(self):
        """The gain; 0 if the model has learned nothing."""
        return self.gain if self.gain > NOTHING else 0.0


def verdicts(scores, sizes):
    """Judge every claim.

    Args:
        scores: dict from pairs of an experiment's name and a size to `Score`.
        sizes: All sizes, a list of str, the smallest first.

    Returns:
        A list of triples of str: the claim, the verdict, the figures.
    """
    return [(claim, *judge(scores, sizes)) for claim, judge in CLAIMS.items()]


def largest(scores, sizes, *names):
    """Return the scores of experiments at the largest size that has all.

    Returns:
        A pair of the size and a list of `Score`; `None` if no size has all.
    """
    for size in reversed(sizes):
        if all((name, size) in scores for name in names):
            return size, [scores[name, size] for name in names]
    return None


def margin(*scores):
    """Return the largest difference in bits per byte that may be chance."""
    return max(SPREAD, *(score.half_range for score in scores))


def share_margin(*scores):
    """Return the largest difference in gains that may be chance."""
    return max(margin(score) / score.uniform for score in scores)


def in_order(values, least):
    """Judge whether each value is above the one before by more than chance."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    if all(step > least for step in steps):
        return SEEN
    if any(step < -least for step in steps):
        return NOT_SEEN
    return NOT_TESTABLE


def _learn_nothing(scores, sizes):
    found = {}
    for name in ("ac_v256", "ac_v65k", "static_ac_v256"):
        at = largest(scores, sizes, name, "bytes")
        if at:
            size, [score, other] = at
            found[f"{name}, {size}"] = score
    text = _beside_uniform(found)
    kinds = {name.startswith("static") for name in found}
    if len(kinds) < 2:
        return NOT_RUN, text  # the claim is about both
    if other.gain < LEARNED:
        # Training was too short to learn even bytes.
        return NOT_TESTABLE, text
    if all(score.gain <= NOTHING for score in found.values()):
        return SEEN, text
    return NOT_SEEN, text


def _learns(scores, sizes):
    at = largest(scores, sizes, "b16_v256") or largest(
        scores, sizes, "b16_v65k"
    )
    if not at:
        return NOT_RUN, ""
    size, [score] = at
    text = _beside_uniform({f"b16, {size}": score})
    return (SEEN if score.gain >= LEARNED else NOT_SEEN), text


def _more_ids_are_better(scores, sizes):
    at = largest(scores, sizes, "b16_v65k", "b16_v256")
    if not at:
        return NOT_RUN, ""
    size, found = at
    bits = [score.bits for score in found]
    verdict = in_order(bits, margin(*found))
    return verdict, _list(["v65k", "v256"], bits, size)


def _longer_windows_learn_less(scores, sizes):
    for label in ("v256", "v65k"):
        names = [f"b{bits}_{label}" for bits in (16, 32, 64, 128)]
        at = largest(scores, sizes, *names)
        if at:
            size, found = at
            text = _list(
                names,
                [score.gain for score in found],
                size,
                "{:z.1%} below uniform",
            )
            # The longest windows may all teach nothing, so they have no order.
            learned = [-score.learned for score in found]
            while len(learned) > 2 and not any(learned[-2:]):
                learned.pop()
            return in_order(learned, share_margin(*found)), text
    return NOT_RUN, ""


def _gzip_lies_between(scores, sizes):
    names = ["ac_v256", "gzip_v256", "b16_v256"]
    at = largest(scores, sizes, *names)
    if not at:
        return NOT_RUN, ""
    size, found = at
    gains = [score.gain for score in found]
    text = _list(names, gains, size, "{:z.1%} below uniform")
    learned = [score.learned for score in found]
    return in_order(learned, share_margin(*found)), text


def _bytes_are_beaten(scores, sizes):
    """Compare at equal FLOPs per byte; interpolate between sizes of bytes."""
    own = "b16_v65k"
    points = [
        (score.flops, score.bits)
        for (name, _), score in scores.items()
        if name == "bytes"
    ]
    found = [
        (size, scores[own, size]) for size in sizes if (own, size) in scores
    ]
    if not points or not found:
        return NOT_RUN, ""
    for size, score in reversed(found):
        bits = bits_at(points, score.flops)
        if bits is not None:
            verdict = SEEN if score.bits < bits - margin(score) else NOT_SEEN
            return verdict, _list([own, "bytes"], [score.bits, bits], size)
        better = [
            b for flops, b in points if flops >= score.flops and b > score.bits
        ]
        if better:
            text = _list(
                [own, "bytes, at more FLOPs"], [score.bits, max(better)], size
            )
            return SEEN, text
    return NOT_TESTABLE, "no two sizes of bytes around its FLOPs per byte"


def _gaps(scores, sizes):
    """Return how far SentencePiece leads, a dict by size."""
    names = ("b16_v65k", "sentencepiece_32k")
    return {
        size: scores[names[0], size].bits - scores[names[1], size].bits
        for size in sizes
        if all((name, size) in scores for name in names)
    }


def _sentencepiece_leads(scores, sizes):
    gaps = _gaps(scores, sizes)
    if not gaps:
        return NOT_RUN, ""
    inside = all(LEAD[0] <= round(gap, 2) <= LEAD[1] for gap in gaps.values())
    return (SEEN if inside else NOT_SEEN), _list(gaps, gaps.values())


def _fewer_resets_are_worse(scores, sizes):
    for label in ("v256", "v65k"):
        names = [f"b16_{label}{end}" for end in ("", "_reset_2", "_never")]
        at = largest(scores, sizes, *names)
        if at:
            # In the paper, no reset at all is better than one at every second
            # window. So compare both only with one at every window.
            size, found = at
            bits = [score.bits for score in found]
            text = _list(names, bits, size)
            if bits[0] > min(score.uniform for score in found[1:]):
                # M2 is worse than M1 alone, which resets less often.
                return NOT_TESTABLE, f"{text}; M2 is weaker than M1"
            order = in_order([bits[0], min(bits[1:])], margin(*found))
            return order, text
    return NOT_RUN, ""


def _larger_models_narrow_the_gap(scores, sizes):
    gaps = _gaps(scores, sizes)
    if not gaps:
        return NOT_RUN, ""
    text = _list(gaps, gaps.values())
    if len(gaps) < 2:
        return NOT_TESTABLE, f"{text}; one size only"
    first, *_, last = gaps.values()
    return (SEEN if last < first - SPREAD else NOT_SEEN), text


CLAIMS = {
    "AC and StaticAC learn nothing beyond uniform": _learn_nothing,
    "b16 learns": _learns,
    "v65k beats v256": _more_ids_are_better,
    "Longer windows learn less": _longer_windows_learn_less,
    "GZip lies between AC and b16": _gzip_lies_between,
    "Bytes are beaten at equal FLOPs/byte": _bytes_are_beaten,
    "SentencePiece leads by 0.07 to 0.13": _sentencepiece_leads,
    "M1 reset less often is worse": _fewer_resets_are_worse,
    "Larger models narrow the gap": _larger_models_narrow_the_gap,
}


def _beside_uniform(found):
    return ", ".join(
        f"{name}: {score.bits:.3f} of {score.uniform:.3f}"
        for name, score in found.items()
    )


def _list(names, values, size=None, form="{:.3f}"):
    text = ", ".join(
        f"{name} {form.format(value)}"
        for name, value in zip(names, values, strict=True)
    )
    return f"{size}: {text}" if size else text
