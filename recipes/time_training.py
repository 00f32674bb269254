"""Time training steps of a configuration, to choose a backend and precision.

    KERAS_BACKEND=torch python -m recipes.time_training --config tiny

Prints tokens per second of M1 and M2 on random ids, in float32 and in
mixed_bfloat16; compilation is left out. Run it once per backend.
"""

import dataclasses
import statistics
import time

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.models import ByteBackbone
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.tokenizers import ByteTokenizer
from recipes import flags
from recipes import launch

STEPS = {
    "type": flags.at_least(1),
    "default": 20,
    "metavar": "N",
    "help": "Steps to time, after two, by default 20.",
}


def run(config, steps, overrides):
    """Print a table, a row for each model and precision."""
    config = launch.get_config(config, overrides)
    size = 2**config.codebook.window_bits
    print("| model | ids | backend | precision | tokens/s |")
    print("|---|---:|---|---|---:|")
    words = random_words(size)
    for dtype in ("float32", "mixed_bfloat16"):
        m1 = ByteBackbone(
            **dataclasses.asdict(config.m1),
            dtype=dtype,
            vocabulary=ByteTokenizer(),
        )
        m2 = CompressedBackbone(
            size,
            **dataclasses.asdict(config.m2),
            dtype=dtype,
            vocabulary=words,
        )
        for name, backbone, training in (
            ("M1", m1, config.m1_training),
            ("M2", m2, config.m2_training),
        ):
            rate = tokens_per_second(backbone, training, steps)
            print(
                f"| {name} | {backbone.vocabulary_size:,} "
                f"| {keras.backend.backend()} | {dtype} | {rate:,.0f} |",
                flush=True,
            )


def random_words(size):
    """Return bytes for every id, as an embedding from bytes needs them."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 8, size)
    lengths[:NUM_SPECIAL] = 0
    return [rng.bytes(int(length)) for length in lengths]


def tokens_per_second(backbone, training, steps):
    """Return the median over the timed steps."""
    model = CompressedCausalLM(backbone)
    model.compile(weighted_metrics=[])
    shape = (training.batch_size, training.sequence_length)
    ids = np.random.default_rng(0).integers(
        3, backbone.vocabulary_size, shape, dtype="int32"
    )
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        model.train_on_batch(inputs, ids)
        seconds.append(time.perf_counter() - start)
    return ids.size / statistics.median(seconds[2:])


if __name__ == "__main__":
    launch.start(run, config=launch.CONFIG, steps=STEPS)
