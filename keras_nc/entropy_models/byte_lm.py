"""M1 as an entropy model."""

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.entropy_models.byte_lm_stepper import ByteLMStepper
from keras_nc.entropy_models.refitted import RefittedModel
from keras_nc.entropy_models.refitted import count_window_starts

#: Prefixes per call where only a few are left.
SMALL_BATCH = 32


class ByteLMModel:
    """p(next byte | bytes since the window's start) of a byte-level LM.

    The model sees the start id and then the window's bytes, so it is reset at
    every window. It runs in float32 and in few fixed shapes. A float model is
    not batch-invariant all the same: its probabilities move by about 1e-6 with
    shapes, machines and backends, so a codebook is kept, never built again to
    decode.

    Args:
        causal_lm: A `keras_nc.models.ByteCausalLM`, or its backbone. Its
            weights are copied: training it further changes nothing here. The
            copy is in float32 whatever M1 computes in; LoRA is merged, and
            quantized weights are turned back into floats.
        batch_size: int. Prefixes per call of the model.

    Raises:
        TypeError: If `causal_lm` is no such model.
        ValueError: If its weights are not finite numbers, its embedding table
            is quantized, or `batch_size` is no positive integer.

    Example:
    >>> from keras_nc.models import ByteBackbone, ByteCausalLM
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> model = ByteLMModel(ByteCausalLM(backbone))
    >>> model.probabilities([b"", b"ab"]).shape
    (2, 256)
    """

    def __init__(self, causal_lm, batch_size=256):
        self.batch_size = as_integer("batch_size", batch_size)
        backbone = getattr(causal_lm, "backbone", causal_lm)
        if not hasattr(backbone, "call_with_cache"):
            raise TypeError(
                "An entropy model is made from a `ByteCausalLM` or its "
                f"backbone. Received: {type(causal_lm).__name__}"
            )
        if backbone.vocabulary_size != NUM_SPECIAL + 256:
            raise ValueError(
                "An entropy model is over bytes: the language model must have "
                f"{NUM_SPECIAL + 256} ids. Received: "
                f"{type(causal_lm).__name__} with "
                f"{backbone.vocabulary_size} ids. Pass a `ByteCausalLM`."
            )
        self._backbone = copy_in_float32(backbone)
        table = self._backbone.token_embedding.get_weights()[0]
        self._byte_rows = table[NUM_SPECIAL : NUM_SPECIAL + 256]

    @property
    def backbone(self):
        """The copy of the backbone, in float32."""
        return self._backbone

    def probabilities(self, prefixes):
        """Probabilities of the next byte.

        Args:
            prefixes: A sequence of bytes: windows so far.

        Returns:
            A float64 array of shape `(len(prefixes), 256)`; rows sum to 1.
        """
        # Prefixes of similar lengths share a call.
        lengths = np.array([len(prefix) for prefix in prefixes], dtype=int)
        result = np.empty((len(prefixes), 256))
        order = np.argsort(lengths, kind="stable")
        first = 0
        while first < len(order):
            size = self.batch_size
            if len(order) - first <= size // 2:
                # A codebook's longest windows come a few at a time.
                size = min(size, SMALL_BATCH)
            rows = order[first : first + size]
            result[rows] = self._batch([prefixes[row] for row in rows], size)
            first += size
        return result

    def refit(self, text, starts):
        """Mix in what follows the window starts of a text.

        Args:
            text: `str` or bytes, or a list of documents.
            starts: offsets of the window starts in the documents joined,
                int64 of shape (windows,), ascending.

        Returns:
            An entropy model: counts of the window starts, and this model
            where they know nothing.

        Raises:
            ValueError: if `starts` are no ascending offsets into the text.
        """
        return RefittedModel(self, count_window_starts(text, starts))

    def stepper(self, batch_size, context_bytes):
        """A `ByteLMStepper` of this model; see `stepper_for`."""
        return ByteLMStepper(self._backbone, batch_size, context_bytes)

    def _batch(self, prefixes, size):
        """Probabilities for up to `size` prefixes, padded to few shapes."""
        shape = (size, padded_length(1 + max(map(len, prefixes))))
        token_ids = np.full(shape, PAD_ID, dtype="int32")
        token_ids[:, 0] = START_ID
        for row, prefix in zip(token_ids, prefixes, strict=False):
            ids = np.frombuffer(prefix, dtype="uint8").astype("int32")
            row[1 : 1 + len(prefix)] = ids + NUM_SPECIAL
        padding_mask = (token_ids != PAD_ID).astype("int32")
        hidden = self._backbone.predict_on_batch(
            {"token_ids": token_ids, "padding_mask": padding_mask}
        )
        last = [len(prefix) for prefix in prefixes]
        hidden = np.asarray(hidden)[np.arange(len(prefixes)), last]
        # Weights that are too large give NaN, which coders refuse.
        with np.errstate(over="ignore", invalid="ignore"):
            logits = hidden.astype("float64") @ self._byte_rows.T
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            return exponentials / exponentials.sum(axis=1, keepdims=True)


