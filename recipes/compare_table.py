"""The table of `recipes.compare_tokenizers`."""

import itertools
import math

from recipes.engine import preparation

NOTHING = "-"


def markdown(rows, records, seeds):
    """Make the table of one size of M2 and one size of the vocabularies.

    Args:
        rows: A list of `runs.Run`, a row for each; their seeds do not matter.
        records: dict of records by the names of runs. What is missing is "-".
        seeds: The seeds of each row's runs.

    Returns:
        str, a table in Markdown.
    """
    found = [
        [records[name] for name in names if name in records]
        for names in (
            [row.with_seed(seed).name for seed in seeds] for row in rows
        )
    ]
    widths = {row.config.m2.hidden_dim for row in rows}
    unseen = any(row.job.unseen for row in rows)
    points = points_of(rows, found)
    # The cost of the first tokenizer at the first width.
    flops = None
    if len(widths) > 1 and found[0]:
        flops = found[0][0]["flops_per_byte"]["with_logits"]
    header = ["tokens", "ids"]
    if len(widths) > 1:
        header.append("width")
    header += ["bytes/token", "used ids", "unigram bits/byte"]
    header += ["changed by the first word", "FLOPs/byte", "bits/byte"]
    if unseen:
        header += ["unseen bytes/token", "unseen bits/byte"]
    if flops:
        header.append(f"bits/byte at {flops:,.0f} FLOPs/byte")
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for row, its in zip(rows, found, strict=True):
        figures = preparation.read_figures(row.job)
        cells = [row.job.name, number(figures, "{vocabulary_size:,}")]
        if len(widths) > 1:
            cells.append(f"{row.config.m2.hidden_dim:,}")
        cells += [
            number(figures, "{bytes_per_token[held_out]:.3f}"),
            number(figures, "{used_ids:,}"),
            number(figures, "{unigram:.3f}"),
            number(figures, "{changed:.1%}"),
            number(its and its[0]["flops_per_byte"], "{with_logits:,.0f}"),
            score(its, "held_out"),
        ]
        if unseen:
            cells.append(number(figures, "{bytes_per_token[unseen]:.3f}"))
            cells.append(score(its, preparation.UNSEEN))
        if flops:
            bits = bits_at(points.get(row.job.name, []), flops)
            cells.append(NOTHING if bits is None else f"{bits:.3f}")
        lines.append(cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(figures, form):
    """Return a figure as text."""
    return form.format(**figures) if figures else NOTHING


def score(records, split):
    """Return the mean bits per byte, and half of the range of the seeds."""
    scores = [record["bits_per_byte"][split] for record in records]
    if not scores:
        return NOTHING
    text = f"{sum(scores) / len(scores):.3f}"
    if len(scores) > 1:
        text += f" ± {(max(scores) - min(scores)) / 2:.3f}"
    return text


def points_of(rows, found):
    """Return pairs of FLOPs and bits per byte of each tokenizer.

    Args:
        rows: As in `markdown`.
        found: The records of each row.

    Returns:
        dict of lists of pairs by the tokenizers' names, a pair for each width.
    """
    points = {}
    for row, records in zip(rows, found, strict=True):
        if records:
            cost = records[0]["flops_per_byte"]["with_logits"]
            scores = [record["bits_per_byte"]["held_out"] for record in records]
            point = cost, sum(scores) / len(scores)
            points.setdefault(row.job.name, []).append(point)
    return points


def bits_at(points, flops):
    """Return bits per byte at a cost, between the widths that were trained.

    They are linear in the logarithm of the cost.

    Args:
        points: A list of pairs of FLOPs per byte and bits per byte.
        flops: float.

    Returns:
        float; `None` outside of the widths.
    """
    points = sorted(points)
    for cost, bits in points:
        if math.isclose(cost, flops):
            return bits
    for (low, a), (high, b) in itertools.pairwise(points):
        if low < flops < high:
            share = math.log(flops / low) / math.log(high / low)
            return a + share * (b - a)
    return None
