"""The decoder body that M1 and M2 share."""

import keras
import keras_hub
import numpy as np

from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_flag
from keras_nc.coding.inputs import as_integer
from keras_nc.layers import DecoderBlock
from keras_nc.layers import TokenEmbedding
from keras_nc.layers.decoder_block import rms_norm
from keras_nc.models.ids import BatchRules
from keras_nc.models.presets import BACKBONE_FILES
from keras_nc.models.presets import LoadsPresets
from keras_nc.models.presets import name_precision_of_weights
from keras_nc.models.presets import new_preset

#: The paper's sizes. As in the paper, embeddings are not counted: 3.15M,
#: 25.17M, 113.2M, 402.7M and 1.61B parameters. A block has four attention
#: projections, `D x D`, and three MLP projections, `D x intermediate_dim`.
SIZES = {
    size: dict(
        num_layers=layers, num_heads=heads, hidden_dim=D, intermediate_dim=4 * D
    )
    for size, layers, heads, D in (
        ("3m", 3, 4, 256),
        ("25m", 6, 8, 512),
        ("113m", 12, 12, 768),
        ("403m", 24, 16, 1024),
        ("2b", 24, 32, 2048),
    )
}


class DecoderBackbone(LoadsPresets, keras_hub.models.Backbone):
    """A decoder-only Transformer: ids in, hidden states out.

    Pre-norm RMSNorm, relative attention biases per layer (or rotary
    positions), gated ReLU MLPs, and an embedding table that is tied to the
    logits (arXiv 2404.03626, section 3.1). Padding belongs on the right, where
    causal attention hides it.

    Args:
        vocabulary_size: int. Number of ids, `V`.
        num_layers: int. Number of blocks.
        num_heads: int. Attention heads, `H`.
        hidden_dim: int. Model width, `D`.
        intermediate_dim: int. Width of the MLPs.
        head_dim: int, or `None` for `hidden_dim // num_heads`.
        position: `"relative_bias"` or `"rope"`.
        num_buckets: int. Distance buckets of the relative biases.
        max_distance: int. Distance from which one bucket serves all.
        gradient_checkpointing: bool. Whether training keeps only the inputs of
            each block and recomputes the rest for the gradient. This saves
            memory and costs a third more multiplications.
        embedding: `"plain"`, a free vector for each id; or `"bytes"`, a free
            vector plus vectors of the n-grams of the id's bytes, for inputs and
            logits (see `keras_nc.layers.TokenEmbedding`). This helps ids that
            are rare in training, and adds 8,192 vectors to the parameters. See
            `fold_embedding`.
        vocabulary: For `embedding="bytes"`: the tokenizer, or the bytes of all
            ids, a list. The configuration keeps them, so that a saved model can
            be loaded without its tokenizer.
        document_masks: bool. Whether positions attend only to those of the same
            number in `"padding_mask"`, so that no document of a sequence sees
            another one. `keras_nc.data.PackedSequences` numbers them.
        dtype: A dtype policy, such as `"float32"` or `"mixed_bfloat16"`.
        **kwargs: See `keras_hub.models.Backbone`.

    Call arguments:
        inputs: A dict with `"token_ids"` and `"padding_mask"`, int tensors of
            shape `(B, T)`.

    Returns:
        Hidden states of shape `(B, T, D)`.
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        head_dim=None,
        position="relative_bias",
        num_buckets=32,
        max_distance=128,
        gradient_checkpointing=False,
        embedding="plain",
        vocabulary=None,
        document_masks=False,
        dtype=None,
        **kwargs,
    ):
        vocabulary_size = as_integer("vocabulary_size", vocabulary_size)
        num_layers = as_integer("num_layers", num_layers)
        num_heads = as_integer("num_heads", num_heads)
        hidden_dim = as_integer("hidden_dim", hidden_dim)
        intermediate_dim = as_integer("intermediate_dim", intermediate_dim)
        num_buckets = as_integer("num_buckets", num_buckets)
        max_distance = as_integer("max_distance", max_distance)
        if head_dim is None and hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`, or pass "
                f"`head_dim`. Received: hidden_dim={hidden_dim}, "
                f"num_heads={num_heads}"
            )
        if head_dim is None:
            head_dim = hidden_dim // num_heads
        head_dim = as_integer("head_dim", head_dim)
        embedding = as_choice("embedding", embedding, ("plain", "bytes"))
        if embedding == "bytes" and vocabulary is None:
            raise ValueError(
                "Embeddings made from bytes need to know the bytes. Received: "
                "embedding='bytes', vocabulary=None. Pass "
                "`vocabulary=tokenizer`."
            )
        document_masks = as_flag("document_masks", document_masks)

        # === Layers ===
        self.token_embedding = TokenEmbedding(
            vocabulary_size,
            hidden_dim,
            vocabulary if embedding == "bytes" else None,
            dtype=dtype,
            name="token_embedding",
        )
        names = [f"block_{i}" for i in range(num_layers)]
        with keras.RematScope(
            mode="list_of_layers" if gradient_checkpointing else None,
            layer_names=names,
        ):
            self.transformer_layers = [
                DecoderBlock(
                    num_heads,
                    head_dim,
                    intermediate_dim,
                    position,
                    num_buckets,
                    max_distance,
                    dtype=dtype,
                    name=name,
                )
                for name in names
            ]
        self.layer_norm = rms_norm(dtype, "layer_norm")

        # === Functional model ===
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        x = self.token_embedding(inputs["token_ids"])
        masked = {"segments": inputs["padding_mask"]} if document_masks else {}
        for block in self.transformer_layers:
            x = block(x, **masked)
        outputs = self.layer_norm(x)
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.head_dim = head_dim
        self.position = position
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.gradient_checkpointing = bool(gradient_checkpointing)
        self.embedding = embedding
        self.document_masks = document_masks

    @classmethod
    def from_size(cls, size, vocabulary_size, **kwargs):
        """Create an untrained backbone of one of the paper's sizes.

        Args:
            size: str. `"3m"`, `"25m"`, `"113m"`, `"403m"` or `"2b"`.
            vocabulary_size: int. Number of ids, `V`.
            **kwargs: Constructor arguments, which override those of the size.

        Returns:
            A backbone.

        Raises:
            ValueError: If there is no such size.
        """
        size = as_choice("size", size, SIZES)
        return cls(vocabulary_size, **{**SIZES[size], **kwargs})

    @staticmethod
    def get_layout_map(
        device_mesh,
        model_parallel_dim_name="model",
        data_parallel_dim_name="batch",
    ):
        """Return how devices divide the weights of a model, on JAX.

        The model axis divides heads, MLP width and rows of the embedding table.
        The data axis divides the model width, so groups of devices with
        different data hold no copies of large weights either. Every device
        holds all scales of norms.

        Args:
            device_mesh: A `keras.distribution.DeviceMesh`.
            model_parallel_dim_name: str. The axis that shares a model.
            data_parallel_dim_name: str. The axis that divides batches.

        Returns:
            A `keras.distribution.LayoutMap`.

        Raises:
            ValueError: If the mesh lacks an axis.
        """
        model, data = model_parallel_dim_name, data_parallel_dim_name
        if not {model, data} <= set(device_mesh.axis_names):
            raise ValueError(
                "The mesh must have the axes of the model and of the data. "
                f"Received: {model!r} and {data!r}, for a mesh with "
                f"{list(device_mesh.axis_names)}. Name its axes."
            )
        layout_map = keras.distribution.LayoutMap(device_mesh)
        block = r"block_\d+/"
        for path, axes in {
            "token_embedding/embeddings": (model, data),  # (V, D)
            # (8192, D). Rows of one id are anywhere.
            "token_embedding/ngrams": (None, data),
            # (D, H, K)
            block + "attention/(query|key|value)/kernel": (data, model, None),
            # (H, K, D)
            block + "attention/output_projection/kernel": (model, None, data),
            # (buckets, H)
            block + "attention/relative_bias/embeddings": (None, model),
            block + "mlp/(gate|value_projection)/kernel": (data, model),
            block + "mlp/output_projection/kernel": (model, data),
        }.items():
            layout_map[path] = axes
        return layout_map

    def empty_cache(self, batch_size, length):
        """Return an empty cache: keys and values of each block.

        Args:
            batch_size: int. `B`.
            length: int. Positions that the cache can hold, `S`.

        Returns:
            A list of pairs of zeros of shape `(B, S, H, head_dim)`.
        """
        shape = (batch_size, length, self.num_heads, self.head_dim)
        dtype = self.transformer_layers[0].compute_dtype
        return [
            (keras.ops.zeros(shape, dtype), keras.ops.zeros(shape, dtype))
            for _ in self.transformer_layers
        ]

    def __call__(self, inputs, *args, **kwargs):
        """Return hidden states; see the class."""
        # A compiled step cannot raise errors, but arrays can be checked.
        mask = inputs.get("padding_mask") if isinstance(inputs, dict) else None
        if isinstance(mask, np.ndarray):
            BatchRules.of(self).check_mask(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def call_with_cache(self, token_ids, cache, cache_update_index):
        """Return hidden states of new positions, given a cache of earlier ones.

        Args:
            token_ids: An int tensor of shape `(B, T)`.
            cache: What `empty_cache` or an earlier call returned.
            cache_update_index: Position of the first of the `T` ids.

        Returns:
            A pair of hidden states `(B, T, D)` and the updated cache.
        """
        x = self.token_embedding(token_ids)
        updated = []
        for block, pair in zip(self.transformer_layers, cache, strict=True):
            x, pair = block(
                x, cache=pair, cache_update_index=cache_update_index
            )
            updated.append(pair)
        return self.layer_norm(x), updated

    def enable_lora(self, rank, target_layer_names=None):
        """Freeze all weights, and add low-rank weights to some layers.

        Args:
            rank: int. Rank of the new weights, at least 1.
            target_layer_names: A list of str. Names of the layers that get new
                weights; `None` for the queries and values of the attention.

        Raises:
            ValueError: If the rank is below 1, or if one of the names is not of
                a layer that can have LoRA.
        """
        rank = as_integer("rank", rank)
        # Keras has no public way to visit all layers.
        found = {
            layer.name
            for layer in self._flatten_layers(include_self=False)
            if layer.weights and hasattr(layer, "enable_lora")
        }
        names = target_layer_names
        if names is None:
            names = found.intersection(self.default_lora_layer_names())
        if not names or set(names) - found:
            raise ValueError(
                "`target_layer_names` must be names of layers that can have "
                f"LoRA. Received: {target_layer_names!r}. Pass some of "
                f"{sorted(found)}, or `None`."
            )
        super().enable_lora(rank, sorted(set(names)))

    def fold_embedding(self):
        """Return a backbone with a plain table that computes the same.

        The vectors of n-grams are added to those of the ids. The new backbone
        is smaller, and as fast as any. LoRA weights are merged.

        Returns:
            A backbone with `embedding="plain"`, of the same class.
        """
        plain = {"embedding": "plain", "vocabulary": None}
        folded = type(self).from_config({**self.get_config(), **plain})
        # Keras has no public way to visit all layers.
        layers = zip(
            self._flatten_layers(include_self=False),
            folded._flatten_layers(include_self=False),
            strict=True,
        )
        for layer, new in layers:
            weights = {}
            if layer is self.token_embedding:
                weights["0"] = layer.folded_table()
            else:
                layer.save_own_variables(weights)
            # Copies: on JAX, training deletes the arrays that it replaces.
            new.load_own_variables(
                {k: keras.ops.convert_to_numpy(w) for k, w in weights.items()}
            )
        return folded

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        config.update(
            vocabulary_size=self.vocabulary_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            hidden_dim=self.hidden_dim,
            intermediate_dim=self.intermediate_dim,
            head_dim=self.head_dim,
            position=self.position,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            gradient_checkpointing=self.gradient_checkpointing,
        )
        if self.embedding != "plain":
            # Not for others: their configurations stay as they were before
            # there was a choice, and training runs are known by them.
            config.update(
                embedding=self.embedding,
                vocabulary=self.token_embedding.packed_vocabulary,
            )
        if self.document_masks:
            config.update(document_masks=True)
        return config

    @classmethod
    def from_config(cls, config):
        """Create a backbone from its configuration."""
        if "num_layers" not in config:  # see `config_without_backbone`
            raise ValueError(
                "A model must be loaded from a preset that has one. Received: "
                "the preset of a tokenizer or preprocessor alone. Load it with "
                "their class."
            )
        return super().from_config(config)

    def save_to_preset(
        self, preset_dir, max_shard_size=10, fold_embedding=False
    ):
        """Save the backbone as a preset, or into one.

        Args:
            preset_dir: str. The directory.
            max_shard_size: See `keras_hub.models.Backbone.save_to_preset`.
            fold_embedding: bool. Whether to save what `fold_embedding` returns.
        """
        if fold_embedding:
            self.fold_embedding().save_to_preset(preset_dir, max_shard_size)
            return
        with new_preset(preset_dir, BACKBONE_FILES) as new:
            super().save_to_preset(new, max_shard_size=max_shard_size)
            name_precision_of_weights(new)
