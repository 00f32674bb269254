"""Train one model after another, all with the same compiled step."""

import keras

from keras_nc.data import PackedSequences
from keras_nc.data import process_batches
from keras_nc.metrics import BitsPerByte
from keras_nc.training import get_optimizer
from keras_nc.training import resumable_fit


class Trainer:
    """A model that is compiled once and trained for any number of runs.

    Each run begins with new weights and a new optimizer state, as if its model
    had just been created. What differs between tokenizers is in variables, so
    the compiled step serves all tokenizers of one vocabulary size.

    Args:
        make_model: A function without arguments that creates the model.
        training: A `configs.Training`. Runs may only differ in its seed.
    """

    def __init__(self, make_model, training):
        self.make_model = make_model
        self.training = training
        self.model = None

    def begin(self, seed):
        """Give the model the weights that a new one with this seed has."""
        keras.utils.set_random_seed(seed)
        fresh = self.make_model()
        if self.model is None:
            self.model = fresh
            self.metric = BitsPerByte(bytes_per_token=1.0)
            self.model.compile(
                optimizer=self._optimizer(),
                weighted_metrics=[self.metric],
                z_loss=self.training.z_loss,
            )
            return
        optimizer = self._optimizer()
        optimizer.build(fresh.trainable_variables)
        self.model.optimizer.build(self.model.trainable_variables)
        _copy(fresh.variables, self.model.variables)
        _copy(optimizer.variables, self.model.optimizer.variables)

    def fit(self, setting, shards, folder, *, seed, label, **others):
        """Train on shards, or continue; see `training.resumable_fit`.

        Args:
            setting: A `Setting`, with the flags of training.
            shards: dict of `TokenShards`: `train`, and `probe` to score during
                training.
            folder: Where the states and metrics of the run go.
            seed: int. Seed of the order of the sequences.
            label: str. Name of the run in the progress line.
            **others: Other arguments of `resumable_fit`.

        Returns:
            The rows of `metrics.csv`.
        """
        self.metric.bytes_per_token = shards["train"].bytes_per_token
        training = self.training
        return resumable_fit(
            self.model,
            shards["train"],
            folder,
            sequence_length=training.sequence_length,
            batch_size=training.batch_size,
            steps=training.steps,
            steps_per_epoch=training.steps_per_epoch,
            seed=seed,
            short_length=training.short_length,
            short_every=training.short_every,
            held_out=shards["probe"],
            keep=setting.keep,
            on_collapse="restart" if setting.restart_on_collapse else "stop",
            max_restarts=setting.max_restarts,
            peak_flops=setting.peak_tflops and setting.peak_tflops * 1e12,
            label=label,
            **others,
        )

    def score(self, shards):
        """Return the bits per byte of all tokens of shards, a float.

        This is `evaluation.bits_per_byte`, but it uses the step that scores
        held-out text during training, so nothing is compiled.
        """
        self.metric.bytes_per_token = shards.bytes_per_token
        sequences = PackedSequences(
            shards,
            self.training.sequence_length,
            self.training.batch_size,
            shuffle=False,
            document_masks=self.model.backbone.document_masks,
        )
        scores = self.model.evaluate(
            process_batches(sequences), verbose=0, return_dict=True
        )
        return float(scores["bits_per_byte"])

    def _optimizer(self):
        training = self.training
        return get_optimizer(
            training.optimizer,
            training.learning_rate,
            schedule=training.schedule,
            warmup_steps=training.warmup_steps,
            steps=training.steps,
        )


def _copy(source, target):
    """Copy the values of variables, in order."""
    for old, new in zip(target, source, strict=True):
        old.assign(keras.ops.convert_to_numpy(new))
