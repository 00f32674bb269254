"""Training on text, arrays and data sets: `fit`, `evaluate` and `predict`."""

import contextlib
import copy
import functools
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from keras_nc.coding.origin import check_origins
from keras_nc.models.compile import NatsCausalLM
from keras_nc.models.compile import check_targets
from keras_nc.models.ids import BatchRules

#: `tf.data.AUTOTUNE`, without importing TensorFlow.
AUTOTUNE = -1


class TrainableCausalLM(NatsCausalLM):
    """A causal language model that trains on data of any kind."""

    def preprocess_samples(self, x, y=None, sample_weight=None):
        """Tokenize and pack text, or check ids that are packed already."""
        if not isinstance(x, dict) or "token_ids" not in x:
            return super().preprocess_samples(x, y, sample_weight)
        self.check_origins((x, y))
        rules = BatchRules.of(self.backbone)
        if is_in_graph(x["token_ids"]):
            x, y = rules.asserted(x, y)
        else:
            x = {name: as_array(value) for name, value in x.items()}
            y, sample_weight = as_array(y), as_array(sample_weight)
            rules.check(x, y)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Train on one batch; see `keras.Model.train_on_batch`."""
        data = self._checked_batch(x, y, sample_weight)
        with keeps_variables(self):
            self.check_trainable()
            return super().train_on_batch(*data, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Evaluate one batch; see `keras.Model.test_on_batch`."""
        data = self._checked_batch(x, y, sample_weight)
        with keeps_variables(self):
            return super().test_on_batch(*data, **kwargs)

    def predict_on_batch(self, x):
        """Return logits of one batch; see `keras.Model.predict_on_batch`."""
        x, _, _ = self._checked_batch(x, None, None)
        with keeps_variables(self):
            return super().predict_on_batch(x)

    def _checked_batch(self, x, y, sample_weight):
        data = self.preprocess_samples(x, y, sample_weight)
        return keras.utils.unpack_x_y_sample_weight(data)

    def check_origins(self, data):
        """Raise a ValueError if data holds ids of another tokenizer.

        This checks token shards, their readers, the batches of
        `PackedSequences`, and tokenizers inside data sets. Other arrays of ids
        have no known origin.

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
                the preprocessor; arrays are used unchanged.
            y: Target ids `(B, T)`, with arrays.
            batch_size: int, with texts or arrays.
            sample_weight: Weights of the targets, with arrays: of tokens
                `(B, T)` or of rows `(B,)`.
            validation_data: As `x`, or a tuple `(x, y[, sample_weight])`.
            **kwargs: See `keras.Model.fit`. Class weights are not supported.

        Returns:
            A `keras.callbacks.History`.
        """
        self.complete_compile()
        self.check_trainable()
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "Tokens have no class weights. Received: class_weight="
                f"{kwargs['class_weight']}. Pass `sample_weight`."
            )
        self.check_origins((x, validation_data))
        if is_grain_dataset(x):
            check_inside(y, sample_weight)
            kwargs.setdefault("shuffle", False)  # it has an order of its own
            with keeps_variables(self):
                return super().fit(x, validation_data=validation_data, **kwargs)
        if yields_batches(x):
            kwargs.setdefault("shuffle", False)
        if validation_data is not None:
            if not isinstance(validation_data, tuple):
                validation_data = (validation_data,)
            validation_data = preprocessed(self, *validation_data)
            if validation_data[1] is None:
                validation_data = validation_data[0]
        x, y, sample_weight = training_data(self, x, y, sample_weight)
        with keeps_variables(self):
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
            with keeps_variables(self):
                return super().evaluate(x, **kwargs)
        x, y, sample_weight = training_data(self, x, y, sample_weight)
        with keeps_variables(self):
            return keras.Model.evaluate(
                self,
                x,
                y,
                batch_size=batch_size,
                sample_weight=sample_weight,
                **kwargs,
            )

    def predict(self, x, batch_size=None, **kwargs):
        """Return logits; inputs as in `fit`, see `keras.Model.predict`."""
        self.check_origins(x)
        if is_grain_dataset(x):
            with keeps_variables(self):
                return super().predict(x, **kwargs)
        x, _, _ = preprocessed(self, x)
        with keeps_variables(self):
            return keras.Model.predict(self, x, batch_size=batch_size, **kwargs)


@contextlib.contextmanager
def keeps_variables(model):
    """Restore the values of a model's variables after an error.

    To save memory while training on JAX, Keras moves the values of variables to
    a state of its own. After an error before the end of the first step, or in
    `evaluate` or `predict`, it does not put them back. That state has no public
    interface, so only this function knows its names.

    Args:
        model: A `DecoderCausalLM`.
    """
    model.forget_stale_functions()
    if keras.backend.backend() != "jax":
        yield
        return
    # Inside `fit`, when a callback calls this, keep what has been learned.
    model.jax_state_sync()
    model._jax_state = None
    variables = [*model.variables, *model.metrics_variables]
    if model.optimizer is not None:
        variables += model.optimizer.variables
    before = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in before:
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise


