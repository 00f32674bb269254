"""Callbacks that watch `fit`: clock, progress line and logs."""

import csv
import io
import sys
import time

import keras

from keras_nc.coding.atomic import atomic_file


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
        tokens_per_step: int. Tokens in a batch.
        clock: A `TrainingClock`.
        bytes_per_token: float. Bytes per token of the training text.
        seconds_per_token: float. Seconds per token at the peak of the devices,
            for the model FLOPs utilization; `None` if the peak is unknown.
    """

    #: Tells Keras that this callback does not need the loss of every step.
    async_safe = True

    def __init__(
        self,
        label,
        start_step,
        steps,
        tokens_per_step,
        clock,
        bytes_per_token,
        seconds_per_token=None,
    ):
        super().__init__()
        self.label = label
        self.step = self.start_step = self._epoch_step = start_step
        self.steps = steps
        self.tokens_per_step = tokens_per_step
        self.clock = clock
        self.bytes_per_token = bytes_per_token
        self.seconds_per_token = seconds_per_token
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
        tokens = (self.step - self.start_step) * self.tokens_per_step
        rate = tokens / seconds
        parts = [
            f"{rate:,.0f} tokens/s",
            f"{rate * self.bytes_per_token / 1e3:,.1f} KB/s",
        ]
        if self.seconds_per_token is not None:
            parts.append(f"{rate * self.seconds_per_token:.1%} MFU")
        for name, unit in (
            ("bits_per_byte", "bits/byte"),
            ("val_bits_per_byte", "held out"),
        ):
            if name in logs:
                parts.append(f"{logs[name]:.3f} {unit}")
        return ", ".join(parts)


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
                "TensorBoard logs need tensorboardX. Install "
                "`keras-nc[recipes]`, or pass `tensorboard=False`."
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
