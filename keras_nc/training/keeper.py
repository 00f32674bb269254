"""What happens after every short epoch: state kept, metrics written."""

import math

import keras

from keras_nc.training.collapse import has_collapsed
from keras_nc.training.metrics_log import write_csv
from keras_nc.training.processes import one_writer


class Keeper(keras.callbacks.Callback):
    """Keeps the state, and the metrics, after every epoch that is good.

    After one that is not, `fit` stops, nothing is written, and `failure` says
    what was seen.

    Args:
        checkpoint: A `Checkpoint`.
        state: Its state when `fit` begins.
        clock: A `TrainingClock`.
        csv_path: Where the table of all rows goes.
        steps_per_epoch: int. Steps between states.
        tokens_per_step: int. Tokens in a batch.
        bytes_per_token: float. Of the training text.
        unigram: float. Unigram loss in nats per token; `None` if no loss that
            is finite counts as collapsed.
        seconds_per_token: float. Seconds that a token would take at the peak
            of the devices, for `mfu`; `None` if the peak is not known.
        tensorboard: A `TensorBoardLog` or `None`.
    """

    #: `fit` need not wait for every step's loss.
    async_safe = True

    def __init__(
        self,
        checkpoint,
        state,
        clock,
        csv_path,
        steps_per_epoch,
        tokens_per_step,
        bytes_per_token,
        unigram,
        seconds_per_token,
        tensorboard,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.state = state
        self.clock = clock
        self.csv_path = csv_path
        self.steps_per_epoch = steps_per_epoch
        self.tokens_per_step = tokens_per_step
        self.bytes_per_token = bytes_per_token
        self.unigram = unigram
        self.seconds_per_token = seconds_per_token
        self.tensorboard = tensorboard
        self.failure = None
        self._lost = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start watching."""
        self._seconds = self.clock.seconds
        self._lost = []

    def on_train_batch_end(self, batch, logs=None):
        """Note where the loss was lost: a mean stays so to the end."""
        if not math.isfinite(logs["loss"]):
            self._lost.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        """Keep the state, unless the loss is lost."""
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
        with one_writer(self.model) as writes:
            if writes:
                self.state = self.checkpoint.save(self.model, state)
                write_csv(self.csv_path, self.state["history"])
            else:
                self.state = self.checkpoint.after(state)
        if self.tensorboard is not None:
            self.tensorboard.write(row)

    def _failure(self, step, logs):
        """What is wrong with an epoch, or `None`."""
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
        if None in (best, self.unigram):
            return None
        if has_collapsed(loss, best, self.unigram):
            return (
                "The loss must not collapse. Received: "
                f"loss={loss:.4f} nats per token in steps {first} to {step}, "
                f"after {best:.4f} in an earlier epoch, where ids alone by "
                f"their frequency score {self.unigram:.4f}."
            )
        return None

    def _row(self, step, logs):
        tokens = step * self.tokens_per_step
        seconds = max(self.clock.seconds - self._seconds, 1e-9)
        rate = self.steps_per_epoch * self.tokens_per_step / seconds
        row = {
            "step": step,
            "tokens": tokens,
            "bytes": round(tokens * self.bytes_per_token),
            "seconds": round(self.clock.seconds, 3),
            "tokens_per_second": round(rate, 1),
            "loss": float(logs["loss"]),
            "bits_per_byte": float(logs["bits_per_byte"]),
        }
        if self.seconds_per_token is not None:
            row["mfu"] = round(rate * self.seconds_per_token, 4)
        if "val_bits_per_byte" in logs:
            row["held_out_bits_per_byte"] = float(logs["val_bits_per_byte"])
        return row

    def close(self):
        """Close the event file."""
        if self.tensorboard is not None:
            self.tensorboard.close()
