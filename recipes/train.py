"""Train a model of a recipe, score it, and save it as a preset."""

import dataclasses
import sys
import time

import keras

from keras_nc.cli.errors import orderly_termination
from keras_nc.training import get_distribution
from keras_nc.training import one_writer
from recipes import workdir
from recipes.engine.trainer import Trainer
from recipes.flags import say


def train(setting, folder, make_model, training, shards, label):
    """Train a model, score it on all held-out text, save it as a preset.

    Args:
        setting: A `Setting`.
        folder: Where the run goes: `preset/`, `metrics.csv`, `result.json`.
        make_model: A function that creates the model.
        training: A `configs.Training`.
        shards: dict of `TokenShards` by split.
        label: str. Name of the run in the progress line.

    Returns:
        The stage's figures, a dict.
    """
    result = workdir.read_json(folder / "result.json")
    if result is not None:
        return result
    distribution = get_distribution(setting.strategy, setting.model_shards)
    with distribution.scope():
        return _train(setting, folder, make_model, training, shards, label)


def _train(setting, folder, make_model, training, shards, label):
    trainer = Trainer(make_model, training)
    trainer.begin(training.seed)
    # Several processes stop at once. Their last states are of the same step.
    with orderly_termination(wait=setting.alone) as stop:
        history = trainer.fit(
            setting,
            shards,
            folder,
            seed=training.seed,
            label=label,
            stop=stop if setting.alone else None,
        )
    if history[-1]["step"] < training.steps:
        say(
            f"{label}: stopped by SIGTERM after step {history[-1]['step']:,}, "
            "whose state is saved. The same command continues"
        )
        sys.exit(0)
    say(f"{label}: scoring the held-out text")
    start = time.perf_counter()
    score = trainer.score(shards["held_out"])
    score_seconds = time.perf_counter() - start
    model = trainer.model
    # A preset is for generation and further training. The optimizer and the
    # metric of this run stay in its checkpoint.
    model.compile()
    result = {
        "bits_per_byte": score,
        "training": dataclasses.asdict(training),
        "backend": keras.backend.backend(),
        "tokens": history[-1]["tokens"],
        "bytes": history[-1]["bytes"],
        "seconds": history[-1]["seconds"],
        "score_seconds": score_seconds,
        "history": history,
    }
    with one_writer(model) as writes:
        if writes:
            model.save_to_preset(folder / "preset")
            say(f"{label}: {score:.3f} bits/byte of held-out text")
            workdir.write_json(folder / "result.json", result)
    return result
