"""The input of a recipe: configuration, workdir and text."""

import dataclasses
import functools
import itertools
import os
import pathlib

from keras_nc.data import default_corpus
from keras_nc.data import find_files
from keras_nc.data import read_documents
from keras_nc.data import take_bytes
from keras_nc.data.files import is_url
from keras_nc.data.sources import is_dataset
from keras_nc.progress import ProgressLine
from recipes.configs import Config
from recipes.text import Split
from recipes.text import choose_split
from recipes.workdir import read_split

DEFAULT = ("default",)
#: Bytes that are read to check text and to choose what is held out.
_CHECKED_BYTES = 2**31
#: Names of the parts of the text.
NAMES = {
    "train": "training text",
    "held_out": "held-out text",
    "probe": "held-out text that is scored during training",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """The input of a recipe: configuration, workdir and text.

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
        alone: bool. Whether this is the only process of the recipe.
        keep: int. Training states to keep.
        restart_on_collapse: bool. Whether training goes back to an older state
            if the loss collapses.
        max_restarts: int. Restarts of one training run.
        peak_tflops: float. Peak TFLOP/s of the devices, or `None`.
    """

    name: str
    config: Config
    workdir: pathlib.Path
    data: tuple = DEFAULT
    held_out: tuple = ()
    text_key: str = "text"
    strategy: str = "single"
    model_shards: int | None = None
    alone: bool = True
    keep: int = 2
    restart_on_collapse: bool = False
    max_restarts: int = 3
    peak_tflops: float | None = None

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
        documents = take_bytes(self._all_documents(held_out), limit)
        first = next(documents, None)
        if first is None:
            raise self._empty(split)
        return itertools.chain([first], documents)

    def corpus(self, split):
        """Return what `keras_nc.data.tokenize_corpus` reads for a split.

        Args:
            split: str, see `documents`.

        Returns:
            The files, and a function of a document that returns the part to
            keep, or `None` for all of it. `None` if the split is not all of
            some files.
        """
        if split != "train" or self.data == DEFAULT or self.config.train_bytes:
            return None
        if self.held_out:
            return self._training_files(), None
        return self.data, functools.partial(self.split.part, held_out=False)

    def _empty(self, split):
        flag = "held_out" if split != "train" and self.held_out else "data"
        return ValueError(
            f"The {NAMES[split]} must not be empty. Received: no text in "
            f"--{flag} {','.join(getattr(self, flag))}. Give other files to "
            f"--{flag}."
        )

    def _all_documents(self, held_out):
        if held_out and self.held_out:
            yield from read_documents(self.held_out, self.text_key)
        elif self.data == DEFAULT:
            yield from default_corpus("validation" if held_out else "train")
        elif self.held_out:
            yield from read_documents(self._training_files(), self.text_key)
        else:
            for document in read_documents(self.data, self.text_key):
                part = self.split.part(document, held_out)
                yield part
                if part and held_out and self.split.document:
                    return  # the rest can only be copies

    def _training_files(self):
        """Return the files of --data that are not held out."""
        held_out = {self._real(file) for file in find_files(self.held_out)}
        files = [
            file
            for file in find_files(self.data)
            if self._real(file) not in held_out
        ]
        if not files:
            raise ValueError(
                "Some text must be left to train on. Received: all files of "
                "--data in --held_out, too. Give other files to --held_out, or "
                "leave it out: then a part of the data is held out."
            )
        return files

    @functools.cached_property
    def split(self):
        """The `Split` of the workdir or, without a workdir, of the data."""
        kept = self.workdir and read_split(self.workdir)
        return self.check_text() if kept is None else Split(**kept)

    def check_text(self):
        """Read the text, so that its errors come first.

        Of a large corpus, only the beginning is read.

        Returns:
            The `Split`.

        Raises:
            ValueError: If some text cannot be read, or there is none.
        """
        with ProgressLine("Reading the text") as line:

            def read(split, documents):
                before = line.num_bytes
                for document in documents:
                    line.update(len(document))
                    yield document
                    if line.num_bytes - before >= _CHECKED_BYTES:
                        break
                if line.num_bytes == before:
                    raise self._empty(split)

            if self.held_out:
                for split in ("train", "held_out"):
                    documents = self._all_documents(split == "held_out")
                    for _ in read(split, documents):
                        pass
            elif self.data != DEFAULT:
                documents = read_documents(self.data, self.text_key)
                return choose_split(read("train", documents))
        return Split()

    def describe(self):
        """Return the settings that all runs in a workdir share, for JSON."""
        return {
            "config": self.name,
            "data": [self._absolute(pattern) for pattern in self.data],
            "held_out": [self._absolute(pattern) for pattern in self.held_out],
            "text_key": self.text_key,
            **dataclasses.asdict(self.config),
        }

    @staticmethod
    def _real(name):
        is_path = not is_url(name) and not is_dataset(name)
        return os.path.realpath(name) if is_path else name

    @staticmethod
    def _absolute(pattern):
        is_name = is_url(pattern) or is_dataset(pattern)
        if is_name or pattern == "default":
            return pattern
        return os.path.abspath(pattern)
