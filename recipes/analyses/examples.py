"""Which texts tokens stand for (the paper, section 6 and its appendix).

    python -m recipes.analyses.examples --workdir runs/tiny

Windows may cut words anywhere. One table shows the texts of the most frequent
codes, another in how many ways windows cut the most frequent words.
"""

import collections
import re

from recipes import flags
from recipes import launch
from recipes.analyses import common

NAME = "b16_v256"
SHOWN = 12
BYTES = {
    "type": flags.amount,
    "default": 20_000,
    "metavar": "N",
    "help": "Bytes of text, by default 20,000.",
}


def run(workdir, bytes):
    """Collect and print."""
    prepared = common.Prepared(workdir, NAME)
    scheme = prepared.tokenizer().scheme
    texts = common.read_text(workdir, bytes)
    rows = scheme.coder.encode(texts)
    common.save(
        workdir,
        "examples",
        "Windows and their texts",
        f"The most frequent codes of {prepared.row}, and the texts of each. A "
        "code has several texts if windows of the paper's rule collide.",
        ["code", "windows", "texts"],
        frequent(texts, rows),
    )
    common.save(
        workdir,
        "words",
        "Words and their windows",
        f"The most frequent words of five letters and more, and how many "
        f"different sequences of {prepared.row} windows hold them.",
        ["word", "occurrences", "sequences", "one of them"],
        words(texts, rows),
    )


def frequent(texts, rows):
    """Return the most frequent codes with their texts."""
    found = collections.defaultdict(collections.Counter)
    for text, windows in zip(texts, rows, strict=True):
        for window in windows:
            found[window.code][text[window.start : window.end]] += 1
    ordered = sorted(found.items(), key=lambda item: -item[1].total())
    return [
        [
            code.hex(),
            f"{counts.total():,}",
            ", ".join(common.cell(text) for text, _ in counts.most_common(3)),
        ]
        for code, counts in ordered[:SHOWN]
    ]


def words(texts, rows):
    """Return frequent words, and in how many ways windows cut them."""
    found = collections.defaultdict(collections.Counter)
    for text, windows in zip(texts, rows, strict=True):
        ends = [window.end for window in windows]
        first = 0
        for match in re.finditer(rb"[A-Za-z]{5,}", text):
            while ends[first] <= match.start():
                first += 1
            last = first
            while ends[last] < match.end():
                last += 1
            cut = tuple(
                text[window.start : window.end]
                for window in windows[first : last + 1]
            )
            found[match[0]][cut] += 1
    ordered = sorted(found.items(), key=lambda item: -item[1].total())
    return [
        [
            common.cell(word),
            f"{cuts.total():,}",
            f"{len(cuts):,}",
            " ".join(common.cell(part) for part in cuts.most_common(1)[0][0]),
        ]
        for word, cuts in ordered[:SHOWN]
    ]


if __name__ == "__main__":
    launch.start(run, workdir=common.WORKDIR, bytes=BYTES)
