"""The causal language model that M1 and M2 share."""

import types

import keras
import keras_hub
from keras import ops

# Keras has no public way to ask whether `filters` choose a layer.
from keras.src.quantizers.utils import should_quantize_layer

from keras_nc.coding import PAD_ID
from keras_nc.coding.checks import as_integer
from keras_nc.losses import TokenNats
from keras_nc.metrics import BitsPerByte
from keras_nc.models.chunked_nats import positions_at_once
from keras_nc.models.chunked_nats import scores_in_chunks
from keras_nc.models.chunked_nats import scores_of_logits
from keras_nc.models.generate import Generates
from keras_nc.models.ids import in_vocabulary
from keras_nc.models.objectives import TokenLoss
from keras_nc.models.objectives import token_metrics
from keras_nc.models.presets import SavesPresets
from keras_nc.models.sampling import to_sampler
from keras_nc.models.scoring import bits_per_byte
from keras_nc.models.training import TrainsOnText

#: Float32 logits of 1,024 tokens of 65,536 ids.
LOGITS_BYTES = 1 << 28
#: The layers with most of the weights, apart from the embedding table.
QUANTIZED_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)


class DecoderCausalLM(
    TrainsOnText,
    Generates,
    SavesPresets,
    keras_hub.models.CausalLM,
):
    """A language model over tokens that stand for bytes.

    Called on token ids, it returns logits. Called with `"target_ids"` among its
    inputs, as `fit` and `evaluate` do, it returns the nats of these targets.
    Loss and metrics take nats, so the logits of all tokens never need to exist
    at once.

    Args:
        backbone: A `DecoderBackbone`.
        preprocessor: A `keras_hub.models.CausalLMPreprocessor` or `None`.
        **kwargs: See `keras_hub.models.CausalLM`.

    Call arguments:
        inputs: A dict with `"token_ids"` and `"padding_mask"`, and perhaps
            `"target_ids"`, int tensors of shape `(B, T)`.

    Returns:
        Float32 logits of shape `(B, T, V)`, or nats of shape `(B, T)`.
    """

    def __init__(self, backbone, preprocessor=None, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        check_vocabulary(backbone, preprocessor)

        # === Functional model ===
        inputs = backbone.input
        outputs = backbone.token_embedding(backbone(inputs), reverse=True)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    #: See `compile`.
    z_loss = 0.0
    logits_bytes = LOGITS_BYTES
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
        logits_bytes=LOGITS_BYTES,
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
                multiplications.
            **kwargs: See `keras.Model.compile`.

        Raises:
            ValueError: If a loss or metric cannot be computed from nats.
        """
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

    def _run_through_graph(self, inputs, operation_fn=None, call_fn=None):
        """Run the graph, and keep the embedding table tied in clones.

        `keras.models.clone_model` calls this with a function that clones
        layers. Keras would clone the table twice: in the backbone, and
        separately for the logits. It has no public way to tie them.
        """
        clone = operation_fn or (lambda layer: layer)

        def tied(layer):
            if layer is not self.backbone.token_embedding:
                return clone(layer)
            return clone(self.backbone).get_layer(layer.name)

        return super()._run_through_graph(inputs, tied, call_fn)

    # === Logits and nats ===

    def call(self, inputs, training=None, mask=None):
        """Return logits, or nats if the inputs hold targets."""
        inputs = dict(inputs)
        target_ids = inputs.pop("target_ids", None)
        # Like `target_ids`, for metrics that also need ranks.
        ranked_ids = inputs.pop("ranked_ids", None)
        token_ids = in_vocabulary(
            inputs["token_ids"], self.backbone.vocabulary_size
        )
        inputs["token_ids"] = ops.where(token_ids < 0, PAD_ID, token_ids)
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        hidden = self.backbone(inputs, training=training)
        if ranked_ids is not None:
            outputs = self._scores(hidden, ranked_ids, training, True)
        elif target_ids is not None:
            outputs = self.nats(hidden, target_ids, training)
        else:
            outputs = self.backbone.token_embedding(hidden, reverse=True)
        # A compiled step cannot raise errors, so an id outside of the
        # vocabulary makes every later output NaN.
        unknown = ops.cumsum(ops.cast(token_ids < 0, "int32"), axis=1) > 0
        if len(outputs.shape) == 3:
            unknown = unknown[..., None]
        return ops.where(unknown, float("nan"), outputs)

    def nats(self, hidden, target_ids, training=False):
        """Return the negative log-likelihoods of targets.

        Args:
            hidden: Hidden states of shape `(B, T, D)`.
            target_ids: An int tensor of shape `(B, T)`. Pads have 0 nats,
                numbers outside of the vocabulary NaN.
            training: bool. Whether to add the z-loss to the model's losses.

        Returns:
            A float32 tensor of shape `(B, T)`, in nats.
        """
        return self._scores(hidden, target_ids, training)[..., 0]

    def _scores(self, hidden, target_ids, training, with_ranks=False):
        """Return the scores that metrics need, `(B, T, 1)` or `(B, T, 3)`."""
        target_ids = in_vocabulary(
            target_ids, self.backbone.vocabulary_size, "target_ids"
        )
        scores = self._logit_scores(hidden, target_ids, with_ranks)
        scored = target_ids != PAD_ID
        if training and self.z_loss:
            log_z, count = scores[..., 1], ops.cast(scored, scores.dtype)
            squares = ops.sum(count * ops.square(log_z))
            # Functional models accept no extra losses, but their layers do.
            self.backbone.token_embedding.add_loss(
                self.z_loss * squares / ops.maximum(ops.sum(count), 1.0)
            )
        nats = ops.where(scored[..., None], scores[..., :1], 0.0)
        return ops.concatenate([nats, scores[..., 2:]], axis=-1)

    def _logit_scores(self, hidden, target_ids, with_ranks):
        """Return `scores_of_logits`, in chunks if there are many logits."""
        embedding = self.backbone.token_embedding
        B, T, _ = ops.shape(hidden)
        symbolic = None in (B, T)  # nothing is computed, so no memory is needed
        if not symbolic and embedding.quantization_mode is None:
            positions = positions_at_once(
                B, T, embedding.input_dim, self.logits_bytes
            )
            if not isinstance(positions, int) or positions < T:
                return scores_in_chunks(
                    ops.cast(hidden, embedding.compute_dtype),
                    embedding.table,
                    target_ids,
                    embedding.logits_of,
                    positions,
                    with_ranks,
                )
        logits = embedding(hidden, reverse=True)
        return scores_of_logits(target_ids, logits, with_ranks)

    def score(
        self,
        token_ids,
        padding_mask=None,
        scoring_mode="logits",
        layer_intercept_fn=None,
        target_ids=None,
    ):
        """Score token ids, optionally intercepting the output of every block.

        Args:
            token_ids: An int tensor of shape `(B, T)`.
            padding_mask: Not needed: padding is on the right.
            scoring_mode: `"logits"` or `"loss"`.
            layer_intercept_fn: `None`, or a function of hidden states
                `(B, T, D)` and a block's index (-1 for the embeddings) that
                returns the hidden states to continue with.
            target_ids: An int tensor of shape `(B, T)`, for `"loss"`.

        Returns:
            Logits of shape `(B, T, V)`, or nats of shape `(B, T)`.

        Raises:
            ValueError: If the mode is unknown or targets are missing.
        """
        if scoring_mode not in ("logits", "loss"):
            raise ValueError(
                "`scoring_mode` must be 'logits' or 'loss'. "
                f"Received: scoring_mode={scoring_mode!r}"
            )
        if scoring_mode == "loss" and target_ids is None:
            raise ValueError("`scoring_mode='loss'` needs `target_ids`.")
        intercept = layer_intercept_fn or (lambda x, index: x)
        x = intercept(self.backbone.token_embedding(token_ids), -1)
        for i, block in enumerate(self.backbone.transformer_layers):
            x = intercept(block(x), i)
        hidden = self.backbone.layer_norm(x)
        if scoring_mode == "loss":
            return self.nats(hidden, target_ids)
        return self.backbone.token_embedding(hidden, reverse=True)

    def bits_per_byte(self, texts, sequence_length=None, batch_size=8):
        """Return the bits of all tokens of texts, divided by their bytes.

        Each text is scored by itself. Its tokens and the end id are cut into
        sequences. As in training, every sequence begins with the start id and
        sees nothing of the sequence before. Nats are summed in float64. For a
        corpus, write token shards and use `keras_nc.evaluation.bits_per_byte`.

        Args:
            texts: `str` or `bytes`, or a list of them.
            sequence_length: int, T, tokens per sequence; the preprocessor's
                if `None`.
            batch_size: int, B, sequences per batch.

        Returns:
            float, bits per byte.

        Raises:
            ValueError: If the texts have no bytes, or the model no tokenizer.
        """
        return bits_per_byte(self, texts, sequence_length, batch_size)

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Quantize the projections of all blocks, for inference.

        The embedding table, norms and biases keep their precision.

        Args:
            mode: str. `"int8"`, or another mode of `keras.Model.quantize`.
            config: See `keras.Model.quantize`.
            filters: See `keras.Model.quantize`. Selects among the projections.
            **kwargs: See `keras.Model.quantize`.
        """

        def chosen(layer):
            # Keras would warn about each layer that it cannot quantize.
            known = isinstance(layer, QUANTIZED_LAYERS)
            return known and should_quantize_layer(layer, filters)

        self.backbone.quantize(mode, config=config, filters=chosen, **kwargs)
        self.forget_stale_functions()


def _is_auto(given):
    return isinstance(given, str) and given == "auto"


def check_vocabulary(backbone, preprocessor):
    """Raise a ValueError if the tokenizer has ids that the backbone lacks."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is None:
        return
    size = tokenizer.vocabulary_size()
    if size is not None and size > backbone.vocabulary_size:
        raise ValueError(
            "The backbone's vocabulary must hold every id of the tokenizer. "
            f"Received: backbone.vocabulary_size={backbone.vocabulary_size}, "
            f"tokenizer.vocabulary_size()={size}. Create the backbone with "
            f"vocabulary_size={size}."
        )
