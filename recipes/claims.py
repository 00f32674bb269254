"""Nine claims of the paper, and verdicts on them from our own runs."""

import dataclasses
import itertools

from recipes.compare_table import bits_at
from recipes.paper_results import SIZES as PAPER_SIZES
from recipes.verdicts import LEARNED
from recipes.verdicts import NOT_RUN
from recipes.verdicts import NOT_SEEN
from recipes.verdicts import NOT_TESTABLE
from recipes.verdicts import NOTHING
from recipes.verdicts import SEEN
from recipes.verdicts import judge
from recipes.verdicts import judge_gains
from recipes.verdicts import largest
from recipes.verdicts import margin
from recipes.verdicts import share_margin
from recipes.verdicts import step_of_bits

#: The bits per byte by which SentencePiece leads in the paper, least and most.
LEAD = (0.07, 0.13)


def judge_all(scores, sizes):
    """Judge every claim.

    Args:
        scores: dict from pairs of an experiment's name and a size to `Score`.
        sizes: All sizes, a list of str, the smallest first.

    Returns:
        A list of triples of str: the claim, the verdict, the figures.
    """
    # Two or three seeds say little about the range of seeds. So all experiments
    # of a size get the largest range that one of them has.
    ranges = {}
    for (_, size), score in scores.items():
        ranges[size] = max(ranges.get(size, 0.0), score.half_range)
    scores = {
        key: dataclasses.replace(score, half_range=ranges[key[1]])
        for key, score in scores.items()
    }
    return [(claim, *its(scores, sizes)) for claim, its in CLAIMS.items()]


def _learn_nothing(scores, sizes):
    found, others = {}, []
    for name in ("ac_v256", "ac_v65k", "static_ac_v256"):
        at = largest(scores, sizes, name, "bytes")
        if at:
            size, [score, other] = at
            found[f"{name}, {size}"] = score
            others.append(other)
    text = _beside_uniform(found)
    kinds = {name.startswith("static") for name in found}
    if len(kinds) < 2:
        return NOT_RUN, text  # the claim is about both
    verdict = judge(
        [(NOTHING - s.gain) / share_margin(s) for s in found.values()]
    )
    if verdict == SEEN and any(s.gain < -LEARNED for s in found.values()):
        return NOT_TESTABLE, f"{text}; a run has failed"
    if verdict == SEEN and any(other.gain < LEARNED for other in others):
        return NOT_TESTABLE, f"{text}; M2 has not even learned bytes"
    return verdict, text


def _learns(scores, sizes):
    at = largest(scores, sizes, "b16_v256") or largest(
        scores, sizes, "b16_v65k"
    )
    if not at:
        return NOT_RUN, ""
    size, [score] = at
    text = _beside_uniform({f"b16, {size}": score})
    over = score.gain_of_context - LEARNED
    return judge([over / share_margin(score)]), text


def _more_ids_are_better(scores, sizes):
    at = largest(scores, sizes, "b16_v65k", "b16_v256")
    if not at:
        return NOT_RUN, ""
    size, found = at
    text = _list(["v65k", "v256"], [score.bits for score in found], size)
    verdict = judge([step_of_bits(*found)])
    if verdict == SEEN and found[0].gain_of_context <= NOTHING:
        return NOT_TESTABLE, f"{text}; nothing is learned"
    return verdict, text


def _longer_windows_learn_less(scores, sizes):
    for label in ("v256", "v65k"):
        names = [f"b{bits}_{label}" for bits in (128, 64, 32, 16)]
        at = largest(scores, sizes, *names)
        if at:
            size, found = at
            text = _list(
                names[::-1],
                [score.gain for score in found[::-1]],
                size,
                "{:z.1%} below uniform",
            )
            # The longest windows may all teach nothing, so they have no order.
            while len(found) > 2 and max(s.gain for s in found[:2]) <= NOTHING:
                found = found[1:]
            return judge_gains(found), text
    return NOT_RUN, ""


def _gzip_lies_between(scores, sizes):
    names = ["ac_v256", "gzip_v256", "b16_v256"]
    at = largest(scores, sizes, *names)
    if not at:
        return NOT_RUN, ""
    size, found = at
    gains = [score.gain for score in found]
    text = _list(names, gains, size, "{:z.1%} below uniform")
    return judge_gains(found), text


