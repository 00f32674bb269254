"""Check the loss, save the state and log metrics after every short epoch."""

import math

import keras
import numpy as np

from keras_nc.training.callbacks import write_csv
from keras_nc.training.distribution import one_writer

#: Tokens to count ids in. More tokens hardly change the unigram loss.
_SAMPLE = 2**22
#: Before a model can collapse, its loss must have fallen by this share of the
#: unigram loss. A smaller gain may be the noise of a plateau.
_LEARNED = 0.1
#: The share of that gain that may be lost again.
_LOST = 0.5


def unigram_nats(shards):
    """Return the loss of a model that knows only the frequency of each id.

    Args:
        shards: `TokenShards`, whose first tokens are counted.

    Returns:
        float, nats per token; at most the loss of the uniform distribution.
    """
    ids = shards.tokens(0, min(shards.num_tokens, _SAMPLE))
    counts = np.bincount(ids)
    shares = counts[counts > 0] / len(ids)
    return float(-(shares @ np.log(shares)))


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
        tokens_per_step: int. Tokens in a batch.
        bytes_per_token: float. Bytes per token of the training text.
        unigram: float. Unigram loss in nats per token; `None` if only a loss
            that is not finite counts as a failure.
        seconds_per_token: float. Seconds per token at the peak of the devices,
            for the model FLOPs utilization; `None` if the peak is unknown.
        tensorboard: A `TensorBoardLog` or `None`.
        stop: A function that tells after a state is saved whether to stop, or
            `None`.
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
        tokens_per_step,
        bytes_per_token,
        unigram,
        seconds_per_token,
        tensorboard,
        stop=None,
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
        self.stop = stop
        self.stopped = False
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
        """Save the state, unless the loss is bad."""
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
        if self.stop is not None and self.stop():
            self.stopped = self.model.stop_training = True

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
