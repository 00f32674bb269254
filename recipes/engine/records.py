"""Read the records that `recipes.reproduce` left, by experiment and size."""

import dataclasses
import json
import math
import pathlib

from keras_nc import models
from recipes import workdir
from recipes.verdicts import NOTHING

#: All sizes, the smallest first.
SIZES = ("tiny", *models.SIZES)


@dataclasses.dataclass(frozen=True)
class Entry:
    """The records of one experiment at one size, a record a seed.

    Args:
        records: A list of dicts.
        m1_flops: float. FLOPs of M1 on a byte of text, 0 if it does not run.
    """

    records: list
    m1_flops: float

    @property
    def first(self):
        """A record; what the seeds share."""
        return self.records[0]

    @property
    def bits(self):
        """Bits per byte of held-out text, a list by seed."""
        return [each["bits_per_byte"]["held_out"] for each in self.records]

    @property
    def mean(self):
        """Mean bits per byte of held-out text."""
        return sum(self.bits) / len(self.bits)

    @property
    def half_range(self):
        """Half of the range of the seeds."""
        return (max(self.bits) - min(self.bits)) / 2

    @property
    def ratio(self):
        """Bytes per token of held-out text."""
        return self.first["bytes_per_token"]["held_out"]

    @property
    def uniform(self):
        """Bits per byte of the uniform model."""
        return math.log2(self.first["vocabulary_size"]) / self.ratio

    @property
    def flops(self):
        """FLOPs per byte without M1 and without logits, as in the paper."""
        return self.first["flops_per_byte"]["run"]

    @property
    def tokens(self):
        """Tokens of training."""
        return self.first["tokens"]

    def at_compute(self, flops):
        """Return bits per byte of the held-out sample after some compute."""
        per_token = 6 * self.first["body_parameters"]
        rows = [
            row["held_out_bits_per_byte"]
            for row in self.first["curve"]
            if per_token * row["tokens"] <= flops
        ]
        return rows[-1] if rows else None

    @property
    def compute(self):
        """FLOPs of training, without logits."""
        return 6 * self.first["body_parameters"] * self.tokens

    def has_collapsed(self):
        """Return whether a run lost half of what it had learned."""
        for record in self.records:
            scores = [row["held_out_bits_per_byte"] for row in record["curve"]]
            best, last = min(scores), scores[-1]
            learned = self.uniform - best
            if learned > NOTHING * self.uniform and last - best > learned / 2:
                return True
        return False


#: Fields that a record must have. A dot leads to a field of a field.
_FIELDS = (
    *("settings.tokens", "settings.m2", "settings.m2_training"),
    *("settings.dtype", "settings.shards", "bits_per_byte.held_out"),
    *("bytes_per_token.held_out", "unigram", "flops_per_byte.run"),
    *("vocabulary_size", "body_parameters", "tokens", "passes", "seconds"),
    *("score_seconds", "curve", "machine"),
)


def read(folders, runs_m1):
    """Read all records of some workdirs.

    Records that differ only in the seed belong to one entry. If an experiment
    of a size was trained with several settings, keep the entry with the most
    tokens; of equal ones, keep the first.

    Args:
        folders: A list of `pathlib.Path`.
        runs_m1: A set of str, the experiments that run M1 over every byte.

    Returns:
        dict from pairs of an experiment's name and a size to `Entry`.

    Raises:
        ValueError: If a folder has no records of `recipes.reproduce`.
    """
    groups = {}
    for folder in dict.fromkeys(pathlib.Path(f).resolve() for f in folders):
        m1 = workdir.need(folder / "m1.json", "reproduce")
        for path in sorted(folder.joinpath("records").glob("*.json")):
            record = workdir.read_json(path)
            _check(record, path)
            settings = record["settings"]
            name, size = settings["tokens"], size_of(settings["m2"])
            flops = 2 * m1["body_parameters"] * (name in runs_m1)
            training = dict(settings["m2_training"])
            seed = training.pop("seed")
            same = {**settings, "m2_training": training}
            key = name, size, flops, json.dumps(same, sort_keys=True)
            groups.setdefault(key, {}).setdefault(seed, record)
    found = {}
    for (name, size, flops, _), by_seed in groups.items():
        entry = Entry(list(by_seed.values()), flops)
        best = found.get((name, size))
        if best is None or entry.tokens > best.tokens:
            found[name, size] = entry
    return found


def _check(record, path):
    """Raise a ValueError unless a file is a record of `recipes.reproduce`."""
    for name in _FIELDS:
        value = record
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise ValueError(
                f"{path} must be a record of `recipes.reproduce`. Received: a "
                f"file without {name}. Delete it, or name another workdir."
            )


def size_of(m2):
    """Return the name of a model's size."""
    for name, dims in models.SIZES.items():
        if all(m2[key] == value for key, value in dims.items()):
            return name
    return "tiny"
