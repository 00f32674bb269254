"""Start recipes: the flags that they share."""

import contextlib
import functools
import os
import pathlib

from keras_nc.cli.errors import orderly_termination
from keras_nc.training import STRATEGIES
from keras_nc.training import initialize_processes
from recipes import flags
from recipes.configs import CONFIGS
from recipes.configs import Config
from recipes.configs import check_config
from recipes.engine.overrides import apply_overrides
from recipes.setting import Setting
from recipes.workdir import claim_workdir
from recipes.workdir import only_process

CONFIG = {
    "default": "tiny",
    "choices": list(CONFIGS),
    "metavar": "NAME",
    "help": f"The configuration: {', '.join(CONFIGS)}; by default tiny. See "
    "recipes/configs.py.",
}
RUN = {
    "config": CONFIG,
    "workdir": {
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "Where everything goes. The same command goes on from there.",
    },
}
TEXT = {
    "data": {
        "default": ("default",),
        "nargs": "+",
        "action": flags.Patterns,
        "metavar": "FILE",
        "help": "Text to train on: 'default' for the text that every "
        "installation has, or files and glob patterns (text or JSON lines, "
        "compressed or not).",
    },
    "held_out": {
        "default": (),
        "nargs": "+",
        "action": flags.Patterns,
        "metavar": "FILE",
        "help": "Text to evaluate on; by default a part of the data, about "
        "one document in 32.",
    },
    "text_key": {
        "default": "text",
        "metavar": "KEY",
        "help": "Key of the text in JSON lines, by default 'text'.",
    },
}
DEVICES = {
    "strategy": {
        "default": "single",
        "choices": list(STRATEGIES),
        "metavar": "NAME",
        "help": f"How devices share the training: {', '.join(STRATEGIES)}; by "
        "default single.",
    },
    "model_shards": {
        "type": flags.at_least(1),
        "metavar": "N",
        "help": "Devices that share a model, for --strategy "
        "data_and_model_parallel.",
    },
    "coordinator": {
        "metavar": "ADDRESS",
        "help": "Address of process 0, if several JAX processes train "
        "together; 'auto' on TPU pod slices and under SLURM, which tell the "
        "numbers, too.",
    },
    "num_processes": {
        "type": flags.at_least(1),
        "metavar": "N",
        "help": "Processes that train together.",
    },
    "process_id": {
        "type": flags.at_least(0),
        "metavar": "I",
        "help": "Number of this process, from 0.",
    },
}
TRAINING = {
    "keep": {
        "type": flags.at_least(1),
        "default": 2,
        "metavar": "N",
        "help": "Training states to keep, by default 2.",
    },
    "restart_on_collapse": {
        "action": "store_true",
        "help": "If the loss is lost, go back to the last state and on in "
        "another order of the data, instead of stopping.",
    },
    "max_restarts": {
        "type": flags.at_least(0),
        "default": 3,
        "metavar": "N",
        "help": "Restarts of one training run, by default 3.",
    },
    "peak_tflops": {
        "type": flags.positive,
        "metavar": "X",
        "help": "Peak TFLOP/s of the devices, all together: shows how much of "
        "it is used.",
    },
}

#: Launchers set this variable, among others, for `keras.distribution`.
_KERAS_PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def main(run, trains=False, configure=None, choose=None, **own):
    """Run a recipe with the setting that its flags describe.

    Args:
        run: A function of a `Setting`, and of the recipe's own flags by name.
        trains: bool. Whether the recipe takes the flags of training runs.
        configure: A function of the configuration, and of the recipe's own
            flags by name, that returns the configuration to use; or `None`.
        choose: A function of the recipe's own flags by name, that returns the
            name of the configuration, in place of --config; or `None`.
        **own: The recipe's own flags, as keywords of `add_argument`.
    """
    groups = {"the run": dict(RUN), "the text": TEXT}
    if choose is not None:
        del groups["the run"]["config"]
    if own:
        groups["this recipe"] = own
    if trains:
        groups["training"] = TRAINING
    groups["devices and processes"] = DEVICES

    def run_setting(values):
        values = vars(values)
        chosen = {name: values.pop(name) for name in own}
        name = choose(**chosen) if choose else values.pop("config")
        overrides = values.pop("overrides")
        config = get_config(name, overrides)
        if configure is not None:
            given, config = config, configure(config, **chosen)
            check_kept(overrides, given, config)
            check_config(config)
        with orderly_termination():
            setting = make_setting(name, config, **values)
            with contextlib.ExitStack() as stack:
                if setting.alone:
                    stack.enter_context(only_process(setting.workdir))
                    # Two processes may have made the folder.
                    claim_workdir(setting)
                run(setting, **chosen)

    flags.start(run_setting, groups, Config)


def get_config(name, overrides):
    """Return the configuration of a name, with the overrides of flags."""
    return check_config(apply_overrides(CONFIGS[name], overrides))


def check_kept(overrides, given, config):
    """Check that a recipe's own flags do not change what overrides have set.

    Args:
        overrides: dict from paths to values, as the user gave them.
        given: The `Config` with these values.
        config: The `Config` that the recipe's own flags make of it.

    Raises:
        ValueError: If they change such a field.
    """
    for path, text in overrides.items():
        mine, its = (
            functools.reduce(getattr, path.split("."), each)
            for each in (given, config)
        )
        if mine != its:
            raise ValueError(
                f"Two flags must not set one field. Received: --{path} {text}, "
                f"and other flags that make it {its}. Leave out one of them."
            )


def start(run, **own):
    """Run a program that needs no setting.

    Args:
        run: A function of the program's flags by name; with the flag `config`,
            also of `overrides`, what `get_config` takes.
        **own: The flags, as keywords of `add_argument`.
    """
    flags.start(
        lambda values: run(**vars(values)),
        {"this recipe": own},
        Config if "config" in own else None,
    )


def make_setting(
    name,
    config,
    workdir,
    *,
    coordinator=None,
    num_processes=None,
    process_id=None,
    **others,
):
    """Make the setting that flags describe, and claim its workdir.

    Args:
        name: str, name of the configuration.
        config: The `Config`, overrides included.
        workdir: `pathlib.Path`.
        coordinator: str, see `keras_nc.training.initialize_processes`.
        num_processes: int, see there.
        process_id: int, see there.
        **others: Arguments of `Setting`.
    """
    if not workdir:
        raise ValueError(
            "Results need a folder. Received: no --workdir. Pass --workdir."
        )
    setting = Setting(
        name,
        config,
        workdir,
        **others,
        alone=not join_processes(coordinator, num_processes, process_id),
    )
    claim_workdir(setting)
    return setting


def join_processes(*given):
    """Join the other processes if flags or the environment ask for it.

    Args:
        *given: Arguments of `keras_nc.training.initialize_processes`.

    Returns:
        bool, whether there are others.
    """
    if given == ("auto", None, None) or _KERAS_PROCESSES in os.environ:
        initialize_processes()
    elif given == (None, None, None):
        return False
    else:
        initialize_processes(*given)
    return True
