"""Train a list of models in turn, with a record of each one."""

import dataclasses
import shutil
import time

from keras_nc import models
from keras_nc.evaluation import body_parameters
from keras_nc.evaluation import flops_per_byte
from keras_nc.training import get_distribution
from recipes import workdir
from recipes.engine import machine
from recipes.engine import preparation
from recipes.engine.failures import note
from recipes.engine.trainer import Trainer
from recipes.flags import say

#: States of a run are saved at most this often; a killed run loses no more.
SAVE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Run:
    """A model to train on the ids of a tokenizer.

    Args:
        job: The `preparation.Job` of the tokenizer.
        config: A `Config`. Its `m2` and `m2_training` are used, seed included.
        label: str. What the run is, without the seed, for progress and files.
    """

    job: preparation.Job
    config: object
    label: str

    @property
    def name(self):
        """The name of the record and of the folder of states."""
        seed = self.config.m2_training.seed
        return preparation.slug(f"{self.label} seed {seed}")

    def with_seed(self, seed):
        """Return the run with a seed."""
        training = dataclasses.replace(self.config.m2_training, seed=seed)
        config = dataclasses.replace(self.config, m2_training=training)
        return dataclasses.replace(self, config=config)

    @property
    def record(self):
        """Where the record is, a `pathlib.Path`."""
        return self.job.setting.workdir / "records" / f"{self.name}.json"

    def settings(self):
        """Return what decides the figures, for JSON, without the text."""
        config = self.config
        return {
            "tokens": self.job.name,
            "ids": self.job.ids,
            "unseen": list(self.job.unseen),
            "m2": dataclasses.asdict(config.m2),
            "m2_training": dataclasses.asdict(config.m2_training),
            "dtype": config.dtype,
        }


class Deadline:
    """A time after which nothing new begins.

    Args:
        minutes: float. From now on; `None` for never.
    """

    def __init__(self, minutes=None):
        self.minutes = minutes
        self.time = None if minutes is None else time.time() + 60 * minutes

    def passed(self):
        """Return whether the time is up."""
        return self.time is not None and time.time() >= self.time


def train_all(
    runs,
    deadline,
    save_models=False,
    measure=None,
    trainers=None,
    failures=None,
):
    """Train every run that has no record, until the deadline.

    Runs of one model and vocabulary come one after the other if they are so in
    the list, and share one compiled step.

    Args:
        runs: A list of `Run` whose jobs are prepared.
        deadline: A `Deadline`. A run that it interrupts continues next time.
        save_models: bool. Whether to save each model as a preset.
        measure: A function of a run, its `Prepared` and the trained model, that
            returns more figures of the record, a dict; or `None`.
        trainers: dict. Compiled steps of earlier calls, to use and to add to.
        failures: dict of str by `Run.name`, to which the errors of runs are
            added, while the other runs continue. `None` raises errors.

    Returns:
        dict of records by `Run.name`, of all finished runs.

    Raises:
        ValueError: If a record is of other settings. Without `failures`, also
            if shards are damaged, a loss is lost (see docs/recipes.md), or the
            device has too little memory.
    """
    records = {}
    waiting = []
    for run in runs:
        found = read_record(run)
        if found is None:
            waiting.append(run)
        else:
            records[run.name] = found
    trainers = {} if trainers is None else trainers
    for run in waiting:
        if run.name in records:
            continue  # the list may have it twice
        if deadline.passed():
            break
        try:
            with machine.fits_device(f"training of {run.label}"):
                record = _train_one(
                    run, deadline, save_models, measure, trainers
                )
        except ValueError as error:
            trainers.clear()
            note(failures, run.name, error)
            continue
        if record is not None:
            records[run.name] = record
    return records


def _train_one(run, deadline, save_models, measure, trainers):
    """Train a run on its devices; see `train`."""
    prepared = preparation.open_prepared(run.job)
    if prepared is None:
        return None  # the deadline passed before its preparation
    setting = run.job.setting
    devices = get_distribution(setting.strategy, setting.model_shards)
    with devices.scope():
        trainer = _trainer_of(run, prepared, trainers)
        return train(run, prepared, trainer, deadline, save_models, measure)


def read_record(run):
    """Return the record of a run, or `None`.

    Raises:
        ValueError: If it was made with other settings or another tokenizer.
    """
    record = workdir.read_json(run.record)
    if record is None:
        return None
    mine = run.settings()
    figures = preparation.read_figures(run.job)
    if figures is not None:
        mine["fingerprint"] = figures["fingerprint"]
        mine["shards"] = figures["shards"]
    found = workdir.first_difference(mine, record.get("settings", {}))
    if found is not None:
        name, ours, theirs = found
        raise ValueError(
            f"{run.record} was made with {name}={theirs!r}. Received: "
            f"{ours!r}. Use the same flags, or another --workdir."
        )
    return record


