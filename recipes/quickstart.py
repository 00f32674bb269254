"""All recipes in order: from text to a report with pictures.

    python -m recipes.quickstart --config tiny --workdir runs/tiny

It starts from the built-in presets: M1 is loaded instead of trained, an M2 is
also trained over the windows of the built-in codebook, and the built-in M2
continues the same prompts. With `--from_scratch`, all of it comes from the
text. After an interruption, the same command continues where it stopped.
"""

import dataclasses
import time

from keras_nc import presets
from recipes import build_codebook
from recipes import evaluate
from recipes import generate
from recipes import launch
from recipes import tokenize_corpus
from recipes import train_m1
from recipes import train_m2
from recipes.flags import say
from recipes.tokenize_corpus import built_in_codebook

FROM_SCRATCH = {
    "action": "store_true",
    "help": "Use no presets: train M1, and build the codebook with it.",
}


def configure(config, from_scratch):
    """Return the configuration to use with presets, or without."""
    codebook = config.codebook
    if from_scratch or codebook.paper:
        return config
    # M1 adds 0.1% to the windows of the demo's text, and takes minutes.
    codebook = dataclasses.replace(codebook, entropy_model="counts")
    return dataclasses.replace(config, codebook=codebook)


def run(setting, from_scratch):
    """Run every stage that is not finished yet."""
    start = time.perf_counter()
    kinds = list(tokenize_corpus.TOKENS)
    if not from_scratch:
        train_m1.load(setting)
    elif setting.config.codebook.entropy_model == "m1":
        train_m1.run(setting)
    if from_scratch or built_in_codebook(setting) not in presets.TOKENIZERS:
        kinds.remove("built_in")
    build_codebook.run(setting)
    for tokens in kinds:
        tokenize_corpus.run(setting, tokens)
        train_m2.run(setting, tokens)
    generate.run(setting, presets=() if from_scratch else [generate.PRESET])
    evaluate.run(setting)
    say(f"Done in {time.perf_counter() - start:,.0f} s")


if __name__ == "__main__":
    launch.main(
        run, trains=True, configure=configure, from_scratch=FROM_SCRATCH
    )
