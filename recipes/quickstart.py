"""All recipes in order: from text to a report with pictures.

    python -m recipes.quickstart --config tiny --workdir runs/tiny

After an interruption, the same command continues where it stopped.
"""

import time

from recipes import build_codebook
from recipes import evaluate
from recipes import generate
from recipes import launch
from recipes import tokenize_corpus
from recipes import train_m1
from recipes import train_m2
from recipes.flags import say


def run(setting):
    """Run every stage that is not finished yet."""
    start = time.perf_counter()
    if setting.config.codebook.entropy_model == "m1":
        train_m1.run(setting)
    build_codebook.run(setting)
    for tokens in tokenize_corpus.TOKENS:
        tokenize_corpus.run(setting, tokens)
        train_m2.run(setting, tokens)
    generate.run(setting)
    evaluate.run(setting)
    say(f"Done in {time.perf_counter() - start:,.0f} s")


if __name__ == "__main__":
    launch.main(run, trains=True)
