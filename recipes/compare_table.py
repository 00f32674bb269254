"""The table of `recipes.compare_tokenizers`."""

import itertools
import math

from recipes.engine import preparation
from recipes.engine.preparation import UNSEEN

NOTHING = "-"


def markdown(runs, records, seeds):
    """Make the table of one size of M2 and one size of the vocabularies.

    Each tokenizer has a row for each width of M2, and each embedding of M2 has
    columns of bits per byte.

    Args:
        runs: A list of `runs.Run`; their seeds do not matter.
        records: dict of records by the names of runs. What is missing is "-".
        seeds: The seeds of each run.

    Returns:
        str, a table in Markdown.
    """
    found = {}  # the records of a row, by embedding
    for run in runs:
        names = [run.with_seed(seed).name for seed in seeds]
        its = [records[name] for name in names if name in records]
        row = found.setdefault((run.job, run.config.m2.hidden_dim), {})
        row[run.config.m2.embedding] = its
    embeddings = list(dict.fromkeys(run.config.m2.embedding for run in runs))
    widths = {width for _, width in found}
    unseen = any(job.unseen for job, _ in found)
    flops = equal_flops(found) if len(widths) > 1 else None
    header = ["tokens", "ids"] + ["width"] * (len(widths) > 1)
    header += ["bytes/token", "used ids", "unigram bits/byte"]
    header += ["changed by the first word", "FLOPs/byte"]
    header += [f"bits/byte{_kind(name, embeddings)}" for name in embeddings]
    if unseen:
        header.append("unseen bytes/token")
        for name in embeddings:
            header.append(f"unseen bits/byte{_kind(name, embeddings)}")
    if flops:
        for name in embeddings:
            kind = _kind(name, embeddings)
            header.append(f"bits/byte at {flops:,.0f} FLOPs/byte{kind}")
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for (job, width), its in found.items():
        figures = preparation.read_figures(job)
        trained = next(filter(None, its.values()), None)
        cells = [job.name, number(figures, "{vocabulary_size:,}")]
        cells += [f"{width:,}"] * (len(widths) > 1)
        cells += [
            number(figures, "{bytes_per_token[held_out]:.3f}"),
            number(figures, "{used_ids:,}"),
            number(figures, "{unigram:.3f}"),
            number(figures, "{changed:.1%}", "changed"),
            number(trained and {"flops": cost(trained)}, "{flops:,.0f}"),
        ]
        cells += [score(its[name], "held_out") for name in embeddings]
        if unseen:
            cells.append(number(figures, "{bytes_per_token[unseen]:.3f}"))
            cells += [score(its[name], UNSEEN) for name in embeddings]
        if flops:
            for name in embeddings:
                bits = bits_at(points(found, job, name), flops)
                cells.append(NOTHING if bits is None else f"{bits:.3f}")
        lines.append(cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _kind(embedding, embeddings):
    """Return how a column names an embedding if there are several."""
    if len(embeddings) == 1:
        return ""
    return f", {embedding} embedding"


def number(figures, form, name=None):
    """Return a figure as text; `name` is one that may be `None`."""
    if not figures or (name and figures[name] is None):
        return NOTHING
    return form.format(**figures)


def score(records, split):
    """Return the mean bits per byte, and half of the range of the seeds."""
    if not records:
        return NOTHING
    text = f"{mean(records, split):.3f}"
    if len(records) > 1:
        scores = [record["bits_per_byte"][split] for record in records]
        text += f" ± {(max(scores) - min(scores)) / 2:.3f}"
    return text


def cost(records):
    """Return the FLOPs per byte of a model, logits included."""
    return records[0]["flops_per_byte"]["with_logits"]


def mean(records, split):
    """Return the mean bits per byte of some seeds."""
    scores = [record["bits_per_byte"][split] for record in records]
    return sum(scores) / len(scores)


def equal_flops(found):
    """Return the cost at which widths are compared: that of the first row.

    Args:
        found: dict of the records of rows, as in `markdown`.

    Returns:
        float, or `None` if no model of the first row is trained.
    """
    first = next(iter(found.values()))
    trained = next(filter(None, first.values()), None)
    return trained and cost(trained)


def points(found, job, embedding):
    """Return pairs of FLOPs and bits per byte of a tokenizer, by its widths."""
    rows = [its[embedding] for (other, _), its in found.items() if other == job]
    return [(cost(row), mean(row, "held_out")) for row in rows if row]


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
