"""Time training steps under `fit`, beside the same model in plain JAX.

    KERAS_BACKEND=jax python -m benchmarks.training
    KERAS_BACKEND=jax python -m benchmarks.training --memory 64 512
    KERAS_BACKEND=jax python -m benchmarks.training --parts --sizes 25m 113m

The peers have the same layers, loss, optimizer and precision, but plain
functions and optax. That of the relative bias adds a dense bias to the scores.
That of RoPE has no positions and, on a GPU, attention of cuDNN. Rounds of both
are interleaved; rates are medians. On TensorFlow and torch, `fit` is timed
alone. Ids are drawn by Zipf's law, for the gradient of a table depends on how
often ids repeat.

With --records, each row is written to a file as soon as it is known, and a row
that is there is not measured again. So a long run continues after --minutes.
"""

import statistics
import time

import keras
import numpy as np

from benchmarks import options
from benchmarks import timing
from benchmarks.records import Records
from keras_nc.models import SIZES
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.training import training_flops_per_token
from recipes import flags
from recipes.configs import DTYPES
from recipes.flags import say

STEPS = 4
ROUNDS = 5
LEARNING_RATE = 1e-3
POSITIONS = ("relative_bias", "rope")


def main(settings):
    """Measure a row for each size and position, and print the tables."""
    backend = keras.backend.backend()
    if backend != "jax" and (settings.parts or settings.memory):
        raise ValueError(
            "The parts and the memory of a step are read from JAX. Received: "
            f"the backend {backend}. Set KERAS_BACKEND=jax."
        )
    records = Records(settings.records)
    end = time.monotonic() + 60 * (settings.minutes or float("inf"))
    shown = []
    for case in settings.sizes:
        case = case_of(case, settings)
        for position in settings.positions:
            key = {
                **case,
                "position": position,
                "length": settings.sequence_length,
                "dtype": settings.dtype,
                "backend": backend,
                "compiled": settings.compiled,
                "parts": settings.parts,
                "device": device(),
            }
            record = records.find(key)
            if record is None and time.monotonic() > end:
                say(f"Out of time before {case['size']}, {position}")
                continue
            if record is None:
                say(f"Training {case['size']}, {position}")
                rounds = 2 if settings.quick else ROUNDS
                record = records.add(key, measured(key, rounds))
            shown.append(record)
    print(f"\n{rates_table(shown, settings.peak_tflops)}", flush=True)
    for record in shown:
        if record.get("parts_ms"):
            print(f"\n{parts_table(record)}", flush=True)
    if settings.memory:
        print_memory(settings)
    print(
        f"\n{settings.dtype}, AdamW; rounds of {STEPS} steps, interleaved. "
        f"{options.conditions(backend, 'optax', 'keras')}, {device()}"
    )


def case_of(given, settings):
    """Return size, ids and rows from `SIZE` or `SIZE:IDS:ROWS`, a dict."""
    size, *numbers = given.split(":")
    try:
        ids, rows = map(int, numbers) if numbers else (None, None)
        fits = size in SIZES and (ids is None or (ids >= 4 and rows >= 1))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "`sizes` must be names, or SIZE:IDS:ROWS. Received: "
            f"{given!r}. For example, 113m:65536:32. Names: {', '.join(SIZES)}"
        )
    rows = rows or (2 if settings.quick else settings.batch_size)
    return {"size": size, "ids": ids or settings.ids, "rows": rows}


def measured(key, rounds):
    """Measure one size with one kind of positions.

    Args:
        key: dict, see `main`.
        rounds: int.

    Returns:
        A dict of JSON values: tokens per second of ours and of the peer, FLOPs
        per token, and, if wanted, the FLOPs and milliseconds of each part.
    """
    keras.backend.clear_session()
    backbone = CompressedBackbone.from_size(
        key["size"], key["ids"], dtype=key["dtype"], position=key["position"]
    )
    model = CompressedCausalLM(backbone)
    model.compile(
        keras.optimizers.AdamW(LEARNING_RATE, global_clipnorm=1.0),
        weighted_metrics=[],
        jit_compile=True if key["compiled"] else "auto",
    )
    shape = key["rows"], key["length"]
    ids = zipf_ids(key["ids"], (STEPS * shape[0], shape[1]))
    rates = race(model, ids, shape, rounds)
    values = {
        "tokens_per_second": rates,
        "flops_per_token": training_flops_per_token(backbone, shape[1]),
    }
    if key["parts"]:
        from benchmarks import step_parts

        seconds = step_parts.part_seconds(model, ids[: shape[0]])
        step = shape[0] * shape[1] / rates["keras_nc"]
        seconds["input and host"] = max(step - seconds["step"], 0.0)
        parts = sum(seconds.values()) - seconds["step"]
        seconds["embedding, rest, fusion"] = step - parts
        values["parts_ms"] = {k: 1e3 * v for k, v in seconds.items()}
        values["parts_flops"] = step_parts.part_flops(backbone, shape[1])
    return values


def zipf_ids(vocabulary_size, shape):
    """Draw ids whose frequency is inverse to their rank."""
    ranks = np.arange(vocabulary_size - 3)
    bounds = np.cumsum(1 / (ranks + 2.7))
    draws = np.random.default_rng(0).random(shape) * bounds[-1]
    ids = 3 + np.searchsorted(bounds, draws)
    return np.minimum(ids, vocabulary_size - 1).astype("int32")