# === Kinds of data ===


def training_data(model, x, y, sample_weight):
    """Return preprocessed data; refuse arrays without targets."""
    x, y, sample_weight = preprocessed(model, x, y, sample_weight)
    if isinstance(x, dict):
        check_targets(x, y)
    return x, y, sample_weight


def preprocessed(model, x, y=None, sample_weight=None):
    """Return data for `keras.Model`, with text already tokenized.

    keras-hub would pass text and arrays to `tf.data` or Grain, which may
    not be installed, and refuse a `PyDataset`.
    """
    rules = BatchRules.of(model.backbone)
    if x is None:
        return x, y, sample_weight
    if isinstance(x, keras.utils.PyDataset):
        if getattr(x, "shards", None) is None:
            x = CheckedBatches(x, rules)
        else:
            rules.check_numbers(getattr(x, "document_masks", False))
        return x, y, sample_weight
    if is_tf_dataset(x):
        check_inside(y, sample_weight)
        x = x.map(model.preprocess_samples, num_parallel_calls=AUTOTUNE)
        return x.prefetch(AUTOTUNE), None, None
    if isinstance(x, Iterator):
        check_inside(y, sample_weight)
        return preprocessed_batches(model, x), None, None
    if is_torch_loader(x):
        check_inside(y, sample_weight)
        return checked_loader(x, rules), None, None
    if isinstance(x, (str, bytes)) or len(x) == 0:
        raise ValueError(
            "Pass a list of at least one text, or arrays. Received: "
            f"{type(x).__name__} of length {len(x)}"
        )
    data = model.preprocess_samples(x, y, sample_weight)
    return keras.utils.unpack_x_y_sample_weight(data)


def preprocessed_batches(model, batches):
    """Yield the batches of a generator, with text tokenized."""
    for batch in batches:
        if not isinstance(batch, tuple):
            raise ValueError(
                "A generator must yield tuples: (texts,) or "
                f"(x, y[, sample_weight]). Received: {type(batch).__name__}"
            )
        data = model.preprocess_samples(*batch)
        yield data if isinstance(data, tuple) else (data,)


def yields_batches(x):
    """Return whether `x` yields batches, in an order of its own."""
    return (
        isinstance(x, (keras.utils.PyDataset, Iterator))
        or is_tf_dataset(x)
        or is_torch_loader(x)
    )


def is_tf_dataset(x):
    """Return whether `x` is a `tf.data.Dataset`, without its import."""
    return hasattr(x, "as_numpy_iterator")


def is_grain_dataset(x):
    """Return whether `x` is a Grain data set, which keras-hub handles."""
    modules = [cls.__module__.partition(".")[0] for cls in type(x).__mro__]
    return "grain" in modules


def is_torch_loader(x):
    """Return whether `x` is a torch `DataLoader`, without importing torch."""
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


class CheckedBatches(keras.utils.PyDataset):
    """A user's `PyDataset` whose batches are checked."""

    def __init__(self, batches, rules):
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches = batches
        self.rules = rules

    @property
    def num_batches(self):
        """Number of batches of an epoch; `None` if it never ends."""
        return self.batches.num_batches

    def __getitem__(self, index):
        return checked(self.batches[index], self.rules)

    def on_epoch_begin(self):
        """Pass the call on."""
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        """Pass the call on."""
        self.batches.on_epoch_end()


def checked(batch, rules):
    """Check a batch, and return it."""
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    rules.check(x, y)
    return batch


def checked_loader(loader, rules):
    """Return a torch `DataLoader` that checks what it collates."""
    loader = copy.copy(loader)
    loader.collate_fn = functools.partial(_collate, loader.collate_fn, rules)
    return loader


def _collate(collate, rules, samples):
    return checked(collate(samples), rules)


def is_in_graph(x):
    """Return whether `x` is a symbolic tensor of a `tf.data` pipeline."""
    is_tensorflow = type(x).__module__.partition(".")[0] == "tensorflow"
    return is_tensorflow and not hasattr(x, "numpy")


def as_array(x):
    """Return arrays, tensors and lists as NumPy arrays; `None` stays."""
    if x is None or isinstance(x, np.ndarray):
        return x
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(
            "Arrays must be rectangular. Received: "
            f"{type(x).__name__}: {error}. Fill short rows with pads, 0."
        ) from error
    except TypeError:  # tensors on a GPU
        return ops.convert_to_numpy(x)
