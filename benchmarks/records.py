"""Records of measurements in a file, so that a long run can continue."""

import json
import pathlib

from keras_nc.coding import atomic_file


class Records:
    """Records of a file of JSON lines; of memory only without a path."""

    def __init__(self, path):
        self.path = None if path is None else pathlib.Path(path)
        self.records = []
        if self.path is not None and self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            self.records = [self._read(line) for line in lines]

    def _read(self, line):
        """Return the record of a line, or raise a ValueError."""
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "key" in record:
            return record
        raise ValueError(
            f"Each line of --records {self.path} must be a record. Received: "
            f"{line[:40]!r}. Delete the line, or name another file."
        )

    def find(self, key):
        """Return the record of a key, or `None`."""
        for record in self.records:
            if record["key"] == key:
                return record
        return None

    def add(self, key, values):
        """Add a record, write all, and return it."""
        record = {"key": key, **values}
        self.records.append(record)
        if self.path is not None:
            lines = [json.dumps(record) + "\n" for record in self.records]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.path) as file:
                file.write("".join(lines).encode())
        return record
