"""How the language models take their training data."""

import keras
import numpy as np

#: `tf.data.AUTOTUNE`, without importing TensorFlow.
AUTOTUNE = -1


class TrainsOnText:
    """Mixin of `DecoderCausalLM`: text, arrays and data sets of any kind.

    Every batch's targets are put among the inputs, too, so that the model can
    return nats.
    """

    def train_step(self, *args):
        """One step of `fit`, with the targets among the inputs."""
        return super().train_step(*args[:-1], with_targets(args[-1]))

    def test_step(self, *args):
        """One step of `evaluate`, with the targets among the inputs."""
        return super().test_step(*args[:-1], with_targets(args[-1]))

    def preprocess_samples(self, x, y=None, sample_weight=None):
        """Tokenize and pack, unless that has been done already."""
        if isinstance(x, dict) and "token_ids" in x:
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        return super().preprocess_samples(x, y, sample_weight)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        validation_data=None,
        **kwargs,
    ):
        """Train; see `keras.Model.fit`.

        Args:
            x: Text (strings or bytes), arrays, a `keras.utils.PyDataset` or a
                `tf.data.Dataset` of either. Batches that hold `"token_ids"`
                are taken as they are; anything else goes to the preprocessor.
            y: Target ids, with arrays.
            batch_size: int, with text or arrays.
            sample_weight: Weights of the targets, with arrays.
            validation_data: As `x`, or a tuple `(x, y[, sample_weight])`.
            **kwargs: See `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.
        """
        self.complete_compile()
        if is_grain_dataset(x):
            return super().fit(x, validation_data=validation_data, **kwargs)
        if is_tf_dataset(x) or isinstance(x, keras.utils.PyDataset):
            kwargs.setdefault("shuffle", False)  # the data set's own affair
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data,)
            validation_data = self._preprocessed(*validation_data)
            if validation_data[1] is None:
                validation_data = validation_data[0]
        x, y, sample_weight = self._preprocessed(x, y, sample_weight)
        return keras.Model.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            sample_weight=sample_weight,
            validation_data=validation_data,
            **kwargs,
        )

    def evaluate(
        self, x=None, y=None, batch_size=None, sample_weight=None, **kwargs
    ):
        """Evaluate; arguments as in `fit`, see `keras.Model.evaluate`."""
        self.complete_compile()
        if is_grain_dataset(x):
            return super().evaluate(x, **kwargs)
        x, y, sample_weight = self._preprocessed(x, y, sample_weight)
        return keras.Model.evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            sample_weight=sample_weight,
            **kwargs,
        )

    def predict(self, x, batch_size=None, **kwargs):
        """Logits; inputs as in `fit`, see `keras.Model.predict`."""
        if is_grain_dataset(x):
            return super().predict(x, **kwargs)
        x, _, _ = self._preprocessed(x)
        return keras.Model.predict(self, x, batch_size=batch_size, **kwargs)

    def _preprocessed(self, x, y=None, sample_weight=None):
        """Data for `keras.Model`: text tokenized at once, at memory speed.

        keras-hub would hand text and arrays to `tf.data` or Grain, whether
        they are there or not, and refuse a `PyDataset`.
        """
        if x is None or isinstance(x, keras.utils.PyDataset):
            return x, y, sample_weight
        if is_tf_dataset(x):
            x = x.map(self.preprocess_samples, num_parallel_calls=AUTOTUNE)
            return x.prefetch(AUTOTUNE), None, None
        data = self.preprocess_samples(x, y, sample_weight)
        data = keras.tree.map_structure(np.asarray, data)
        return keras.utils.unpack_x_y_sample_weight(data)


def is_tf_dataset(x):
    """Whether `x` is a `tf.data.Dataset`, without importing TensorFlow."""
    return hasattr(x, "as_numpy_iterator")


def is_grain_dataset(x):
    """Whether `x` is a Grain data set, which keras-hub's pipelines take."""
    return hasattr(x, "map") and not is_tf_dataset(x)


def with_targets(data):
    """Put the targets of a batch among its inputs, too."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if y is not None:
        x = {**x, "target_ids": y}
    return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
