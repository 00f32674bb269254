"""`fit` that goes on where it was killed."""

import math
import pathlib

import keras

from keras_nc.data import PackedSequences
from keras_nc.data import process_batches
from keras_nc.training.checkpoint import Checkpoint
from keras_nc.training.clock import TrainingClock
from keras_nc.training.distribution import check_batch_size
from keras_nc.training.distribution import check_same_step
from keras_nc.training.distribution import is_first_process
from keras_nc.training.distribution import one_writer
from keras_nc.training.metrics_log import TensorBoardLog
from keras_nc.training.metrics_log import write_csv
from keras_nc.training.progress import TrainingProgress


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
    held_out=None,
    label="Training",
    tensorboard=True,
    progress=True,
):
    """Train a compiled model for `steps` steps, whatever interrupts it.

    Batches are a function of seed and step, and the state is kept after every
    short epoch, so that the same call, after a crash or in a new process, ends
    with the same weights as a run that was never interrupted. A run that is
    complete is loaded, not repeated.

    In `directory`: `checkpoint/` (the last state), `metrics.csv` (one row per
    short epoch) and `tensorboard/`.

    Args:
        model: A compiled `DecoderCausalLM` with the metric `BitsPerByte`.
        shards: `TokenShards` to train on.
        directory: Folder of the run, made if need be.
        sequence_length: int, T, tokens per sequence.
        batch_size: int, B, sequences per batch.
        steps: int. Steps in all.
        steps_per_epoch: int. Steps between checkpoints; divides `steps`.
        seed: int. Seed of the order of the sequences.
        held_out: `TokenShards` to evaluate on after each short epoch, or
            `None`.
        label: str. What the progress line calls the run.
        tensorboard: bool. Whether to write TensorBoard events.
        progress: bool. Whether to show progress.

    Returns:
        The rows of `metrics.csv`, a list of dicts: `step`, `tokens` and
        `bytes` seen, `seconds` of training (compilation counted, evaluation
        not), `loss` in nats per token, `bits_per_byte` of the text trained on
        since the last row, and `held_out_bits_per_byte`.

    Raises:
        ValueError: If the folder holds a run of other settings, the
            checkpoint is damaged, a number is odd, or the loss is not finite.
    """
    if steps < 1 or steps_per_epoch < 1 or steps % steps_per_epoch:
        raise ValueError(
            "`steps` must be a positive multiple of `steps_per_epoch`. "
            f"Received: steps={steps}, steps_per_epoch={steps_per_epoch}"
        )
    check_batch_size(batch_size)
    directory = pathlib.Path(directory)
    run = {
        "sequence_length": sequence_length,
        "batch_size": batch_size,
        "steps": steps,
        "steps_per_epoch": steps_per_epoch,
        "seed": seed,
        "text": [shards.fingerprint, shards.num_tokens, shards.num_bytes],
        "model": configuration(model.backbone),
        "optimizer": configuration(model.optimizer),
    }
    checkpoint = Checkpoint(directory / "checkpoint", run)
    state = checkpoint.read()
    step, history = state["step"], state["history"]
    check_same_step(step)
    if step:
        checkpoint.load_weights(model, step)
    if step == steps:
        return history
    clock = TrainingClock(history[-1]["seconds"] if history else 0.0)
    tokens_per_step = batch_size * sequence_length
    keeper = _Keeper(
        checkpoint,
        history,
        clock,
        directory,
        steps_per_epoch,
        tokens_per_step,
        shards.bytes_per_token,
        TensorBoardLog(directory / "tensorboard", step)
        if tensorboard and is_first_process()
        else None,
    )
    # Closed in the order of this list: the clock comes first.
    callbacks = [clock]
    if progress and is_first_process():
        callbacks.append(
            TrainingProgress(
                label,
                step,
                steps,
                tokens_per_step,
                clock,
                shards.bytes_per_token,
            )
        )
    callbacks.append(keeper)
    sequences = PackedSequences(
        shards,
        sequence_length,
        batch_size,
        seed=seed,
        start_step=step,
        steps=steps - step,
    )
    if held_out is not None:
        held_out = process_batches(
            PackedSequences(
                held_out, sequence_length, batch_size, shuffle=False
            )
        )
    try:
        model.fit(
            process_batches(sequences),
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
    return keeper.history


class _Keeper(keras.callbacks.Callback):
    """Keeps the state, and the metrics, after every epoch."""

    def __init__(
        self,
        checkpoint,
        history,
        clock,
        directory,
        steps_per_epoch,
        tokens_per_step,
        bytes_per_token,
        tensorboard,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.history = list(history)
        self.clock = clock
        self.directory = directory
        self.steps_per_epoch = steps_per_epoch
        self.tokens_per_step = tokens_per_step
        self.bytes_per_token = bytes_per_token
        self.tensorboard = tensorboard

    def on_epoch_end(self, epoch, logs=None):
        """Keep the state, unless the loss is lost."""
        step = (epoch + 1) * self.steps_per_epoch
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                "The loss must stay finite. Received: "
                f"loss={loss} within the {self.steps_per_epoch} steps before "
                f"step {step}. Train with a lower learning rate."
            )
        tokens = step * self.tokens_per_step
        row = {
            "step": step,
            "tokens": tokens,
            "bytes": round(tokens * self.bytes_per_token),
            "seconds": round(self.clock.seconds, 3),
            "loss": loss,
            "bits_per_byte": float(logs["bits_per_byte"]),
        }
        if "val_bits_per_byte" in logs:
            row["held_out_bits_per_byte"] = float(logs["val_bits_per_byte"])
        self.history.append(row)
        with one_writer(self.model) as writes:
            if writes:
                self.checkpoint.save(self.model, step, self.history)
                write_csv(self.directory / "metrics.csv", self.history)
        if self.tensorboard is not None:
            self.tensorboard.write(row)

    def close(self):
        """Close the event file."""
        if self.tensorboard is not None:
            self.tensorboard.close()


def configuration(thing):
    """Constructor arguments that define a run: all but the name."""
    config = thing.get_config()
    config.pop("name", None)
    return keras.saving.serialize_keras_object(config)