def race(model, ids, shape, rounds):
    """Return tokens per second of our model under `fit`, and of the peer."""
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}

    def fit():
        model.fit(inputs, ids, batch_size=shape[0], shuffle=False, verbose=0)

    calls = {"keras_nc": fit}
    if keras.backend.backend() == "jax":
        from benchmarks import jax_decoder

        batches = ids.reshape(STEPS, *shape)
        name, attention = "JAX, dense bias", "bias"
        if model.backbone.position == "rope":
            name, attention = "JAX, no bias", "causal"
        peer = jax_decoder.Trainer(model.backbone, LEARNING_RATE, attention)
        calls[name] = lambda: peer.fit(batches)
    seconds = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if i:  # the first round compiles
                seconds[name].append(time.perf_counter() - start)
    return {
        name: ids.size / statistics.median(times)
        for name, times in seconds.items()
    }


# === Tables ===


def rates_table(records, peak_tflops):
    """Return a table with a line for each model and peer."""
    lines = []
    for record in records:
        key, rates = record["key"], record["tokens_per_second"]
        label = f"{key['size']}, {key['ids']:,} ids, {key['rows']} x "
        label += f"{key['length']}, {key['position']}, "
        for name, rate in rates.items():
            line = [label + name, f"{rate:,.0f}"]
            if peak_tflops:
                used = rate * record["flops_per_token"] / peak_tflops / 1e10
                line.append(f"{used:.1f}%")
            lines.append([*line, f"{rates['keras_nc'] / rate:.2f}"])
    header = ["step", "tokens/s", *(["MFU"] if peak_tflops else [])]
    return timing.table([*header, "ours / this"], lines)


def parts_table(record):
    """Return the table of a step's parts."""
    milliseconds = dict(record["parts_ms"])
    milliseconds.pop("step")
    total, flops = sum(milliseconds.values()), record["parts_flops"]
    tokens = record["key"]["rows"] * record["key"]["length"]
    lines = []
    for name, time_of_part in milliseconds.items():
        of_part = flops.get(name, 0)
        speed = of_part * tokens / max(time_of_part, 1e-9) / 1e9
        lines.append(
            [
                name,
                f"{of_part / record['flops_per_token']:.1%}",
                f"{time_of_part:,.2f}",
                f"{time_of_part / total:.1%}",
                f"{speed:,.2f}" if of_part else "-",
            ]
        )
    lines.append(["whole step", "100.0%", f"{total:,.2f}", "100.0%", "-"])
    label = f"{record['key']['size']}, {record['key']['position']}"
    header = [label, "of the FLOPs", "ms alone", "of the time", "TFLOP/s"]
    return timing.table(header, lines)


def print_memory(settings):
    """Print the memory that XLA plans for a step in three ways."""
    from benchmarks import jax_decoder

    B, T = settings.memory
    rows = []
    steps = [
        ("all logits at once", 1 << 62, False),
        ("logits in chunks", 1 << 28, False),
        ("logits in chunks, gradient checkpointing", 1 << 28, True),
    ]
    case = case_of(settings.sizes[0], settings)
    for label, logits_bytes, checkpointing in steps[:: 1 + settings.quick]:
        backbone = CompressedBackbone.from_size(
            case["size"],
            case["ids"],
            dtype=settings.dtype,
            gradient_checkpointing=checkpointing,
        )
        model = CompressedCausalLM(backbone)
        model.compile(logits_bytes=logits_bytes)
        figures = jax_decoder.step_megabytes(model, B, T)
        rows.append([label, *(f"{megabytes:,.0f}" for megabytes in figures)])
    header = [f"one step, {case['size']}, {B} x {T} tokens"]
    header += ["MB kept for the gradient", "MB at the peak, as planned"]
    print(f"\n{timing.table(header, rows)}", flush=True)


def device():
    """Return the name of the device that the backend computes on."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    if backend == "torch":
        import torch

        return (
            torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        )
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return tf.config.experimental.get_device_details(gpus[0])["device_name"]


if __name__ == "__main__":
    options.start(
        main,
        takes_text=False,
        sizes={
            "nargs": "+",
            "default": ["3m", "25m"],
            "metavar": "SIZE[:IDS:ROWS]",
            "help": "Of M2, by name, perhaps with ids and rows of its own.",
        },
        positions={
            "nargs": "+",
            "choices": POSITIONS,
            "default": ["relative_bias"],
            "help": "One or both.",
        },
        parts={
            "action": "store_true",
            "help": "Time the parts of each step, too.",
        },
        ids={
            "type": flags.at_least(4),
            "default": 4096,
            "help": "Size of the vocabulary.",
        },
        batch_size={"type": flags.at_least(1), "default": 8},
        sequence_length={"type": flags.at_least(1), "default": 256},
        dtype={
            "default": "float32",
            "choices": DTYPES,
            "help": "Or mixed_bfloat16.",
        },
        compiled={
            "action": "store_true",
            "help": "Pass jit_compile=True; Keras does not for torch.",
        },
        peak_tflops={
            "type": flags.positive,
            "help": "Of the device, for MFU.",
        },
        records={"metavar": "FILE", "help": "JSON lines, to continue from."},
        minutes={
            "type": flags.positive,
            "help": "Start no row after this time.",
        },
        memory={
            "type": flags.at_least(1),
            "nargs": 2,
            "metavar": ("B", "T"),
            "help": "Plan the memory of a step of B x T tokens, too.",
        },
    )
