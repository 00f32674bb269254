"""The callbacks of `resumable_fit`: clock, progress line, keeper and logs."""

import csv
import dataclasses
import io
import math
import sys
import time

import keras

from keras_nc.coding.archive import atomic_file
from keras_nc.training.distribution import one_writer

#: Before a model can collapse, its loss must have fallen by this share of the
#: unigram loss. A smaller gain may be the noise of a plateau.
_LEARNED = 0.1
#: The share of that gain that may be lost again.
_LOST = 0.5


@dataclasses.dataclass(frozen=True)
class Pace:
    """What turns steps into tokens, bytes and a share of the peak.

    Attributes:
        tokens_per_step: int. Tokens in a batch, without pads; their mean.
        bytes_per_token: float. Bytes per token of the training text.
        seconds_per_token: float. Seconds per token at the peak of the devices,
            for the model FLOPs utilization; `None` if the peak is unknown.
    """

    tokens_per_step: int
    bytes_per_token: float
    seconds_per_token: float | None = None


class TrainingClock(keras.callbacks.Callback):
    """Count the seconds of training in `fit`, without evaluations.

    Compilation counts, because users wait for it.

    Args:
        seconds: float. Seconds of earlier training.
    """

    def __init__(self, seconds=0.0):
        super().__init__()
        self._before = seconds
        self._since = None

    @property
    def seconds(self):
        """Seconds of training so far."""
        if self._since is None:
            return self._before
        return self._before + time.perf_counter() - self._since

    def _pause(self):
        self._before = self.seconds
        self._since = None

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self._since = time.perf_counter()

    def on_test_begin(self, logs=None):
        """Stop the clock for the evaluation that ends an epoch."""
        self._pause()

    def on_epoch_end(self, epoch, logs=None):
        """Stop the clock between epochs."""
        self._pause()