def _bytes_are_beaten(scores, sizes):
    """Compare at equal FLOPs per byte, between the sizes of `bytes`."""
    own = "b16_v65k"
    of_bytes = [score for (name, _), score in scores.items() if name == "bytes"]
    points = [(score.flops, score.bits) for score in of_bytes]
    found = [
        (size, scores[own, size]) for size in sizes if (own, size) in scores
    ]
    if not points or not found:
        return NOT_RUN, ""
    for size, score in reversed(found):
        least = margin(score, *of_bytes)

        def judged(label, bits, score=score, size=size, least=least):
            verdict = judge([(bits - score.bits) / least])
            return verdict, _list([own, label], [score.bits, bits], size)

        bits = bits_at(points, score.flops)
        if bits is not None:
            return judged("bytes", bits)
        # Bytes with more FLOPs decide if they are worse, and bytes with fewer
        # FLOPs if they are better.
        costly = [bits for flops, bits in points if flops > score.flops]
        cheap = [bits for flops, bits in points if flops < score.flops]
        for label, bits, verdict in (
            ("bytes, at more FLOPs", max(costly, default=None), SEEN),
            ("bytes, at fewer FLOPs", min(cheap, default=None), NOT_SEEN),
        ):
            if bits is not None and judged(label, bits)[0] == verdict:
                return judged(label, bits)
    return NOT_TESTABLE, "no two sizes of bytes around its FLOPs per byte"


def _gaps(scores, sizes):
    """Return by size how far SentencePiece leads, and what may be chance."""
    names = ("b16_v65k", "sentencepiece_32k")
    gaps = {}
    for size in sizes:
        if all((name, size) in scores for name in names):
            own, other = (scores[name, size] for name in names)
            gaps[size] = own.bits - other.bits, margin(own, other)
    return gaps


def _sentencepiece_leads(scores, sizes):
    gaps = _gaps(scores, sizes)
    if not gaps:
        return NOT_RUN, ""
    text = _list(gaps, [gap for gap, _ in gaps.values()])
    gaps = [gap for size, gap in gaps.items() if size in PAPER_SIZES]
    if not gaps:
        return NOT_TESTABLE, f"{text}; the paper has larger models"
    low, high = LEAD
    if all(low <= round(gap, 2) <= high for gap, _ in gaps):
        # A lead in this range says nothing if chance is as wide as the range.
        small = all(least < (high - low) / 2 for _, least in gaps)
        return (SEEN if small else NOT_TESTABLE), text
    over = [max(low - gap, gap - high) / least for gap, least in gaps]
    return (NOT_SEEN if max(over) > 1 else NOT_TESTABLE), text


def _fewer_resets_are_worse(scores, sizes):
    for label in ("v256", "v65k"):
        names = [f"b16_{label}{end}" for end in ("", "_reset_2", "_never")]
        at = largest(scores, sizes, *names)
        if at:
            # In the paper, no reset at all is better than one at every second
            # window. So compare both only with one at every window.
            size, [own, *others] = at
            text = _list(names, [score.bits for score in (own, *others)], size)
            if own.bits > min(score.uniform for score in others):
                # M2 is worse than M1 alone is with fewer resets.
                return NOT_TESTABLE, f"{text}; M2 is weaker than M1"
            return judge([step_of_bits(own, score) for score in others]), text
    return NOT_RUN, ""


def _larger_models_narrow_the_gap(scores, sizes):
    gaps = _gaps(scores, sizes)
    if not gaps:
        return NOT_RUN, ""
    text = _list(gaps, [gap for gap, _ in gaps.values()])
    if len(gaps) < 2:
        return NOT_TESTABLE, f"{text}; one size only"
    (first, least), *_ = gaps.values()
    if first <= least:
        return NOT_TESTABLE, f"{text}; no gap to narrow"

    def narrowing(a, b):
        return (a[0] - b[0]) / max(a[1], b[1])

    found = list(gaps.values())
    if min(itertools.starmap(narrowing, itertools.pairwise(found))) < -1:
        return NOT_SEEN, text  # it widens somewhere
    return judge([narrowing(found[0], found[-1])]), text


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
