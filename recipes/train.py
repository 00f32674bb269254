"""Train a model of a recipe, score it, and save it as a preset."""

import dataclasses
import time

import keras

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
    history = trainer.fit(
        setting, shards, folder, seed=training.seed, label=label
    )
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
