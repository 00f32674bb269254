"""How much of a sentence's tokens its first word changes (section 6.3).

    python -m recipes.analyses.stability --workdir runs/tiny

The Levenshtein distance between tokenizations of one sentence after different
first words, divided by the number of tokens.
"""

from keras_nc.evaluation import instability
from recipes import flags
from recipes import launch
from recipes.analyses import common
from recipes.engine.preparation import SENTENCE

NAMES = ("bytes", "sentencepiece_4k", "phrases_4k", "b16_v256", "ac_v256")
WORDS = {
    "type": flags.at_least(2),
    "default": 20,
    "metavar": "N",
    "help": "First words, by default 20; 500 in the paper.",
}


def run(workdir, experiment, words):
    """Measure and print."""
    text = b" ".join(common.read_text(workdir, 200 * words))
    first_words = list(dict.fromkeys(text.split()))[:words]
    changes = {}
    for name in experiment:
        prepared = common.Prepared(workdir, name)
        changes[prepared.row] = instability(
            prepared.tokenizer(), SENTENCE, first_words
        )
    rows = [[row, f"{change:.1%}"] for row, change in changes.items()]
    figure = common.bars(
        "share of tokens that change (lower is more stable)", changes
    )
    common.save(
        workdir,
        "stability",
        "Stability",
        f"Share of a sentence's tokens that change with its first word, over "
        f"{len(first_words)} first words. In the paper, the share is low for "
        "SentencePiece, higher for EqualInfo, and highest for AC.",
        ["tokens", "changed"],
        rows,
        figure,
    )


if __name__ == "__main__":
    launch.start(
        run,
        workdir=common.WORKDIR,
        experiment=common.names_flag(NAMES),
        words=WORDS,
    )
