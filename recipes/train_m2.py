"""Train M2 over windows, or a baseline over bytes or SentencePiece.

    python -m recipes.train_m2 --config tiny --workdir runs/tiny
    python -m recipes.train_m2 --config tiny --workdir runs/tiny --tokens bytes

All are trained by the same recipe on equally many tokens, as in the paper.
"""

import dataclasses

from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.models import CompressedCausalLMPreprocessor
from recipes import launch
from recipes import tokenize_corpus
from recipes.train import train

LABELS = {
    "windows": "M2 over windows",
    "built_in": "M2 over windows of the built-in codebook",
    "bytes": "Baseline bytes",
    "sentencepiece": "Baseline sentencepiece",
}


def make_m2(config, tokenizer):
    """Make an M2 of a `Config` over the ids of a tokenizer."""
    return CompressedCausalLM(
        CompressedBackbone(
            tokenizer.vocabulary_size(),
            **dataclasses.asdict(config.m2),
            dtype=config.dtype,
            vocabulary=tokenizer,
        ),
        CompressedCausalLMPreprocessor(
            tokenizer, config.m2_training.sequence_length
        ),
    )


def run(setting, tokens):
    """Train, unless it is done; return the stage's figures."""
    shards = tokenize_corpus.open_shards(setting, tokens)
    tokenizer = tokenize_corpus.get_tokenizer(setting, tokens)
    return train(
        setting,
        setting.workdir / "models" / tokens,
        lambda: make_m2(setting.config, tokenizer),
        setting.config.m2_training,
        shards,
        LABELS[tokens],
    )


if __name__ == "__main__":
    launch.main(run, trains=True, tokens=tokenize_corpus.TOKENS_FLAG)
