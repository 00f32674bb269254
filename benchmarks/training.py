"""Compare a training step under `fit` with the same model in plain JAX.

    KERAS_BACKEND=jax python -m benchmarks.training
    KERAS_BACKEND=jax python -m benchmarks.training --sizes 3m 25m --memory

The peer has the same layers, loss, optimizer and precision, but plain functions
and optax. Rounds of both are interleaved; rates are medians.
"""

import statistics
import time

import keras
import numpy as np

from benchmarks import jax_decoder
from benchmarks import options
from benchmarks import timing
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.training import training_flops_per_token
from recipes.flags import say

STEPS = 4
ROUNDS = 5
LEARNING_RATE = 1e-3


def main(settings):
    """Race both, a row for each size; then print what chunks save."""
    if keras.backend.backend() != "jax":
        raise ValueError(
            "The peer is written for JAX, so both must run on it. Received: "
            f"the backend {keras.backend.backend()}. Set KERAS_BACKEND=jax."
        )
    if settings.quick:
        settings.batch_size, settings.sequence_length = 2, 32
    shape = settings.batch_size, settings.sequence_length
    rows = []
    for size in settings.sizes:
        say(f"Training {size}")
        backbone = CompressedBackbone.from_size(
            size, settings.ids, dtype=settings.dtype
        )
        rates = race(backbone, shape, 2 if settings.quick else ROUNDS)
        flops = training_flops_per_token(backbone, shape[1])
        row = [size]
        for rate in rates:
            row.append(f"{rate:,.0f}")
            if settings.peak_tflops:
                row.append(f"{rate * flops / settings.peak_tflops / 1e10:.1f}%")
        rows.append([*row, f"{rates[0] / rates[1]:.2f}"])
    utilization = ["MFU"] if settings.peak_tflops else []
    header = ["size", "keras_nc tokens/s", *utilization]
    header += ["JAX and optax tokens/s", *utilization, "ratio"]
    print(f"\n{timing.table(header, rows)}", flush=True)
    if settings.memory:
        print_memory(settings)
    print(
        f"\n{settings.ids:,} ids, batches of {shape[0]} x {shape[1]} tokens, "
        f"{settings.dtype}, AdamW; rounds of {STEPS} steps, interleaved. "
        f"{options.conditions('jax', 'optax', 'keras')}, "
        f"{jax_decoder.device()}"
    )


def race(backbone, shape, rounds):
    """Return tokens per second of our model under `fit`, and of the peer."""
    model = CompressedCausalLM(backbone)
    model.compile(
        keras.optimizers.AdamW(LEARNING_RATE, global_clipnorm=1.0),
        weighted_metrics=[],
    )
    rows = (STEPS * shape[0], shape[1])
    ids = np.random.default_rng(0).integers(
        3, backbone.vocabulary_size, rows, dtype="int32"
    )
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    peer = jax_decoder.Trainer(backbone, LEARNING_RATE)

    def fit():
        model.fit(inputs, ids, batch_size=shape[0], shuffle=False, verbose=0)

    def fit_peer():
        peer.fit(ids.reshape(STEPS, *shape))

    seconds = {fit: [], fit_peer: []}
    for i in range(rounds + 1):
        for call, times in seconds.items():
            start = time.perf_counter()
            call()
            if i:  # the first round compiles
                times.append(time.perf_counter() - start)
    return [ids.size / statistics.median(times) for times in seconds.values()]


def print_memory(settings):
    """Print the memory that XLA plans for a step in three ways."""
    B, T = settings.memory
    rows = []
    steps = [
        ("all logits at once", 1 << 62, False),
        ("logits in chunks", 1 << 28, False),
        ("logits in chunks, gradient checkpointing", 1 << 28, True),
    ]
    for label, logits_bytes, checkpointing in steps[:: 1 + settings.quick]:
        backbone = CompressedBackbone.from_size(
            settings.sizes[0],
            settings.ids,
            dtype=settings.dtype,
            gradient_checkpointing=checkpointing,
        )
        model = CompressedCausalLM(backbone)
        model.compile(logits_bytes=logits_bytes)
        figures = jax_decoder.step_megabytes(model, B, T)
        rows.append([label, *(f"{megabytes:,.0f}" for megabytes in figures)])
    header = [f"one step, {settings.sizes[0]}, {B} x {T} tokens"]
    header += ["MB kept for the gradient", "MB at the peak, as planned"]
    print(f"\n{timing.table(header, rows)}", flush=True)


if __name__ == "__main__":
    options.start(
        main,
        takes_text=False,
        sizes={
            "nargs": "+",
            "default": ["3m", "25m"],
            "help": "Of M2, by name.",
        },
        ids={"type": int, "default": 4096, "help": "Size of the vocabulary."},
        batch_size={"type": int, "default": 8},
        sequence_length={"type": int, "default": 256},
        dtype={"default": "float32", "help": "Or mixed_bfloat16."},
        peak_tflops={"type": float, "help": "Of the device, for MFU."},
        memory={
            "type": int,
            "nargs": 2,
            "metavar": ("B", "T"),
            "help": "Plan the memory of a step of B x T tokens, too.",
        },
    )
