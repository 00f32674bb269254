"""Flags, workdir and text that all recipes share."""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import sys

from absl import app
from absl import flags
from absl import logging

from keras_nc.cli.errors import one_line_errors
from keras_nc.coding.atomic import atomic_file
from keras_nc.data import default_corpus
from keras_nc.data import read_documents
from keras_nc.training import STRATEGIES
from keras_nc.training import initialize_processes
from recipes.configs import CONFIGS
from recipes.configs import Config

_CONFIG = flags.DEFINE_string(
    "config", "tiny", f"One of {', '.join(CONFIGS)}; see recipes/configs.py."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything goes. Run again, it goes on from there."
)
_DATA = flags.DEFINE_list(
    "data",
    ["default"],
    "Text to train on: 'default' for the text that every installation has, or "
    "files and glob patterns (text or JSON lines, .gz and .zst too).",
)
_HELD_OUT = flags.DEFINE_list(
    "held_out",
    [],
    "Files to evaluate on; by default one document in 32 of the data.",
)
_TEXT_KEY = flags.DEFINE_string("text_key", "text", "Of texts in JSON lines.")
_STRATEGY = flags.DEFINE_enum(
    "strategy", "single", list(STRATEGIES), "How devices share the training."
)
_MODEL_SHARDS = flags.DEFINE_integer(
    "model_shards",
    None,
    "How many devices share a model, for --strategy data_and_model_parallel.",
    1,
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "Address of process 0, if several JAX processes train together; 'auto' on "
    "TPU pod slices and under SLURM, which tell the numbers, too.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "How many processes train together.", 1
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0.", 0
)

#: One document in this many is held out, by the hash of its bytes.
_HELD_OUT_SHARE = 32
_MANIFEST = "config.json"
#: Set, with others, by who starts processes for `keras.distribution`.
_KERAS_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


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


def claim_workdir(setting):
    """Make the workdir, or check that it is of the same configuration.

    Raises:
        ValueError: If it holds something else.
    """
    path = setting.workdir / _MANIFEST
    mine = json.loads(json.dumps(setting.describe()))
    if path.exists():
        try:
            its = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}). Choose another --workdir."
            ) from error
        for key in mine:
            if its.get(key) != mine[key]:
                raise ValueError(
                    f"--workdir {setting.workdir} was made with {key}="
                    f"{its.get(key)!r}. Received: {mine[key]!r}. Use the same "
                    "flags, or another --workdir."
                )
        return
    setting.need_one_process("making the --workdir (recipes.tokenize_corpus)")
    if setting.workdir.exists() and any(setting.workdir.iterdir()):
        raise ValueError(
            f"--workdir {setting.workdir} holds files that no recipe made. "
            "Choose an empty or new folder."
        )
    setting.workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, mine)


def write_json(path, value):
    """Write JSON, whole or not at all, and return the value."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(json.dumps(value, indent=1).encode() + b"\n")
    return value


def read_json(path):
    """What `write_json` wrote, or `None` if the stage is not finished."""
    path = pathlib.Path(path)
    return json.loads(path.read_bytes()) if path.exists() else None


def need(path, recipe):
    """What a stage left behind, or an error that names its recipe.

    Raises:
        ValueError: If the stage has not been run.
    """
    result = read_json(path)
    if result is None:
        raise ValueError(
            f"{path} is missing. Run `python -m recipes.{recipe}` with the "
            "same flags first."
        )
    return result


def say(text):
    """Tell what happens, on standard error."""
    print(text, file=sys.stderr, flush=True)


def config_from_flags():
    """The `Config` that --config names."""
    if _CONFIG.value not in CONFIGS:
        raise ValueError(
            f"--config must be one of {', '.join(CONFIGS)}. "
            f"Received: {_CONFIG.value}"
        )
    return CONFIGS[_CONFIG.value]


def setting_from_flags():
    """The setting that the flags ask for, its workdir claimed."""
    config = config_from_flags()
    if not _WORKDIR.value:
        raise ValueError("Say with --workdir where everything shall go.")
    setting = Setting(
        _CONFIG.value,
        config,
        pathlib.Path(_WORKDIR.value),
        tuple(_DATA.value),
        tuple(_HELD_OUT.value),
        _TEXT_KEY.value,
        _STRATEGY.value,
        _MODEL_SHARDS.value,
        alone=not join_processes(),
    )
    for patterns in filter(None, (setting.data, setting.held_out)):
        if patterns != ("default",):
            read_documents(patterns, setting.text_key)  # do the files exist?
    claim_workdir(setting)
    return setting


def join_processes():
    """Join the other processes, if flags or environment say so.

    Returns:
        bool, whether there are others.
    """
    given = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if given == ("auto", None, None) or _KERAS_PROCESSES in os.environ:
        initialize_processes()
    elif given == (None, None, None):
        return False
    else:
        initialize_processes(*given)
    return True


def start(main):
    """Run a program: one line and exit code 2 for what is wrong.

    Args:
        main: A function of the arguments that are no flags.
    """

    def parse(arguments):
        try:
            left = flags.FLAGS(arguments)
        except flags.Error as error:
            raise ValueError(f"{error}. See --help.") from error
        if left[1:]:
            raise ValueError(
                f"There are only flags. Received: {' '.join(left[1:])}"
            )
        logging.set_verbosity(logging.WARNING)
        return left

    with one_line_errors(pathlib.Path(sys.argv[0]).stem):
        app.run(main, flags_parser=parse)


def main(run):
    """Run a recipe with the setting that its flags ask for.

    Args:
        run: A function of a `Setting`.
    """

    def run_setting(arguments):
        del arguments
        run(setting_from_flags())

    start(run_setting)
