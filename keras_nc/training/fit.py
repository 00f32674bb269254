"""`fit` that continues after an interruption."""

import pathlib
import sys

import keras
import numpy as np

from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_integer
from keras_nc.data import PackedSequences
from keras_nc.data import process_batches
from keras_nc.data import tf_dataset
from keras_nc.evaluation import training_flops_per_token
from keras_nc.training.callbacks import Keeper
from keras_nc.training.callbacks import Pace
from keras_nc.training.callbacks import TensorBoardLog
from keras_nc.training.callbacks import TrainingClock
from keras_nc.training.callbacks import TrainingProgress
from keras_nc.training.checkpoint import Checkpoint
from keras_nc.training.checkpoint import describe_run
from keras_nc.training.checkpoint import find_bits_per_byte
from keras_nc.training.distribution import check_batch_size
from keras_nc.training.distribution import check_same_step
from keras_nc.training.distribution import is_first_process
from keras_nc.training.distribution import num_processes

#: Tokens to count ids in. More tokens hardly change the unigram loss.
_SAMPLE = 2**22
ON_COLLAPSE = ("stop", "restart", "ignore")


def resumable_fit(
    model,
    shards,
    directory,
    *,
    sequence_length,
    batch_size,
    steps,
    steps_per_epoch,
    seed=0,
    short_length=None,
    short_every=4,
    packing="joined",
    weights=None,
    held_out=None,
    keep=2,
    on_collapse="stop",
    max_restarts=3,
    peak_flops=None,
    label="Training",
    tensorboard=True,
    progress=True,
    save_seconds=0.0,
    stop=None,
):
    """Train a compiled model for `steps` steps, and continue after a crash.

    Batches are a function of seed and step, and the state is saved after every
    short epoch. So after a crash, the same call ends with the weights of an
    uninterrupted run. A complete run is loaded, not repeated.

    A folder holds one run. To continue it, these must be the same: the text,
    the model and its dtype, the weights that are trained (LoRA factors count),
    the optimizer, the loss, the held-out text, the metric `bits_per_byte`, and
    `sequence_length`, `batch_size`, `steps`, `steps_per_epoch`, `seed`,
    `short_length`, `short_every`, `packing` and `weights`.
    Everything else may change: the other arguments of this function, whether
    there is held-out text, `gradient_checkpointing`, the other arguments of
    `compile`, the number of devices, the strategy, and the backend. On another
    backend, numbers agree up to rounding.

    A short epoch whose loss is not finite, or has collapsed
    (`training.has_collapsed`), is never saved. Training then stops with an
    error, or restarts from the last state with the data in another order, drawn
    from `seed` and the number of restarts. If this happens again before a new
    state is saved, the next restart goes back one state further. The number of
    restarts is part of the state, so a run that is interrupted later continues
    in the same way.

    In `directory`: `checkpoint/` (the last states), `metrics.csv` (one row per
    short epoch) and `tensorboard/`.

    Args:
        model: A compiled `DecoderCausalLM` with the metric `BitsPerByte`.
        shards: `TokenShards` to train on, written by the model's tokenizer,
            or a list of them to mix.
        directory: Folder of the run, created if it does not exist.
        sequence_length: int, T, tokens per sequence.
        batch_size: int, B, sequences per batch.
        steps: int. Steps in all.
        steps_per_epoch: int. Steps between checkpoints; divides `steps`.
        seed: int. Seed of the order of the sequences.
        short_length: int, or `None`. See `data.PackedSequences`.
        short_every: int. See `data.PackedSequences`.
        packing: str. See `data.PackedSequences`. Documents are numbered if the
            backbone has document masks.
        weights: A list of numbers, or `None`. See `data.PackedSequences`.
        held_out: `TokenShards` to evaluate on after each short epoch, or
            `None`.
        keep: int. Number of states to keep. If the last one cannot be read,
            training continues from the one before.
        on_collapse: str. `"stop"` stops with an error, `"restart"` goes back
            to the last state, `"ignore"` stops only if the loss is not finite.
        max_restarts: int. Restarts in all. After them, training stops.
        peak_flops: float. Peak FLOP/s of all devices in use. With it, the
            progress line, `metrics.csv` and TensorBoard show the model FLOPs
            utilization (`evaluation.training_flops_per_token`).
        label: str. Name of the run in the progress line.
        tensorboard: bool. Whether to write TensorBoard events.
        progress: bool. Whether to show progress.
        save_seconds: float. A state is saved after a short epoch only if the
            one before is older than this, or training ends or stops. With 0,
            every short epoch is saved.
        stop: A function without arguments that is called after each short
            epoch. If it returns True, training stops there, and the same call
            continues later. Only for a single process, like `save_seconds`.

    Returns:
        The rows of `metrics.csv`, up to the last step or to `stop`, a list of
        dicts: `step`, `tokens` and `bytes` seen, `seconds` of training (with
        compilation, without evaluation), `tokens_per_second` since the last
        row, `loss` in nats per token, `bits_per_byte` of the text trained on
        since the last row, `mfu` since the last row, from 0 to 1, and
        `held_out_bits_per_byte`.

    Raises:
        TypeError: If a setting that must be an integer is not.
        ValueError: If the folder holds another run, the checkpoint is damaged,
            a number is out of range, another tokenizer wrote the shards, they
            hold no text, or the loss collapses or is not finite.
    """
    settings = {
        "sequence_length": as_integer("sequence_length", sequence_length, 1),
        "batch_size": as_integer("batch_size", batch_size, 1),
        "steps": as_integer("steps", steps, 1),
        "steps_per_epoch": as_integer("steps_per_epoch", steps_per_epoch, 1),
        "seed": as_integer("seed", seed, 0),
    }
    sequence_length, batch_size, steps, steps_per_epoch, seed = (
        settings.values()
    )
    short = None
    if short_length is not None:
        short = {"short_length": short_length, "short_every": short_every}
    max_restarts = as_integer("max_restarts", max_restarts, 0)
    check_arguments(steps, steps_per_epoch, on_collapse, peak_flops)
    check_steps_per_execution(model, steps_per_epoch)
    if num_processes() > 1 and (save_seconds or stop is not None):
        raise ValueError(
            "Processes that train together save and stop together. Received: "
            "`save_seconds` or `stop` in several processes. Leave them out."
        )
    check_batch_size(batch_size)
    check_model(model)
    mixed = list(shards) if isinstance(shards, (list, tuple)) else [shards]
    packed = {
        "packing": packing,
        "document_masks": model.backbone.document_masks,
    }
    # This checks the packing and the weights before the model is changed.
    sequences = PackedSequences(
        mixed,
        sequence_length,
        batch_size,
        steps=steps,
        weights=weights,
        **packed,
        **(short or {}),
    )
    check_shards(model, mixed, held_out)
    directory = pathlib.Path(directory)
    run = describe_run(
        model,
        mixed,
        held_out,
        **settings,
        short=short,
        # `None` for the defaults, so that older runs can continue.
        packing=None if packing == "joined" else packing,
        mixture=None if weights is None else list(sequences.weights),
    )
    checkpoint = Checkpoint(directory / "checkpoint", run, keep)
    check_same_step(checkpoint.read()["step"])
    state = checkpoint.restore(model)
    reports = is_first_process()
    if held_out is not None:
        held_out = process_batches(
            PackedSequences(
                held_out, sequence_length, batch_size, shuffle=False, **packed
            )
        )
    unigram = None if on_collapse == "ignore" else unigram_nats(mixed)
    seconds_per_token = None
    if peak_flops is not None:
        flops = training_flops_per_token(model.backbone, sequence_length)
        seconds_per_token = flops / float(peak_flops)
    pace = Pace(
        round(batch_size * sequences.tokens_per_sequence),
        sequences.bytes_per_token,
        seconds_per_token,
    )

    loaded = state["step"] == steps
    while state["step"] < steps:
        step, history = state["step"], state["history"]
        clock = TrainingClock(history[-1]["seconds"] if history else 0.0)
        keeper = Keeper(
            checkpoint,
            state,
            clock,
            directory / "metrics.csv",
            steps_per_epoch,
            pace,
            unigram,
            TensorBoardLog(directory / "tensorboard", step)
            if tensorboard and reports
            else None,
            save_seconds,
            stop,
        )
        # Keras calls these in order, and the clock must stop first.
        callbacks = [clock, keeper]
        if progress and reports:
            line = TrainingProgress(label, step, steps, pace, clock)
            callbacks.insert(1, line)
        sequences = PackedSequences(
            mixed,
            sequence_length,
            batch_size,
            seed=seed_of_restart(seed, len(state["restarts"])),
            start_step=step,
            steps=steps - step,
            weights=weights,
            **packed,
            **(short or {}),
        )
        try:
            model.fit(
                batches_for_fit(sequences),
                validation_data=held_out,
                initial_epoch=step // steps_per_epoch,
                epochs=steps // steps_per_epoch,
                steps_per_epoch=steps_per_epoch,
                callbacks=callbacks,
                verbose=0,
            )
        finally:
            for callback in callbacks[1:]:
                callback.close()
        state = keeper.state
        if keeper.failure is None and keeper.stopped:
            break
        if keeper.failure is None:
            continue
        check_restart(state, keeper.failure, on_collapse, max_restarts)
        checkpoint.go_back(state, {"why": keeper.failure})
        state = checkpoint.restore(model)
        if progress:
            print(
                f"{label}: {keeper.failure} Restart "
                f"{len(state['restarts'])} of {max_restarts}, from step "
                f"{state['step']:,}.",
                file=sys.stderr,
                flush=True,
            )
    if loaded:
        # If the optimizer keeps moving averages, `fit` ends by replacing the
        # weights with them.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return state["history"]


