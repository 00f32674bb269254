"""Train M1, the language model over bytes that makes the codebook.

    python -m recipes.train_m1 --config tiny --workdir runs/tiny

After an interruption, the same command continues after its last short epoch.
"""

import dataclasses

from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.models import ByteCausalLMPreprocessor
from keras_nc.tokenizers import ByteTokenizer
from recipes import launch
from recipes import tokenize_corpus
from recipes.train import train


def run(setting):
    """Train, unless it is done; return the stage's figures."""
    config = setting.config
    tokenize_corpus.run(setting, "bytes")

    def make_model():
        return ByteCausalLM(
            ByteBackbone(
                **dataclasses.asdict(config.m1),
                dtype=config.dtype,
                vocabulary=ByteTokenizer(),
            ),
            ByteCausalLMPreprocessor(
                sequence_length=config.m1_training.sequence_length
            ),
        )

    return train(
        setting,
        setting.workdir / "m1",
        make_model,
        config.m1_training,
        tokenize_corpus.open_shards(setting, "bytes"),
        "M1",
    )


if __name__ == "__main__":
    launch.main(run, trains=True)
