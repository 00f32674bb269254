"""What a recipe works on: configuration, workdir and text."""

import dataclasses
import hashlib
import itertools
import os
import pathlib

from keras_nc.data import default_corpus
from keras_nc.data import read_documents
from recipes.configs import Config

#: One document in this many is held out, by the hash of its bytes.
_HELD_OUT_SHARE = 32


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a recipe works on.

    Args:
        name: str. Name of the configuration.
        config: The `Config`.
        workdir: Folder of all results.
        data: tuple of str, `("default",)` or patterns of files.
        held_out: tuple of str, patterns of files, or empty.
        text_key: str. Key of the text in JSON lines.
        strategy: str. How devices share the training; see
            `keras_nc.training.get_distribution`.
        model_shards: int. How many devices share a model, or `None`.
        alone: bool. Whether no other process runs the same recipe with this.
    """

    name: str
    config: Config
    workdir: pathlib.Path
    data: tuple = ("default",)
    held_out: tuple = ()
    text_key: str = "text"
    strategy: str = "single"
    model_shards: int | None = None
    alone: bool = True

    def need_one_process(self, stage):
        """Raise a ValueError if several processes run a stage for one."""
        if not self.alone:
            raise ValueError(
                f"Several processes only train; {stage} is for one. Run it "
                "without --coordinator, --num_processes and --process_id."
            )

    def documents(self, split):
        """Iterate over documents.

        Args:
            split: str. `"train"`, `"held_out"`, or `"probe"`: the part of the
                held-out text that is scored during training.

        Returns:
            An iterator of bytes.

        Raises:
            ValueError: If there are none.
        """
        limit = {
            "train": self.config.train_bytes,
            "held_out": self.config.held_out_bytes,
            "probe": self.config.probe_bytes,
        }[split]
        held_out = split != "train"
        documents = at_most(self._all_documents(held_out), limit)
        first = next(documents, None)
        if first is None:
            remedy = "Give other files to --data."
            if held_out:
                remedy = "Name some with --held_out."
            raise ValueError(
                f"The {split.replace('_', '-')} text has no document of at "
                f"most {limit or 'any number of':,} bytes. {remedy}"
            )
        return itertools.chain([first], documents)

    def _all_documents(self, held_out):
        if self.data == ("default",):
            yield from default_corpus("validation" if held_out else "train")
        elif self.held_out:
            patterns = self.held_out if held_out else self.data
            yield from read_documents(patterns, self.text_key)
        else:
            for document in read_documents(self.data, self.text_key):
                if is_held_out(document) == held_out:
                    yield document

    def describe(self):
        """What another run in the same workdir must share, as JSON values."""
        return {
            "config": self.name,
            "data": [self._absolute(pattern) for pattern in self.data],
            "held_out": [self._absolute(pattern) for pattern in self.held_out],
            "text_key": self.text_key,
            **dataclasses.asdict(self.config),
        }

    @staticmethod
    def _absolute(pattern):
        return pattern if pattern == "default" else os.path.abspath(pattern)


def is_held_out(document):
    """Whether a document is for evaluation, by the hash of its bytes."""
    return hashlib.sha256(document).digest()[0] % _HELD_OUT_SHARE == 0


def at_most(documents, limit):
    """Yield whole documents, each that still fits into `limit` bytes."""
    for document in documents:
        if limit is None:
            yield document
        elif len(document) <= limit:
            limit -= len(document)
            yield document