def unigram_nats(shards):
    """Return the loss of a model that knows only the frequency of each id.

    Args:
        shards: A list of `TokenShards`, whose first tokens are counted.

    Returns:
        float, nats per token; at most the loss of the uniform distribution.
    """
    most = _SAMPLE // len(shards)
    ids = np.concatenate(
        [part.tokens(0, min(part.num_tokens, most)) for part in shards]
    )
    counts = np.bincount(ids)
    shares = counts[counts > 0] / len(ids)
    return float(-(shares @ np.log(shares)))


def batches_for_fit(sequences):
    """Return `PackedSequences` as `fit` takes them on this backend."""
    if sequences.short_length and keras.backend.backend() == "tensorflow":
        # From a `PyDataset`, TensorFlow would take the shape of all batches
        # from the first two.
        return tf_dataset(sequences)
    return process_batches(sequences)


def seed_of_restart(seed, restarts):
    """Return the seed of the data order after some restarts, an int."""
    if restarts == 0:
        return seed
    return int(np.random.SeedSequence([seed, restarts]).generate_state(1)[0])


def check_arguments(steps, steps_per_epoch, on_collapse, peak_flops):
    """Raise a ValueError for settings that cannot be used."""
    if steps % steps_per_epoch:
        raise ValueError(
            "`steps` must be a multiple of `steps_per_epoch`. "
            f"Received: steps={steps}, steps_per_epoch={steps_per_epoch}"
        )
    as_choice("on_collapse", on_collapse, ON_COLLAPSE)
    if on_collapse == "restart" and num_processes() > 1:
        raise ValueError(
            "Restarts need a single process. Received: on_collapse='restart' "
            f"in {num_processes()} processes. Choose 'stop', and begin again "
            "with another seed if training fails."
        )
    if peak_flops is not None and not peak_flops > 0:
        raise ValueError(
            "`peak_flops` must be positive, in FLOP/s. "
            f"Received: peak_flops={peak_flops}"
        )