def _trainer_of(run, prepared, trainers):
    """Return the trainer of the run's model; keep those of one size."""
    size = prepared.figures["vocabulary_size"]
    config = run.config
    training = dataclasses.replace(config.m2_training, seed=0)
    size_key = (config.m2, config.dtype, training)
    if any(key[0] != size_key for key in trainers):
        trainers.clear()  # of another size, whose memory this one may need
    key = (size_key, size)
    tokenizer = None
    if config.m2.embedding == "bytes":
        # The bytes of all ids are constants of the step.
        tokenizer = prepared.tokenizer()
        key = (*key, prepared.figures["fingerprint"])

    def make_model():
        return models.CompressedCausalLM(
            models.CompressedBackbone(
                size,
                **dataclasses.asdict(config.m2),
                dtype=config.dtype,
                vocabulary=tokenizer,
            )
        )

    if key not in trainers:
        trainers[key] = Trainer(make_model, training)
    return trainers[key]


def train(run, prepared, trainer, deadline, save_models, measure=None):
    """Train and score a model; write and return its record.

    Returns:
        The record, a dict; `None` if the deadline came before the end.
    """
    setting, training = run.job.setting, run.config.m2_training
    folder = setting.workdir / "runs" / run.name
    shards = prepared.shards
    label = f"{run.label}, seed {training.seed}"
    trainer.begin(training.seed)
    history = trainer.fit(
        setting,
        shards,
        folder,
        seed=training.seed,
        label=label,
        tensorboard=False,
        # To save a large model takes longer than to train it for a while.
        save_seconds=0 if setting.restart_on_collapse else SAVE_SECONDS,
        stop=deadline.passed,
    )
    last = history[-1]
    if last["step"] < training.steps:
        return None
    start = time.perf_counter()
    scores = {
        split: trainer.score(shards[split])
        for split in ("held_out", preparation.UNSEEN)
        if split in shards
    }
    backbone = trainer.model.backbone
    ratios = prepared.figures["bytes_per_token"]
    record = {
        "settings": {
            **run.settings(),
            "fingerprint": prepared.figures["fingerprint"],
            "shards": prepared.figures["shards"],
        },
        "bits_per_byte": scores,
        "bytes_per_token": ratios,
        "unigram": prepared.figures["unigram"],
        "flops_per_byte": dataclasses.asdict(
            flops_per_byte(backbone, ratios["held_out"])
        ),
        "vocabulary_size": prepared.figures["vocabulary_size"],
        "parameters": backbone.count_params(),
        "body_parameters": body_parameters(backbone),
        "tokens": last["tokens"],
        "passes": last["tokens"] / shards["train"].num_tokens,
        "seconds": last["seconds"],
        "score_seconds": time.perf_counter() - start,
        "curve": _curve(history, ratios),
        "machine": machine.describe(),
    }
    if measure is not None:
        record |= measure(run, prepared, trainer.model)
    if save_models:
        _save(trainer.model, prepared, training, folder / "preset")
    workdir.write_json(run.record, record)
    # The record has all that the states were for.
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    if not save_models:
        shutil.rmtree(folder, ignore_errors=True)
    said = ", ".join(
        f"{score:.3f} bits/byte {split.replace('_', ' ')}"
        for split, score in scores.items()
    )
    say(f"{label}: {said}")
    return record


def _curve(history, ratios):
    """Return the history, with held-out bits per byte of their own bytes.

    During training, bits per token become bits per byte by the ratio of the
    training text.
    """
    scale = ratios["train"] / ratios["probe"]
    return [
        {**row, "held_out_bits_per_byte": row["held_out_bits_per_byte"] * scale}
        for row in history
    ]


def with_tokenizer(model, prepared, sequence_length):
    """Return a trained model with its tokenizer; it shares the weights."""
    preprocessor = models.CompressedCausalLMPreprocessor(
        prepared.tokenizer(), sequence_length
    )
    complete = models.CompressedCausalLM(model.backbone, preprocessor)
    complete.compile()
    return complete


def _save(model, prepared, training, folder):
    """Save the model and its tokenizer as a preset."""
    complete = with_tokenizer(model, prepared, training.sequence_length)
    complete.save_to_preset(folder)
