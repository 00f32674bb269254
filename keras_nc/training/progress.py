"""How far training has come: a bar on terminals, lines elsewhere."""

import sys

import keras


class TrainingProgress(keras.callbacks.Callback):
    """Shows steps, tokens/s, bytes/s, MFU and bits per byte while training.

    On a terminal a bar moves with every step. Elsewhere, as in logs, each
    epoch of `fit` prints one line.

    Args:
        label: str. What is trained.
        start_step: int. Steps done before.
        steps: int. Steps in all.
        tokens_per_step: int. Tokens in a batch.
        clock: Has `seconds`, of training so far, without evaluation.
        bytes_per_token: float. Of the training text.
        seconds_per_token: float. Seconds that a token would take at the peak
            of the devices, for the model FLOPs utilisation; `None` if the peak
            is not known.
    """

    #: `fit` need not wait for every step's loss.
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
        """Show the bar."""
        if sys.stderr is None or not sys.stderr.isatty():
            return
        # Here, because importing it takes a tenth of a second.
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
        """Say where training is, if there is no bar."""
        self._epoch_step = self.step
        if self._bar is None and sys.stderr is not None:
            line = f"{self.label}: {self.step:,}/{self.steps:,} steps, "
            print(line + self._rates(logs or {}), file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        """Leave the bar as it is."""
        self.close()

    def close(self):
        """Stop drawing, also after an interruption."""
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
        for name, what in (
            ("bits_per_byte", "bits/byte"),
            ("val_bits_per_byte", "held out"),
        ):
            if name in logs:
                parts.append(f"{logs[name]:.3f} {what}")
        return ", ".join(parts)
