"""What `compile` configures: a step that works on nats instead of logits."""

import types

import keras
import keras_hub
from keras import ops

from keras_nc.coding import PAD_ID
from keras_nc.coding.inputs import as_integer
from keras_nc.losses import TokenNats
from keras_nc.losses import token_weights
from keras_nc.metrics import BitsPerByte
from keras_nc.models.ids import in_vocabulary
from keras_nc.models.sampling import to_sampler
from keras_nc.models.token_loss import TokenLoss
from keras_nc.models.token_metrics import token_metrics


class NatsCausalLM(keras_hub.models.CausalLM):
    """A causal language model whose losses and metrics take nats.

    The targets of every batch are also put among the inputs, so that the model
    can return nats.
    """

    #: See `compile`.
    z_loss = 0.0
    logits_bytes = "auto"
    #: Whether a metric needs to know how many ids beat the target.
    wants_ranks = False
    #: The weights that the compiled functions were made for.
    _compiled_for = None
    #: Whether `compile` has yet to choose the default metric.
    _awaits_metric = False

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        metrics=None,
        weighted_metrics="auto",
        sampler="top_k",
        z_loss=0.0,
        logits_bytes="auto",
        **kwargs,
    ):
        """Configure training and generation.

        The model gives losses and metrics nats, -log p(target), instead of
        logits. The metrics that Keras and keras-hub compute from logits work
        too: accuracy, top-k accuracy, cross-entropy and perplexity. Pads have
        weight 0 in both `metrics` and `weighted_metrics`.

        A custom loss or metric is a function of target ids and nats, both
        `(B, T)`, or a subclass of `keras.losses.Loss` or `keras.metrics.Metric`
        that takes these. It should return one value per token, `(B, T)`; the
        model weights and reduces these. If it returns one value per row,
        `(B,)`, or a scalar, weights of single tokens do not reach it. The nats
        of pads are 0.

        Args:
            optimizer: `"auto"` for AdamW with a constant rate of 1e-3, or as
                in `keras.Model.compile`.
            loss: `"auto"` for `TokenNats`,
                `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`,
                or a custom loss.
            metrics: Like `weighted_metrics`, but without sample weights.
            weighted_metrics: `"auto"`, or a list. `"auto"` is `BitsPerByte` if
                every token of the preprocessor's tokenizer stands for whole
                bytes, else no metric. A list may hold `"accuracy"`,
                `BitsPerByte`, `keras.metrics.SparseCategoricalAccuracy`,
                `SparseTopKCategoricalAccuracy`,
                `SparseCategoricalCrossentropy(from_logits=True)`,
                `keras_hub.metrics.Perplexity(from_logits=True)`, and custom
                metrics.
            sampler: How `generate` chooses ids: `"greedy"`, `"top_k"`,
                `"top_p"`, `"random"`, `"beam"`, or a
                `keras_hub.samplers.Sampler`. A custom sampler overrides
                `get_next_token`, not `__call__`.
            z_loss: float. Weight of the z-loss, the mean squared logarithm of
                the softmax's denominator. Training adds it to the loss so that
                logits do not drift; 1e-4 in the paper.
            logits_bytes: int. The memory that float32 logits of a batch may
                take in training and evaluation. If the logits of all tokens
                need more, they are computed for a few positions at a time, and
                again for the gradient. This saves memory and costs a third more
                multiplications. `"auto"` is an eighth of the memory of the
                devices, and 256 MiB if the backend does not tell it: on CPUs
                and on TensorFlow.
            **kwargs: See `keras.Model.compile`.

        Raises:
            ValueError: If a loss or metric cannot be computed from nats.
        """
        if not _is_auto(logits_bytes):
            logits_bytes = as_integer("logits_bytes", logits_bytes)
        sampler = to_sampler(sampler, self.backbone.vocabulary_size)
        if _is_auto(optimizer):
            optimizer = keras.optimizers.AdamW(1e-3)
        if _is_auto(loss):
            loss = TokenNats()
        # A preset is compiled before its tokenizer loads its assets.
        self._awaits_metric = _is_auto(weighted_metrics)
        if _is_auto(weighted_metrics):
            weighted_metrics = self._default_metrics()
            self._awaits_metric = not weighted_metrics
        metrics = token_metrics(metrics, "metrics")
        weighted_metrics = token_metrics(weighted_metrics, "weighted_metrics")
        if isinstance(kwargs.get("loss_weights"), (list, tuple, dict)):
            # One output, one loss, one weight.
            weights = keras.tree.flatten(kwargs["loss_weights"])
            kwargs["loss_weights"] = (
                weights[0] if len(weights) == 1 else weights
            )
        super().compile(
            optimizer,
            None if loss is None else TokenLoss(loss),
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            sampler=sampler,
            **kwargs,
        )
        self.loss = loss
        self.z_loss, self.logits_bytes = float(z_loss), logits_bytes
        every_metric = [*(metrics or []), *(weighted_metrics or [])]
        self.wants_ranks = any(metric.wants_ranks for metric in every_metric)
        # Not a dict: Keras would track its metrics as the model's own.
        self._compiled_with = types.SimpleNamespace(metrics=metrics, **kwargs)

    def _default_metrics(self):
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        lengths = getattr(tokenizer, "token_lengths", None)
        return [] if lengths is None else [BitsPerByte(token_lengths=lengths)]

    def complete_compile(self):
        """Add the default metric once the tokenizer has loaded its assets."""
        if self._awaits_metric and self._default_metrics():
            self.compile(
                self.optimizer,
                self.loss,
                z_loss=self.z_loss,
                logits_bytes=self.logits_bytes,
                sampler=self.sampler,
                **vars(self._compiled_with),
            )

    def get_compile_config(self):
        """Return what `compile` was called with, the sampler included."""
        config = super().get_compile_config()
        if not config:
            return config
        settings = {
            "z_loss": self.z_loss,
            "logits_bytes": self.logits_bytes,
            "sampler": keras_hub.samplers.serialize(self.sampler),
        }
        if self.loss is None:
            return {**config, **settings}
        # The loss carries our own arguments, because `keras.models.clone_model`
        # passes this to a plain functional model, which does not know them.
        config["loss"]["config"]["settings"] = settings
        return config

    def compile_from_config(self, config):
        """Compile a loaded model as the saved one was."""
        config = keras.saving.deserialize_keras_object(config)
        loss = config.get("loss")
        if isinstance(loss, TokenLoss):
            config = {**config, "loss": loss.loss, **loss.settings}
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def train_step(self, *args):
        """Run a step of `fit`, with the targets among the inputs."""
        self.check_trainable()
        return super().train_step(*args[:-1], self._for_step(args[-1]))

    def test_step(self, *args):
        """Run a step of `evaluate`, with the targets among the inputs."""
        return super().test_step(*args[:-1], self._for_step(args[-1]))

    def _for_step(self, data):
        """Put the targets of a batch among its inputs; pads weigh 0."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        check_targets(x, y)
        y = in_vocabulary(y, self.backbone.vocabulary_size, "y")
        scored = ops.cast(y != PAD_ID, "float32")
        if sample_weight is not None:
            scored = scored * token_weights(sample_weight, y)
        # A torch `DataLoader` may collate to arrays.
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        key = "ranked_ids" if self.wants_ranks else "target_ids"
        return keras.utils.pack_x_y_sample_weight({**x, key: y}, y, scored)

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Build losses and metrics from the shapes and types of a batch.

        Under a `tf.distribute` strategy, Keras passes the mean of the batches
        of all devices, and a mean of ids is a float. Keras has no public place
        to restore the type.
        """
        if data_batch is not None:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(data_batch)
            x = {**x, "token_ids": ops.cast(x["token_ids"], "int32")}
            data_batch = (x, ops.cast(y, "int32"), weights)
        return super()._symbolic_build(iterator, data_batch)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Compute the loss from nats; see `keras.Model.compute_loss`."""
        if len(y_pred.shape) == 3:
            y_pred = y_pred[..., 0]
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def check_trainable(self):
        """Raise a ValueError if the weights cannot be trained as they are."""
        if not self.compiled:
            return  # Keras says so
        if self.loss is None:
            raise ValueError(
                "Training needs a loss. Received: loss=None in `compile`. "
                "Leave it out for nats per token."
            )
        table = self.backbone.token_embedding
        if table.variable_dtype == "float16":
            raise ValueError(
                "Weights in float16 overflow in training, to NaN. Received: a "
                f"model with dtype={self.backbone.dtype_policy.name!r}. Create "
                "it with dtype='mixed_float16' or 'mixed_bfloat16', and load "
                "its weights into that."
            )
        # Keras has no public way to ask which weights an optimizer was built
        # for.
        optimizer = self.optimizer
        built_for = getattr(optimizer, "inner_optimizer", optimizer)
        built_for = built_for._trainable_variables
        now = self.trainable_variables
        same = len(built_for) == len(now) and all(
            a is b for a, b in zip(built_for, now, strict=True)
        )
        if optimizer.built and not same:
            raise ValueError(
                "The weights to train have changed since training began, by "
                "`enable_lora`, `quantize` or `trainable`. Received: an "
                f"optimizer of {len(built_for)} weights for {len(now)}. Call "
                "`compile` again."
            )

    def forget_stale_functions(self):
        """Drop functions that were compiled for other weights.

        `enable_lora`, `quantize` and `trainable` change the weights of a model
        that is in use.
        """
        weights = tuple((v.path, v.dtype, v.trainable) for v in self.variables)
        if weights != self._compiled_for:
            self._compiled_for = weights
            self.train_function = None
            self.test_function = None
            self.predict_function = None
            self.generate_function = None

    def make_generate_function(self):
        """Compile generation; see `keras_hub.models.CausalLM`."""
        self.forget_stale_functions()
        if keras.backend.backend() == "jax":
            # A callback may generate during `fit`. There, Keras keeps the
            # values of variables elsewhere.
            self.jax_state_sync()
        return super().make_generate_function()


def _is_auto(given):
    return isinstance(given, str) and given == "auto"


def check_targets(x, y):
    """Raise a ValueError unless inputs are ids and there are targets."""
    if y is None or not isinstance(x, dict):
        raise ValueError(
            "Training and evaluation need batches (x, y[, sample_weight]): a "
            'dict with "token_ids" and "padding_mask", and the ids that come '
            f"next. Received: x of type {type(x).__name__}, y of type "
            f"{type(y).__name__}"
        )
