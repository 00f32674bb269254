"""Seconds of training, with the time of evaluation left out."""

import time

import keras


class TrainingClock(keras.callbacks.Callback):
    """Counts the seconds of the epochs of `fit`, but for their evaluation.

    Compilation is counted: whoever trains waits for it.

    Args:
        seconds: float. Seconds of earlier runs.
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
        """Go on."""
        self._since = time.perf_counter()

    def on_test_begin(self, logs=None):
        """Pause for the evaluation that ends an epoch."""
        self._pause()

    def on_epoch_end(self, epoch, logs=None):
        """Pause between epochs."""
        self._pause()
