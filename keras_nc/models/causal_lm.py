"""The causal language model that M1 and M2 share."""

import keras
import keras_hub

from keras_nc.coding import PAD_ID
from keras_nc.metrics import BitsPerByte
from keras_nc.metrics import TokenNats
from keras_nc.metrics.token_nats import nats_and_log_z
from keras_nc.models.chunked_nats import nats_in_chunks
from keras_nc.models.chunked_nats import positions_at_once
from keras_nc.models.generate import Generates
from keras_nc.models.presets import SavesPresets
from keras_nc.models.quantization import Quantizes
from keras_nc.models.sampling import to_sampler
from keras_nc.models.scoring import ScoresText
from keras_nc.models.training import TrainsOnText

#: Float32 logits of 1,024 tokens of 65,536 ids.
LOGITS_BYTES = 1 << 28


class DecoderCausalLM(
    TrainsOnText,
    Generates,
    ScoresText,
    SavesPresets,
    Quantizes,
    keras_hub.models.CausalLM,
):
    """A language model over tokens that stand for bytes.

    Called on token ids it returns logits. Called with `"target_ids"` among its
    inputs, as it is inside `fit` and `evaluate`, it returns the nats of those
    targets: loss and metrics consume nats, so that logits of all tokens need
    never exist at once.

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
    #: Whether `compile` left the metric to be found; not before it is called.
    _awaits_metric = False

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        weighted_metrics="auto",
        sampler="top_k",
        z_loss=0.0,
        logits_bytes=LOGITS_BYTES,
        **kwargs,
    ):
        """Configure training and generation.

        Args:
            optimizer: `"auto"` for AdamW with a constant rate of 1e-3, or as
                in `keras.Model.compile`.
            loss: `"auto"` for `TokenNats`, or a loss that takes nats as its
                predictions.
            weighted_metrics: `"auto"` for `BitsPerByte` if every token of the
                preprocessor's tokenizer stands for whole bytes, else none; or
                as in `keras.Model.compile`.
            sampler: How `generate` chooses ids: `"greedy"`, `"top_k"`,
                `"top_p"`, `"random"`, `"beam"`, or a
                `keras_hub.samplers.Sampler`, which may be of your own if it
                overrides `get_next_token` and not `__call__`.
            z_loss: float. Weight of the mean squared logarithm of the
                softmax's denominator, which is added to the loss in training
                so that logits do not drift; 1e-4 in the paper.
            logits_bytes: int. What the float32 logits of a batch may take in
                training and evaluation. If those of all tokens take more,
                they are computed for a few positions at a time, and again for
                the gradient: less memory, a third more multiplications.
            **kwargs: See `keras_hub.models.CausalLM.compile`.
        """
        if logits_bytes < 1:
            raise ValueError(
                "`logits_bytes` must be positive. Received: "
                f"logits_bytes={logits_bytes}"
            )
        sampler = to_sampler(sampler, self.backbone.vocabulary_size)
        self.z_loss, self.logits_bytes = z_loss, logits_bytes
        if optimizer == "auto":
            optimizer = keras.optimizers.AdamW(1e-3)
        if loss == "auto":
            loss = TokenNats()
        # Presets are compiled before their tokenizer has loaded its assets.
        self._awaits_metric = weighted_metrics == "auto"
        if weighted_metrics == "auto":
            weighted_metrics = self._default_metrics()
        super().compile(
            optimizer,
            loss,
            weighted_metrics=weighted_metrics,
            sampler=sampler,
            **kwargs,
        )

    def _default_metrics(self):
        tokenizer = getattr(self.preprocessor, "tokenizer", None)
        lengths = getattr(tokenizer, "token_lengths", None)
        if lengths is None:
            return []
        self._awaits_metric = False
        return [BitsPerByte(token_lengths=lengths)]

    def complete_compile(self):
        """Add the default metric if the tokenizer could not tell it before."""
        if self._awaits_metric and self._default_metrics():
            self.compile(
                self.optimizer,
                self.loss,
                z_loss=self.z_loss,
                logits_bytes=self.logits_bytes,
                sampler=self.sampler,
            )

    def get_compile_config(self):
        """What `compile` was called with, the sampler included."""
        config = super().get_compile_config()
        if config:
            config["z_loss"] = self.z_loss
            config["logits_bytes"] = self.logits_bytes
            config["sampler"] = keras_hub.samplers.serialize(self.sampler)
        return config

    def compile_from_config(self, config):
        """Compile a loaded model as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    # === Logits and nats ===

    def call(self, inputs, training=None, mask=None):
        """Logits, or nats if the inputs hold targets."""
        inputs = dict(inputs)
        target_ids = inputs.pop("target_ids", None)
        hidden = self.backbone(inputs, training=training)
        if target_ids is None:
            return self.backbone.token_embedding(hidden, reverse=True)
        return self.nats(hidden, target_ids, training)

    def nats(self, hidden, target_ids, training=False):
        """Negative log-likelihoods of targets.

        Args:
            hidden: Hidden states of shape `(B, T, D)`.
            target_ids: An int tensor of shape `(B, T)`; pads are no targets.
            training: bool. Whether to add the z-loss to the model's losses.

        Returns:
            A float32 tensor of shape `(B, T)`, in nats.
        """
        nats, log_z = self._nats_and_log_z(hidden, target_ids)
        if training and self.z_loss:
            scored = keras.ops.cast(target_ids != PAD_ID, log_z.dtype)
            count = keras.ops.maximum(keras.ops.sum(scored), 1.0)
            squares = keras.ops.sum(scored * keras.ops.square(log_z))
            # Functional models take no losses, their layers do.
            self.backbone.token_embedding.add_loss(
                self.z_loss * squares / count
            )
        return nats

    def _nats_and_log_z(self, hidden, target_ids):
        """Nats and log denominators `(B, T)`, in chunks if they are many."""
        embedding = self.backbone.token_embedding
        B, T, _ = keras.ops.shape(hidden)
        symbolic = None in (B, T)  # nothing is computed, so nothing is large
        if not symbolic and embedding.quantization_mode is None:
            positions = positions_at_once(
                B, T, embedding.input_dim, self.logits_bytes
            )
            if not isinstance(positions, int) or positions < T:
                return nats_in_chunks(
                    keras.ops.cast(hidden, embedding.compute_dtype),
                    embedding.table,
                    target_ids,
                    embedding.logits_of,
                    positions,
                )
        logits = embedding(hidden, reverse=True)
        return nats_and_log_z(target_ids, logits)

    def score(
        self,
        token_ids,
        padding_mask=None,
        scoring_mode="logits",
        layer_intercept_fn=None,
        target_ids=None,
    ):
        """Score token ids, optionally with a look at every block's output.

        Args:
            token_ids: An int tensor of shape `(B, T)`.
            padding_mask: Not needed: padding is on the right.
            scoring_mode: `"logits"` or `"loss"`.
            layer_intercept_fn: `None`, or a function of hidden states
                `(B, T, D)` and a block's index (-1 for the embeddings) that
                returns the hidden states to go on with.
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
