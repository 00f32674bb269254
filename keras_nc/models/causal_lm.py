"""The causal language model that M1 and M2 share."""

import pathlib

import keras
from keras import ops

# Keras has no public way to ask whether `filters` choose a layer.
from keras.src.quantizers.utils import should_quantize_layer

from keras_nc.coding import PAD_ID
from keras_nc.models.generate import PIECE_LENGTH
from keras_nc.models.generate import generate
from keras_nc.models.generate import generate_stream
from keras_nc.models.ids import in_vocabulary
from keras_nc.models.preprocessor import check_vocabulary
from keras_nc.models.presets import BACKBONE_FILES
from keras_nc.models.presets import PREPROCESSOR_FILES
from keras_nc.models.presets import LoadsPresets
from keras_nc.models.presets import model_card
from keras_nc.models.presets import new_preset
from keras_nc.models.sampling import generate_batch
from keras_nc.models.scoring import bits_per_byte
from keras_nc.models.scoring import score_targets
from keras_nc.models.training import TrainableCausalLM

#: The layers with most of the weights, apart from the embedding table.
QUANTIZED_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense)


class DecoderCausalLM(LoadsPresets, TrainableCausalLM):
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

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Export the function from token ids to logits.

        Generation and the tokenizer are not exported.

        Args:
            filepath: str. Where to write.
            format: str. See `keras.Model.export`.
            **kwargs: See `keras.Model.export`. With `input_signature`, inputs
                have fixed shapes.

        Raises:
            ValueError: If the backend cannot export the model.
        """
        backend = keras.backend.backend()
        fixed = backend == "jax" and "input_signature" in kwargs
        if backend != "tensorflow" and not fixed:
            raise ValueError(
                "TensorFlow exports models that take texts of any length, and "
                "JAX models with a fixed `input_signature`. Received: the "
                f"backend {backend}. Save a preset, load it where "
                "KERAS_BACKEND is 'tensorflow', and export it there."
            )
        super().export(filepath, format=format, **kwargs)

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
        if not self.backbone.document_masks and "padding_mask" in inputs:
            # Numbered documents would see each other: refuse them by NaN.
            numbers = ops.cast(inputs["padding_mask"], "int32")
            token_ids = ops.where(numbers > 1, -1, token_ids)
        inputs["token_ids"] = ops.where(token_ids < 0, PAD_ID, token_ids)
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        embedding = self.backbone.token_embedding
        with embedding.shared_table():
            hidden = self.backbone(inputs, training=training)
            if ranked_ids is not None:
                outputs = self._scores(hidden, ranked_ids, training, True)
            elif target_ids is not None:
                outputs = self.nats(hidden, target_ids, training)
            else:
                outputs = embedding(hidden, reverse=True)
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
        scores = score_targets(
            self.backbone.token_embedding,
            hidden,
            target_ids,
            self.logits_bytes,
            with_ranks,
        )
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
            raise ValueError(
                "`scoring_mode='loss'` needs `target_ids`. Received: none. "
                "Pass the id to predict at each position."
            )
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

    # === Generation ===

    def generate_step(self, inputs, stop_token_ids=None):
        """Generate one batch; compiled by `generate`.

        Args:
            inputs: A dict with `"token_ids"` and `"padding_mask"` of shape
                `(B, S)`, and, for exact prompting, `"next_low"`, `"next_high"`,
                `"next_others"`, `"may_end"`, `"window_start"` and `"bounds"`;
                see `PromptMask`. With `"until"`, a scalar, the loop pauses
                before that position. The first such call only reads the
                prompts. To continue, put the `"token_ids"`, `"cache"` and
                `"index"` that it returns among the inputs.
            stop_token_ids: A tuple of ids that end a row, or `None`.

        Returns:
            A dict of `"token_ids"` and `"padding_mask"`, `(B, S)` each, with
            pads after the end of a row; and `"ended"`, a bool tensor of shape
            `(B,)`. With `"until"`, also the `"cache"` and the `"index"` of the
            next position.
        """
        return generate_batch(self, inputs, stop_token_ids)

    def generate(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        strip_prompt=False,
        stop=None,
    ):
        """Continue prompts, byte for byte.

        The result begins with the prompt's bytes, even if they end inside a
        word, a window or a UTF-8 sequence.

        Args:
            inputs: A `str` or `bytes`, a list or array of them, or token ids:
                a dict of `"token_ids"`, integers of shape `(B, S)`, and
                `"padding_mask"`, 1 for ids of the prompt and 0 for the padding
                on the right (by default, 0 where ids are pads). Or a
                `tf.data.Dataset` of texts, or of batches of texts or ids.
            max_length: int. Tokens of prompt and continuation together, the
                start id included. By default the preprocessor's
                `sequence_length` for text, and `S` for token ids.
            stop_token_ids: `"auto"` for the end id, a list of ids, or `None`.
                The end id is generated only if it is one of them.
            strip_prompt: bool. Whether to return continuations only.
            stop: A `str` or `bytes`, or several of them. A text ends right
                after the first stop string in its continuation, which may begin
                and end inside a token. The prompt is not searched. For text
                only.

        Returns:
            `str` for `str` (undecodable bytes replaced) and `bytes` for
            `bytes`; a list for a list. For token ids a dict of `"token_ids"`,
            int32, and `"padding_mask"`, bool, arrays of shape
            `(B, max_length)`, with pads on the right.

        Raises:
            ValueError: If a prompt does not fit `max_length`; if token ids are
                out of range, padded on the left or in the middle, or given with
                stop strings; or if there is text but no preprocessor.
            TypeError: If an argument has the wrong type.
        """
        return generate(
            self, inputs, max_length, stop_token_ids, strip_prompt, stop
        )

    def generate_stream(
        self,
        inputs,
        max_length=None,
        stop_token_ids="auto",
        stop=None,
        piece_length=PIECE_LENGTH,
    ):
        """Continue prompts, and yield the new bytes as windows complete.

        The joined parts equal the result of `generate` with
        `strip_prompt=True`, if the sampler is in the same state.

        Args:
            inputs: A `str` or `bytes`, or a list or array of them.
            max_length: See `generate`.
            stop_token_ids: See `generate`.
            stop: See `generate`.
            piece_length: int. Tokens to generate before each yield.

        Returns:
            For one prompt, an iterator of `bytes`; for several, an iterator of
            lists with `bytes` for each prompt. A `str` prompt gives `str`;
            incomplete UTF-8 is held back until it is complete.

        Raises:
            ValueError: If a prompt does not fit `max_length`, if there is no
                preprocessor, or if the sampler is beam search, which settles no
                byte before the end.
            TypeError: If an argument has the wrong type.
        """
        return generate_stream(
            self, inputs, max_length, stop_token_ids, stop, piece_length
        )

    # === Inference and files ===

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

    def fold_embedding(self):
        """Return a model with a plain embedding table that computes the same.

        It shares the preprocessor, and is compiled with the same arguments. See
        `DecoderBackbone.fold_embedding`.

        Returns:
            A model of the same class.
        """
        folded = type(self)(self.backbone.fold_embedding(), self.preprocessor)
        config = self.get_compile_config()
        if config:
            folded.compile_from_config(config)
        return folded

    def save_to_preset(
        self, preset_dir, max_shard_size=10, fold_embedding=False
    ):
        """Save the model, its tokenizer and a model card as a preset.

        An older preset in the directory is replaced once all files are written.

        Args:
            preset_dir: str. The directory.
            max_shard_size: See `keras_hub.models.Task.save_to_preset`.
            fold_embedding: bool. Whether to save what `fold_embedding` returns.
        """
        if fold_embedding:
            self.fold_embedding().save_to_preset(preset_dir, max_shard_size)
            return
        files = ("README.md", *BACKBONE_FILES, *PREPROCESSOR_FILES)
        with new_preset(preset_dir, files) as new:
            super().save_to_preset(new, max_shard_size=max_shard_size)
            path = pathlib.Path(new, "README.md")
            path.write_text(model_card(self), encoding="utf-8")
