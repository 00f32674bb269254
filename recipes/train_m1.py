"""Train M1, the language model over bytes that makes the codebook.

    python -m recipes.train_m1 --config tiny --workdir runs/tiny

After an interruption, the same command continues after its last short epoch.
"""

import dataclasses
import time

from keras_nc.evaluation import bits_per_byte
from keras_nc.models import ByteBackbone
from keras_nc.models import ByteCausalLM
from keras_nc.models import ByteCausalLMPreprocessor
from keras_nc.tokenizers import ByteTokenizer
from recipes import launch
from recipes import tokenize_corpus
from recipes import workdir
from recipes.flags import say
from recipes.train import train

#: The built-in M1.
PRESET = "byte_lm_3m_en"


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


def load(setting):
    """Load the built-in M1 instead, and score it on the held-out text.

    Returns:
        The stage's figures, a dict.

    Raises:
        ValueError: If an M1 was trained in this workdir, or training began.
    """
    folder = setting.workdir / "m1"
    result = workdir.read_json(folder / "result.json") or {}
    if result.get("preset") == PRESET:
        return result
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"A workdir must hold the built-in M1, {PRESET}, or one of its "
            f"own. Received: --workdir {setting.workdir} with one of its own. "
            "Pass --from_scratch, or another --workdir."
        )
    setting.need_one_process("loading M1")
    tokenize_corpus.run(setting, "bytes")
    shards = tokenize_corpus.open_shards(setting, "bytes")
    say(f"Scoring the held-out text with {PRESET}")
    start = time.perf_counter()
    model = ByteCausalLM.from_preset(PRESET)
    length = model.preprocessor.sequence_length
    score = bits_per_byte(
        model,
        shards["held_out"],
        sequence_length=length,
        batch_size=2,
        progress=False,
    )
    model.save_to_preset(folder / "preset")
    return workdir.write_json(
        folder / "result.json",
        {
            "preset": PRESET,
            "bits_per_byte": score,
            "sequence_length": length,
            "bytes": 0,
            "seconds": time.perf_counter() - start,
        },
    )


if __name__ == "__main__":
    launch.main(run, trains=True)
