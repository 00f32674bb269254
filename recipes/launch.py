"""How recipes start: the flags that they share, and their errors."""

import os
import pathlib
import sys

from absl import app
from absl import flags
from absl import logging

from keras_nc.cli.errors import one_line_errors
from keras_nc.data import read_documents
from keras_nc.training import STRATEGIES
from keras_nc.training import initialize_processes
from recipes.configs import CONFIGS
from recipes.setting import Setting
from recipes.workdir import claim_workdir

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

#: Set, with others, by who starts processes for `keras.distribution`.
_KERAS_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


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