def check_steps_per_execution(model, steps_per_epoch):
    """Raise a ValueError if an epoch would end inside an execution.

    Keras would take the steps beyond the end from the next epoch.
    """
    at_once = getattr(model, "steps_per_execution", 1)
    if steps_per_epoch % at_once:
        raise ValueError(
            "`steps_per_epoch` must be a multiple of the `steps_per_execution` "
            f"of `compile`. Received: steps_per_epoch={steps_per_epoch}, "
            f"steps_per_execution={at_once}"
        )


def check_model(model):
    """Raise a ValueError unless a model is compiled with `BitsPerByte`."""
    # Add the default metric if `compile` could not.
    model.complete_compile()
    if find_bits_per_byte(model) is None:
        raise ValueError(
            "The model must be compiled with the metric `BitsPerByte`. "
            "Received: a model without it. Call `model.compile(optimizer, "
            "weighted_metrics=[keras_nc.metrics.BitsPerByte(bytes_per_token="
            "shards.bytes_per_token)])`."
        )


def check_shards(model, shards, held_out):
    """Raise a ValueError for ids of another tokenizer, or no text."""
    for part in (*shards, held_out):
        if part is not None:
            model.check_origins(part)
            part.check_text()
            part.check_tokenizer(shards[0])


def check_restart(state, failure, on_collapse, max_restarts):
    """Raise a ValueError unless training may go back and has a state."""
    remedy = (
        "Train in another folder with a lower learning rate, a longer "
        "warm-up or a z-loss."
    )
    done = len(state["restarts"])
    if not state["kept"]:
        raise ValueError(f"{failure} No state was saved before. {remedy}")
    if on_collapse == "restart" and done < max_restarts:
        return
    last = f"The last state saved is that of step {state['kept'][-1]}."
    if on_collapse == "restart":
        raise ValueError(
            f"{failure} {last} This happened after {done} of "
            f"max_restarts={max_restarts} restarts. Allow more, or: {remedy}"
        )
    raise ValueError(
        f'{failure} {last} Continue from there with `on_collapse="restart"` '
        f"(--restart_on_collapse of the recipes), or: {remedy}"
    )
