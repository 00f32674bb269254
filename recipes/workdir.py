"""The folder of a run: whose it is, and what each stage leaves there."""

import json
import pathlib

from keras_nc.coding.atomic import atomic_file

_MANIFEST = "config.json"


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
