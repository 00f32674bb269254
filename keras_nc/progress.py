"""Show the progress of a long job in one line on the terminal."""

import sys
import time


class ProgressLine:
    r"""Rewrite one line of standard error with bytes done and speed.

    Nothing is written when standard error is not a terminal, so that logs and
    tests stay clean. Use it as a context manager: the line ends on leaving.

    Args:
        label: str, the name of the job, for example `"Writing shards"`.
        enabled: bool. False silences the line on terminals, too.
        total: int, bytes to do in all, or `None` if that is not known.

    Example:
    >>> from keras_nc.progress import ProgressLine
    >>> with ProgressLine("Reading", enabled=False) as progress:
    ...     progress.update(1_000_000, "1 of 7 files")
    >>> progress.num_bytes
    1000000
    """

    _SECONDS_BETWEEN_LINES = 0.2

    def __init__(self, label, enabled=True, total=None):
        self.label = label
        self.enabled = enabled and sys.stderr is not None
        self.enabled = self.enabled and sys.stderr.isatty()
        self.total = total
        self.num_bytes = 0
        self._note = ""
        self._start = self._last = time.monotonic()

    def update(self, num_bytes, note=""):
        """Add `num_bytes` bytes done; `note` is shown at the line's end."""
        self.num_bytes += num_bytes
        self._note = note
        now = time.monotonic()
        if now - self._last >= self._SECONDS_BETWEEN_LINES:
            self._last = now
            self._write()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._write(end="\n")

    def _write(self, end=""):
        if not self.enabled:
            return
        seconds = max(time.monotonic() - self._start, 1e-9)
        megabytes = self.num_bytes / 1e6
        line = f"{self.label}: {megabytes:,.1f} MB, "
        line += f"{megabytes / seconds:,.1f} MB/s"
        if self.total:
            left = self.total - self.num_bytes
            line += f", {self.num_bytes / self.total:.0%}"
            if left > 0 and self.num_bytes:
                line += f", {seconds * left / self.num_bytes:,.0f} s left"
        if self._note:
            line += f", {self._note}"
        # "\033[K" clears the rest of a longer line.
        sys.stderr.write(f"\r{line}\033[K{end}")
        sys.stderr.flush()


def ignore(num_bytes):
    """Show nothing: a `ProgressLine.update` for jobs that are not watched."""
