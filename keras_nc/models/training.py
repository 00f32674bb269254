"""How the language models take their training data."""

from collections.abc import Iterator

import keras
import numpy as np

from keras_nc.tokenizers.origin import check_origins

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
            self.check_origins((x, y))
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        return super().preprocess_samples(x, y, sample_weight)

    def check_origins(self, data):
        """Raise a ValueError if data holds ids of another tokenizer.

        Checked are token shards, what reads them, the batches of
        `PackedSequences`, and tokenizers inside data sets. Arrays of ids that
        were made in another way do not say who made them.

        Args:
            data: Arrays, or a data set of any kind.
        """
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        check_origins(data, tokenizer, self.backbone.vocabulary_size)

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
            x: A list of texts (`str` or `bytes`); a dict of arrays with
                `"token_ids"` and `"padding_mask"`; a `tf.data.Dataset` of
                batches of either; a Python generator of tuples `(x[, y[,
                sample_weight]])` with batches of either; or a
                `keras.utils.PyDataset` or torch `DataLoader` of batches
                `(x, y[, sample_weight])` of arrays (on torch a `DataLoader` of
                texts gives them with `collate_fn=preprocessor`). Text goes to
                the preprocessor, arrays are taken as they are.
            y: Target ids `(B, T)`, with arrays.
            batch_size: int, with texts or arrays.
            sample_weight: Weights of the targets, with arrays: of tokens
                `(B, T)` or of rows `(B,)`.
            validation_data: As `x`, or a tuple `(x, y[, sample_weight])`.
            **kwargs: See `keras.Model.fit`; there are no class weights.

        Returns:
            A `keras.callbacks.History`.
        """
        self.complete_compile()
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "Tokens have no class weights. Received: class_weight="
                f"{kwargs['class_weight']}. Pass `sample_weight`."
            )
        self.check_origins((x, validation_data))
        if is_grain_dataset(x):
            check_inside(y, sample_weight)
            return super().fit(x, validation_data=validation_data, **kwargs)
        if yields_batches(x):
            kwargs.setdefault("shuffle", False)  # the data set's own affair
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data,)
            validation_data = self._preprocessed(*validation_data)
            if validation_data[1] is None:
                validation_data = validation_data[0]
        x, y, sample_weight = self._with_targets(x, y, sample_weight)
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
        self.check_origins(x)
        if is_grain_dataset(x):
            check_inside(y, sample_weight)
            return super().evaluate(x, **kwargs)
        x, y, sample_weight = self._with_targets(x, y, sample_weight)
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
        self.check_origins(x)
        if is_grain_dataset(x):
            return super().predict(x, **kwargs)
        x, _, _ = self._preprocessed(x)
        return keras.Model.predict(self, x, batch_size=batch_size, **kwargs)

    def _with_targets(self, x, y, sample_weight):
        """Preprocessed data; arrays that lack targets are refused here."""
        x, y, sample_weight = self._preprocessed(x, y, sample_weight)
        if isinstance(x, dict):
            check_targets(x, y)
        return x, y, sample_weight

    def _preprocessed(self, x, y=None, sample_weight=None):
        """Data for `keras.Model`: text tokenized at once, at memory speed.

        keras-hub would hand text and arrays to `tf.data` or Grain, whether
        they are there or not, and refuse a `PyDataset`.
        """
        if x is None or isinstance(x, keras.utils.PyDataset):
            return x, y, sample_weight
        if is_tf_dataset(x):
            check_inside(y, sample_weight)
            x = x.map(self.preprocess_samples, num_parallel_calls=AUTOTUNE)
            return x.prefetch(AUTOTUNE), None, None
        if isinstance(x, Iterator):
            check_inside(y, sample_weight)
            return self._preprocessed_batches(x), None, None
        if is_torch_loader(x):
            check_inside(y, sample_weight)
            return x, None, None
        if isinstance(x, (str, bytes)) or len(x) == 0:
            raise ValueError(
                "Pass a list of at least one text, or arrays. Received: "
                f"{type(x).__name__} of length {len(x)}"
            )
        data = self.preprocess_samples(x, y, sample_weight)
        data = keras.tree.map_structure(np.asarray, data)
        return keras.utils.unpack_x_y_sample_weight(data)

    def _preprocessed_batches(self, batches):
        """A generator's batches, its text tokenized."""
        for batch in batches:
            if not isinstance(batch, tuple):
                raise ValueError(
                    "A generator must yield tuples: (texts,) or "
                    f"(x, y[, sample_weight]). Received: {type(batch).__name__}"
                )
            data = self.preprocess_samples(*batch)
            yield data if isinstance(data, tuple) else (data,)


def yields_batches(x):
    """Whether `x` yields batches, in an order of its own."""
    return (
        isinstance(x, (keras.utils.PyDataset, Iterator))
        or is_tf_dataset(x)
        or is_torch_loader(x)
    )


def is_tf_dataset(x):
    """Whether `x` is a `tf.data.Dataset`, without importing TensorFlow."""
    return hasattr(x, "as_numpy_iterator")


def is_grain_dataset(x):
    """Whether `x` is a Grain data set, which keras-hub's pipelines take."""
    modules = [cls.__module__.partition(".")[0] for cls in type(x).__mro__]
    return "grain" in modules


def is_torch_loader(x):
    """Whether `x` is a torch `DataLoader`, without importing torch."""
    modules = [cls.__module__ for cls in type(x).__mro__]
    return "torch.utils.data.dataloader" in modules


def check_inside(y, sample_weight):
    """Raise a ValueError for targets or weights beside a data set."""
    if y is not None or sample_weight is not None:
        raise ValueError(
            "Targets and weights belong into the batches of a data set, as "
            f"(x, y, sample_weight). Received: y={y}, "
            f"sample_weight={sample_weight}"
        )


def with_targets(data):
    """Put the targets of a batch among its inputs, too."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    check_targets(x, y)
    x = {**x, "target_ids": y}
    return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


def check_targets(x, y):
    """Raise a ValueError unless inputs are ids and there are targets."""
    if y is None or not isinstance(x, dict):
        raise ValueError(
            "Training and evaluation need batches (x, y[, sample_weight]): a "
            'dict with "token_ids" and "padding_mask", and the ids that come '
            f"next. Received: x of type {type(x).__name__}, y of type "
            f"{type(y).__name__}"
        )
