"""Metrics of a run as CSV and for TensorBoard."""

import csv
import io

from keras_nc.coding.atomic import atomic_file


def write_csv(path, rows):
    """Write rows of metrics, whole or not at all.

    Args:
        path: Where the file goes.
        rows: Non-empty list of dicts; a key that only some have is empty in
            the others.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


class TensorBoardLog:
    """Rows of metrics as TensorBoard events.

    Args:
        directory: Folder of the event files.
        step: int. Events after this step, of a run that was killed before its
            checkpoint, are hidden.

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
        # One step before, for the first event is at the end of an epoch.
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