class TrainingProgress(keras.callbacks.Callback):
    """Show steps, tokens/s, bytes/s, MFU and bits per byte while training.

    On a terminal a bar moves with every step. Elsewhere, as in log files, each
    epoch of `fit` prints one line.

    Args:
        label: str. Name of the run.
        start_step: int. Steps done in earlier runs.
        steps: int. Steps in all.
        pace: A `Pace`.
        clock: A `TrainingClock`.
    """

    #: Tells Keras that this callback does not need the loss of every step.
    async_safe = True

    def __init__(self, label, start_step, steps, pace, clock):
        super().__init__()
        self.label = label
        self.step = self.start_step = self._epoch_step = start_step
        self.steps = steps
        self.pace = pace
        self.clock = clock
        self._start_seconds = clock.seconds
        self._bar = None

    def on_train_begin(self, logs=None):
        """Show the bar on a terminal."""
        if sys.stderr is None or not sys.stderr.isatty():
            return
        # Import late, because the import takes a tenth of a second.
        import rich.console
        import rich.progress

        self._bar = rich.progress.Progress(
            "{task.description}",
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            "{task.fields[rates]}",
            rich.progress.TimeRemainingColumn(),
            console=rich.console.Console(stderr=True),
        )
        self._task = self._bar.add_task(
            self.label, completed=self.step, total=self.steps, rates=""
        )
        self._bar.start()

    def on_train_batch_end(self, batch, logs=None):
        """Move the bar."""
        # Batches may be reported out of order.
        self.step = max(self.step, self._epoch_step + batch + 1)
        if self._bar is not None:
            rates = self._rates(logs or {})
            self._bar.update(self._task, completed=self.step, rates=rates)

    def on_epoch_end(self, epoch, logs=None):
        """Print a line if there is no bar."""
        self._epoch_step = self.step
        if self._bar is None and sys.stderr is not None:
            line = f"{self.label}: {self.step:,}/{self.steps:,} steps, "
            print(line + self._rates(logs or {}), file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        """Leave the bar as it is."""
        self.close()

    def close(self):
        """Stop drawing. Calling this twice or after an interruption is safe."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _rates(self, logs):
        seconds = max(self.clock.seconds - self._start_seconds, 1e-9)
        tokens = (self.step - self.start_step) * self.pace.tokens_per_step
        rate = tokens / seconds
        parts = [
            f"{rate:,.0f} tokens/s",
            f"{rate * self.pace.bytes_per_token / 1e3:,.1f} KB/s",
        ]
        if self.pace.seconds_per_token is not None:
            parts.append(f"{rate * self.pace.seconds_per_token:.1%} MFU")
        for name, unit in (
            ("bits_per_byte", "bits/byte"),
            ("val_bits_per_byte", "held out"),
        ):
            if name in logs:
                parts.append(f"{logs[name]:.3f} {unit}")
        return ", ".join(parts)


class Keeper(keras.callbacks.Callback):
    """Keep the state and the metrics of every epoch whose loss is good.

    After an epoch with a bad loss, `fit` stops, nothing is written, and
    `failure` says what is wrong.

    Args:
        checkpoint: A `Checkpoint`.
        state: Its state when `fit` begins.
        clock: A `TrainingClock`.
        csv_path: The CSV file of all rows.
        steps_per_epoch: int. Steps between states.
        pace: A `Pace`.
        unigram: float. Unigram loss in nats per token; `None` if only a loss
            that is not finite counts as a failure.
        tensorboard: A `TensorBoardLog` or `None`.
        save_seconds: float. A state is saved this long after the one before.
        stop: A function that tells after an epoch whether to stop, or `None`.
    """

    #: Tells Keras that this callback does not need the loss of every step.
    async_safe = True

    def __init__(
        self,
        checkpoint,
        state,
        clock,
        csv_path,
        steps_per_epoch,
        pace,
        unigram,
        tensorboard,
        save_seconds=0.0,
        stop=None,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.state = state
        self.clock = clock
        self.csv_path = csv_path
        self.steps_per_epoch = steps_per_epoch
        self.pace = pace
        self.unigram = unigram
        self.tensorboard = tensorboard
        self.save_seconds = save_seconds
        self.stop = stop
        self.stopped = False
        self._saved = time.monotonic()
        self.failure = None
        self._lost = []

    def on_epoch_begin(self, epoch, logs=None):
        """Note the time."""
        self._seconds = self.clock.seconds
        self._lost = []

    def on_train_batch_end(self, batch, logs=None):
        """Note the first batch whose loss is not finite."""
        # From then on, the mean stays infinite or NaN until the epoch ends.
        if not math.isfinite(logs["loss"]):
            self._lost.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        """Save the state if it is time to, unless the loss is bad."""
        step = (epoch + 1) * self.steps_per_epoch
        self.failure = self._failure(step, logs)
        if self.failure is not None:
            self.model.stop_training = True
            return
        row = self._row(step, logs)
        state = {
            **self.state,
            "step": step,
            "history": [*self.state["history"], row],
        }
        if self.stop is not None and self.stop():
            self.stopped = self.model.stop_training = True
        waited = time.monotonic() - self._saved >= self.save_seconds
        if self.stopped or waited or epoch + 1 == self.params["epochs"]:
            self._save(state)
        else:
            self.state = state
        if self.tensorboard is not None:
            self.tensorboard.write(row)

    def _save(self, state):
        with one_writer(self.model) as writes:
            if writes:
                self.state = self.checkpoint.save(self.model, state)
                write_csv(self.csv_path, self.state["history"])
            else:
                self.state = self.checkpoint.after(state)
        self._saved = time.monotonic()

    def _failure(self, step, logs):
        """Return what is wrong with an epoch, a sentence, or `None`."""
        loss = float(logs["loss"])
        first = step - self.steps_per_epoch + 1
        if not math.isfinite(loss):
            at = min(self._lost, default=0)
            return (
                "The loss must stay finite. Received: "
                f"loss={loss} since step {first + at}."
            )
        if not math.isfinite(float(logs.get("val_loss", 0.0))):
            return (
                "The loss must stay finite. Received: held-out loss="
                f"{float(logs['val_loss'])} after step {step}."
            )
        best = min((row["loss"] for row in self.state["history"]), default=None)
        if best is None or self.unigram is None:
            return None
        if has_collapsed(loss, best, self.unigram):
            return (
                "The loss must not collapse. Received: "
                f"loss={loss:.4f} nats per token in steps {first} to {step}, "
                f"after {best:.4f} in an earlier epoch. A model that knows "
                "only how frequent each id is scores "
                f"{self.unigram:.4f}."
            )
        return None

    def _row(self, step, logs):
        """Return the metrics of an epoch, a row of `metrics.csv`."""
        tokens = step * self.pace.tokens_per_step
        seconds = max(self.clock.seconds - self._seconds, 1e-9)
        rate = self.steps_per_epoch * self.pace.tokens_per_step / seconds
        row = {
            "step": step,
            "tokens": tokens,
            "bytes": round(tokens * self.pace.bytes_per_token),
            "seconds": round(self.clock.seconds, 3),
            "tokens_per_second": round(rate, 1),
            "loss": float(logs["loss"]),
            "bits_per_byte": float(logs["bits_per_byte"]),
        }
        if self.pace.seconds_per_token is not None:
            row["mfu"] = round(rate * self.pace.seconds_per_token, 4)
        if "val_bits_per_byte" in logs:
            row["held_out_bits_per_byte"] = float(logs["val_bits_per_byte"])
        return row

    def close(self):
        """Close the event file."""
        if self.tensorboard is not None:
            self.tensorboard.close()


def has_collapsed(loss, best, unigram):
    """Return whether a model has lost most of what it had learned.

    A model over compressed text may fall back to the unigram or the uniform
    distribution and stay there. Its gain is the unigram loss minus its loss. It
    has collapsed if its best gain was at least a tenth of the unigram loss and
    more than half of this gain is lost, or if its loss is not finite.

    Args:
        loss: float. Mean loss of the last epoch, in nats per token.
        best: float. The lowest mean loss of earlier epochs; infinity if there
            were none.
        unigram: float. The unigram loss.

    Returns:
        bool.

    Example:
    >>> has_collapsed(loss=3.2, best=2.0, unigram=3.0)
    True
    >>> has_collapsed(loss=3.1, best=2.9, unigram=3.0)  # nothing learned yet
    False
    """
    if not math.isfinite(loss):
        return True
    learned = unigram - best
    if learned < _LEARNED * unigram:
        return False
    return unigram - loss < (1 - _LOST) * learned


class TensorBoardLog:
    """Write rows of metrics as TensorBoard events.

    Args:
        directory: Folder of the event files.
        step: int. Last step of the checkpoint that training continues from.
            Earlier runs may have logged later steps, which TensorBoard then
            hides.

    Raises:
        ImportError: If tensorboardX is not installed.
    """

    def __init__(self, directory, step=0):
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError(
                "TensorBoard logs must have the package tensorboardX. "
                f"Received: an installation without it ({error}). Install the "
                "extra [recipes], or pass `tensorboard=False`."
            ) from error
        self._writer = tensorboardX.SummaryWriter(
            str(directory), purge_step=step + 1
        )

    def write(self, row):
        """Write the numbers of one row at its step."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self):
        """Close the event file."""
        self._writer.close()


def write_csv(path, rows):
    """Write rows of metrics as a CSV file, completely or not at all.

    Args:
        path: The file to write.
        rows: Non-empty list of dicts. A key that only a few rows have is empty
            in the others.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())
