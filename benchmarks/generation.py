"""Bytes per second of M2 over windows and of a byte model of the same size.

    KERAS_BACKEND=jax python -m benchmarks.generation
    python -m benchmarks.generation --sizes 113m 403m --dtype bfloat16

Both generate greedily, in one batch of one length and precision, all that
`generate` does included: exact prompts' masks and the cache. Weights are
random, because they do not change the work. By default, the bytes per window
are those of the default codebook of 16 bits on held-out text of the
default corpus. `--build` builds such a codebook and measures them.
"""

import os
import statistics
import time

import keras
import numpy as np

from benchmarks import options
from benchmarks import peers
from benchmarks import texts
from benchmarks import timing
from keras_nc import models
from keras_nc.coding import Codebook
from keras_nc.entropy_models import UnigramModel
from keras_nc.tokenizers import EqualInfoTokenizer
from recipes import flags
from recipes.configs import DTYPES
from recipes.flags import say

#: For windows of 16 bits; `recipes.draw_windows` prints it with its picture.
BYTES_PER_TOKEN = 7.58
BUILT = "phrases"
ROUNDS = 5


def main(settings):
    """Generate with both models of every size, and print the table."""
    if min(settings.batch_size, settings.length - 1) < 1:
        raise ValueError(
            "--batch-size must be at least 1 and --length at least 2. "
            f"Received: {settings.batch_size} and {settings.length}"
        )
    if not settings.build and (settings.data or settings.held_out):
        raise ValueError(
            "Text is for building a codebook. Received: `data` or `held_out` "
            "without `build`. Pass --build, too."
        )
    tokenizer, ratio = windows(settings)
    sizes = settings.sizes
    length, rounds = settings.length, ROUNDS
    if settings.quick:
        sizes, length, rounds = sizes[:1], min(length, 16), 2
    rows = []
    for size in sizes:
        say(f"Generating with models of size {size}")
        rows += race(size, tokenizer, ratio, length, rounds, settings)
    header = [
        *("model", "ids", "parameters", "compile seconds", "tokens/s"),
        *("bytes/token", "bytes/s", "x bytes"),
    ]
    print(f"\n{timing.table(header, rows)}")
    backend = keras.backend.backend()
    print(
        f"\nGreedy, {settings.batch_size} rows of {length} tokens from the "
        f"start id on, {settings.dtype}, random weights"
        f"{', one block only' if settings.quick else ''}; a byte model needs "
        f"{ratio:.1f} times as many tokens for as much text, but is timed at "
        f"the same length. Medians of {rounds} interleaved rounds. "
        f"{options.conditions('keras', backend)}"
    )


def windows(settings):
    """Return the tokenizer of M2, and its bytes per token."""
    if not settings.build:
        # Speed depends on the number of windows, not on the windows.
        model = UnigramModel.from_text(bytes(range(256)))
        codebook = Codebook.paper(model, window_bits=settings.window_bits)
        return EqualInfoTokenizer(codebook), settings.bytes_per_token
    say("Building a codebook")
    text = texts.training_text(settings.data, settings.max_bytes)
    built = peers.codebooks(text, settings.window_bits, [BUILT])
    tokenizer = built[BUILT].tokenizer
    held_out = texts.held_out_text(settings.held_out, settings.max_bytes)
    ids, _ = tokenizer.encode_batch(held_out)
    return tokenizer, sum(map(len, held_out)) / len(ids)


def race(size, tokenizer, ratio, length, rounds, settings):
    """Return rows of the table, with the byte model first."""
    made = {"dtype": settings.dtype}
    if settings.quick:
        made["num_layers"] = 1
    m1 = models.ByteCausalLM(
        models.ByteBackbone.from_size(size, **made),
        models.ByteCausalLMPreprocessor(sequence_length=length),
    )
    m2 = models.CompressedCausalLM(
        models.CompressedBackbone.from_size(
            size, tokenizer.vocabulary_size(), **made
        ),
        models.CompressedCausalLMPreprocessor(
            tokenizer, sequence_length=length
        ),
    )
    names = {f"{size}, bytes": (m1, 1.0), f"{size}, windows": (m2, ratio)}
    contenders, first = [], {}
    for name, (model, _) in names.items():
        model.compile(sampler="greedy")
        call = generator(model, settings.batch_size)
        start = time.perf_counter()
        call()
        first[name] = time.perf_counter() - start
        tokens = settings.batch_size * (length - 1)
        # Wall time: process time would miss accelerators and threads.
        cores = max(2, os.cpu_count())
        contenders.append(timing.Contender(name, call, tokens, cores))
    seconds = timing.race(contenders, rounds)
    rows, byte_rate = [], None
    for contender in contenders:
        model, bytes_per_token = names[contender.name]
        median = statistics.median(seconds[contender.name])
        rate = contender.amount / median
        byte_rate = byte_rate or rate
        say(f"{contender.name}: {rate:,.1f} tokens/s")
        rows.append(
            [
                contender.name,
                f"{model.backbone.vocabulary_size:,}",
                f"{model.count_params():,}",
                f"{max(0.0, first[contender.name] - median):,.1f}",
                f"{rate:,.1f}",
                f"{bytes_per_token:.2f}",
                f"{rate * bytes_per_token:,.1f}",
                f"{rate * bytes_per_token / byte_rate:.2f}",
            ]
        )
    return rows


def generator(model, batch_size):
    """Return a function that generates a batch of full rows."""
    encoded = model.preprocessor.generate_preprocess([b""] * batch_size)

    def call():
        ids = model.generate(encoded, stop_token_ids=None)["token_ids"]
        assert np.all(ids > 0)

    return call


if __name__ == "__main__":
    options.start(
        main,
        sizes={
            "nargs": "+",
            "default": ["3m"],
            "choices": list(models.SIZES),
            "help": "Sizes of both models.",
        },
        batch_size={
            "type": flags.at_least(1),
            "default": 8,
            "help": "Rows.",
        },
        length={
            "type": flags.at_least(2),
            "default": 128,
            "help": "Tokens per row.",
        },
        dtype={
            "default": "float32",
            "choices": DTYPES,
            "help": "A dtype policy.",
        },
        bytes_per_token={
            "type": flags.positive,
            "default": BYTES_PER_TOKEN,
            "help": "Bytes that a window stands for.",
        },
        build={
            "action": "store_true",
            "help": "Build the default codebook and measure them.",
        },
    )