def padded_length(length):
    """The least of 4, 8, 12, 16, 24, 32, 48, 64, 96, ... that is as long."""
    step = max(4, 1 << max(0, (length - 1).bit_length() - 2))
    return -(-length // step) * step


def copy_in_float32(backbone):
    """Return a copy of a backbone with plain float32 weights.

    Raises:
        ValueError: If weights are not finite, or the embedding table is
            quantized.
    """
    config = {**backbone.get_config(), "dtype": "float32", "trainable": True}
    copy = type(backbone).from_config(config)
    for layer, copied in zip(_layers(backbone), _layers(copy), strict=True):
        [weight] = copied.weights
        value = _plain_weight(layer, weight.shape)
        if not np.isfinite(value).all():
            raise ValueError(
                "Weights of an entropy model must be finite numbers: with "
                "others its probabilities are no distribution. Received: NaN "
                f"or infinity in {layer.path}. Load an earlier checkpoint, "
                "and train with a lower learning rate or in more precision."
            )
        weight.assign(value)
    return copy


def _layers(backbone):
    """The layers of a backbone that have weights of their own, in order."""
    yield backbone.token_embedding
    for block in backbone.transformer_layers:
        attention, mlp = block.attention, block.mlp
        yield from (block.attention_norm, attention.query, attention.key)
        yield from (attention.value, attention.output_projection)
        if attention.position == "relative_bias":
            yield attention.relative_bias
        yield from (block.mlp_norm, mlp.gate, mlp.value, mlp.output_projection)
    yield backbone.layer_norm


def _plain_weight(layer, shape):
    """The one weight that a layer has without LoRA and quantization."""
    # Float8 is a precision to compute in: the weights themselves are kept.
    if layer.quantization_mode not in (None, "float8"):
        return _dequantized(layer, shape)
    arrays = {v.name: as_float32(v) for v in layer.weights}
    for name in ("kernel", "embeddings"):
        if f"lora_{name}_a" in arrays:
            factors = arrays[f"lora_{name}_a"], arrays[f"lora_{name}_b"]
            scale = np.float32(layer.lora_alpha / layer.lora_rank)
            return arrays[name] + scale * np.matmul(*factors)
        if name in arrays:
            return arrays[name]
    return arrays["scale"]


def _dequantized(layer, shape):
    """The kernel of a quantized projection, whatever the quantization.

    A projection is linear, so what it makes of the unit vectors is its kernel,
    with all scales, and with LoRA if there is.
    """
    if not hasattr(layer, "kernel"):
        raise ValueError(
            "The embedding table of an entropy model must not be quantized. "
            f"Received: {layer.path} quantized to {layer.quantization_mode}. "
            "Quantize with `ByteCausalLM.quantize`, which leaves it as it is."
        )
    # Axes of the inputs besides batch and positions: "bthk,hkd->btd" has two.
    axes = len(getattr(layer, "equation", "btd").split(",")[0]) - 2
    units = np.eye(int(np.prod(shape[:axes])), dtype="float32")
    units = units.reshape(1, -1, *shape[:axes])
    return as_float32(layer(units)).reshape(shape)


def as_float32(tensor):
    """A variable or tensor as a float32 array."""
    return keras.ops.convert_to_numpy(tensor).astype("float32")
