"""Measure the time and memory of making a tokenizer."""

import tempfile

from benchmarks import timing
from keras_nc import models
from keras_nc.coding import Codebook
from keras_nc.data import write_shards
from keras_nc.entropy_models import ByteLMModel
from keras_nc.evaluation import bits_per_byte

SEQUENCE_LENGTH = 256
BATCH_SIZE = 16


def print_costs(trained):
    """Print seconds and memory, a row for each `peers.Trained`."""
    rows = [
        [name, f"{peer.tokenizer.vocabulary_size():,}", *_columns(peer.cost)]
        for name, peer in trained.items()
    ]
    _print(["training, all cores", "ids"], rows)


def print_m1_costs(preset, window_bits, documents):
    """Build codebooks from a trained M1, and score it on some text.

    Args:
        preset: str. Where M1 is.
        window_bits: int. W, bits per window.
        documents: A list of bytes to score M1 on.
    """
    m1 = models.ByteCausalLM.from_preset(preset)
    rows = []
    for allocation in ("arithmetic", "tunstall"):
        with timing.costing() as cost:
            Codebook.build(
                ByteLMModel(m1),
                window_bits=window_bits,
                allocation=allocation,
                parse="greedy",
                prune=False,
                rounds=0,
            )
        rows.append([allocation, *_columns(cost)])
    _print(["codebook from M1, all cores"], rows)
    with tempfile.TemporaryDirectory() as folder:
        score = bits_per_byte(
            m1,
            write_shards(documents, m1.preprocessor.tokenizer, folder),
            sequence_length=SEQUENCE_LENGTH,
            batch_size=BATCH_SIZE,
            progress=False,
        )
    print(
        f"\nM1 has {m1.backbone.count_params():,} parameters and reaches "
        f"{score:.3f} bits/byte of the held-out text.",
        flush=True,
    )


def _columns(cost):
    memory = cost.megabytes
    return [f"{cost.seconds:,.1f}", "-" if memory is None else f"{memory:,.0f}"]


def _print(columns, rows):
    header = [*columns, "seconds", "peak memory, MB"]
    print(f"\n{timing.table(header, rows)}", flush=True)
