"""The weights of M1 as float32 arrays: from a model, from a file, for kernels.

They are in the order of a backbone's weights: first the embedding table; then,
for every block, the scale of the norm, the kernels of queries, keys, values and
outputs, the biases by distance (none with rotary positions), the scale of the
second norm, and the kernels of gate, value and output of the MLP; last, the
scale of the final norm.
"""

import io

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.archive import FaultError
from keras_nc.coding.inputs import as_integer

#: Rows of the embedding table: 259 ids, in multiples of 128.
_TABLE_ROWS = 384
#: Of `keras_hub.layers.RotaryEmbedding`.
_MAX_WAVELENGTH = 10_000.0
#: More distances than any text has bytes before a reset.
_MAX_DISTANCE = 1 << 24


def plain_weights(backbone):
    """Return the weights of a backbone, with LoRA merged and as floats.

    Args:
        backbone: A `keras_nc.models.ByteBackbone`.

    Returns:
        A list of float32 arrays.

    Raises:
        ValueError: If weights are not finite, or the embedding table is
            quantized.
    """
    config = backbone.get_config()
    if config.get("embedding") == "bytes":
        backbone = backbone.fold_embedding()
    layers = _layers(backbone)
    weights = []
    for layer, (_, shape) in zip(layers, weight_paths(config), strict=True):
        weight = _plain_weight(layer, shape)
        _check_finite(weight, layer.path)
        weights.append(weight)
    return weights


def _layers(backbone):
    """Yield the layers of a backbone that have one weight each, in order."""
    yield backbone.token_embedding
    for block in backbone.transformer_layers:
        attention, mlp = block.attention, block.mlp
        yield from (block.attention_norm, attention.query, attention.key)
        yield from (attention.value, attention.output_projection)
        if attention.position == "relative_bias":
            yield attention.relative_bias
        yield from (block.mlp_norm, mlp.gate, mlp.value, mlp.output_projection)
    yield backbone.layer_norm


def weight_paths(config):
    """Yield the place of each weight in a file, and its shape."""
    D, inner = config["hidden_dim"], config["intermediate_dim"]
    H, K = config["num_heads"], config["head_dim"]
    yield "token_embedding", (_TABLE_ROWS, D)
    for i in range(config["num_layers"]):
        block = f"decoder_block_{i}/" if i else "decoder_block/"
        yield block + "attention_norm", (D,)
        for name in ("query", "key", "value"):
            yield block + f"attention/{name}", (D, H, K)
        yield block + "attention/output_projection", (H, K, D)
        if config["position"] == "relative_bias":
            buckets = config["num_buckets"]
            yield block + "attention/relative_bias", (buckets, H)
        yield block + "mlp_norm", (D,)
        yield block + "mlp/gate", (D, inner)
        yield block + "mlp/value", (D, inner)
        yield block + "mlp/output_projection", (inner, D)
    yield "rms_normalization", (D,)


def _check_finite(weight, name):
    if not np.isfinite(weight).all():
        raise ValueError(
            "Weights of an entropy model must be finite numbers. Received: NaN "
            f"or infinity in {name}. Load an earlier checkpoint, and train "
            "with a lower learning rate or in higher precision."
        )


def _plain_weight(layer, shape):
    """Return the weight of a layer without LoRA and quantization."""
    # Float8 changes only the computation; the weights are kept.
    if layer.quantization_mode not in (None, "float8"):
        return _dequantized(layer, shape)
    arrays = {v.name: _as_float32(v) for v in layer.weights}
    for name in ("kernel", "embeddings"):
        if f"lora_{name}_a" in arrays:
            factors = arrays[f"lora_{name}_a"], arrays[f"lora_{name}_b"]
            scale = np.float32(layer.lora_alpha / layer.lora_rank)
            return arrays[name] + scale * np.matmul(*factors)
        if name in arrays:
            return arrays[name]
    return arrays["scale"]


def _dequantized(layer, shape):
    """Return the kernel of a quantized projection as floats.

    A projection is linear, so its outputs for unit vectors are its kernel, with
    all scales and LoRA. This works for every kind of quantization.
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
    return _as_float32(layer(units)).reshape(shape)


def _as_float32(tensor):
    import keras

    return keras.ops.convert_to_numpy(tensor).astype("float32")


def build_backbone(config, weights):
    """Return a Keras model in float32, from ids to hidden states.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `plain_weights` returned.
    """
    import keras

    from keras_nc.layers import DecoderBlock
    from keras_nc.layers import TokenEmbedding

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = TokenEmbedding(
        config["vocabulary_size"],
        config["hidden_dim"],
        dtype="float32",
        name="token_embedding",
    )(token_ids)
    for i in range(config["num_layers"]):
        x = DecoderBlock(
            config["num_heads"],
            config["head_dim"],
            config["intermediate_dim"],
            config["position"],
            config["num_buckets"],
            config["max_distance"],
            dtype="float32",
            name=f"block_{i}",
        )(x)
    x = keras.layers.RMSNormalization(
        epsilon=1e-6, dtype="float32", name="layer_norm"
    )(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    backbone = keras.Model(inputs, x, name="byte_backbone")
    backbone.set_weights(weights)
    return backbone


def pack_weights(config, weights, positions):
    """Return the weights of M1 as the kernels read them.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `plain_weights` returned.
        positions: int, `S`.

    Returns:
        A tuple of arrays: embeddings; scales of the norms, two per layer and
        the final one; projections to queries, keys and values; biases by
        distance, (layers, H, distances); cosines and sines, (S, 2, K / 2), or
        none; output projections; gates and values of the MLPs; their output
        projections; the projection to the logits of bytes.
    """
    from keras_nc.entropy_models.kernels.byte_lm import pack

    D, H = config["hidden_dim"], config["num_heads"]
    width = H * config["head_dim"]
    has_biases = config["position"] == "relative_bias"
    table, *blocks, final_scale = weights
    per_block = 10 if has_biases else 9
    scales, qkv, biases, outputs, gates, mlp_outputs = ([] for _ in range(6))
    for i in range(0, len(blocks), per_block):
        attention_scale, query, key, value, output, *rest = blocks[
            i : i + per_block
        ]
        bias = _biases(config, rest.pop(0)) if has_biases else np.zeros((H, 1))
        mlp_scale, gate, mlp_value, mlp_output = rest
        scales += [attention_scale, mlp_scale]
        kernels = [kernel.reshape(D, width) for kernel in (query, key, value)]
        qkv.append(pack(np.concatenate(kernels, axis=1)))
        biases.append(bias.astype("float32"))
        outputs.append(pack(output.reshape(width, D)))
        gates.append(pack(np.concatenate([gate, mlp_value], axis=1)))
        mlp_outputs.append(pack(mlp_output))
    return (
        table * np.float32(D**0.5),
        np.stack([*scales, final_scale]),
        np.stack(qkv),
        np.stack(biases),
        _rotation(config, positions),
        np.stack(outputs),
        np.stack(gates),
        np.stack(mlp_outputs),
        pack(table[NUM_SPECIAL : NUM_SPECIAL + 256].T),
    )


def device_weights(config, weights):
    """Return the weights of M1 as `DeviceStepper` reads them, a dict.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `plain_weights` returned.
    """
    names = ["attention_norm", "query", "key", "value", "output"]
    has_biases = config["position"] == "relative_bias"
    names += ["biases"] * has_biases
    names += ["mlp_norm", "gate", "mlp_value", "mlp_output"]
    table, *blocks, final_scale = weights
    columns = [blocks[i :: len(names)] for i in range(len(names))]
    found = dict(zip(names, columns, strict=True))
    if has_biases:
        found["biases"] = [_biases(config, each).T for each in found["biases"]]
    half = config["head_dim"] // 2
    return {
        "table": table * np.float32(config["hidden_dim"] ** 0.5),
        "blocks": {name: np.stack(each) for name, each in found.items()},
        "norm": final_scale,
        "logits": table[NUM_SPECIAL : NUM_SPECIAL + 256].T.copy(),
        "waves": (_MAX_WAVELENGTH ** -(np.arange(half) / half)).astype(
            "float32"
        ),
    }


def _biases(config, table):
    """Return the bias of every distance, (H, distances)."""
    from keras_nc.layers.relative_bias import distance_buckets

    buckets = distance_buckets(config["num_buckets"], config["max_distance"])
    return table[buckets].T.copy()


def _rotation(config, positions):
    if config["position"] != "rope":
        return np.zeros((0, 2, 1), "float32")
    half = config["head_dim"] // 2
    frequencies = _MAX_WAVELENGTH ** -(np.arange(half) / half)
    angles = np.arange(positions)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32")


def read_weights(path, config):
    """Read the weights of a backbone with a given configuration.

    Args:
        path: A file of `keras.Model.save_weights`.
        config: A dict from a file that may be damaged.

    Returns:
        A list of float32 arrays.

    Raises:
        Exception: Of any kind, if the file does not hold them.
        OSError: If the file is missing or cannot be read.
    """
    import h5py

    _check_config(config)
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    try:
        with h5py.File(data, "r") as file:
            return [
                _read_weight(file[f"layers/{name}/vars/0"], shape, name)
                for name, shape in weight_paths(config)
            ]
    except OSError as error:  # the content is bad: the file was read
        raise FaultError(str(error)) from error


def _check_config(config):
    sizes = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")
    for name in (*sizes, "head_dim"):
        as_integer(name, config[name], 1)
    as_integer("num_buckets", config["num_buckets"], 2)
    least = config["num_buckets"] + 1
    as_integer("max_distance", config["max_distance"], least, _MAX_DISTANCE)
    if (
        config["vocabulary_size"] != NUM_SPECIAL + 256
        or config["position"] not in ("relative_bias", "rope")
        or config["num_buckets"] % 2
        or (config["position"] == "rope" and config["head_dim"] % 2)
    ):
        raise FaultError("settings that no model over bytes has")


def _read_weight(dataset, shape, name):
    # Check before reading, because a small file may claim large arrays.
    size = 4 * int(np.prod(shape, dtype=object))
    if (
        dataset.shape != shape
        or dataset.dtype != np.float32
        or dataset.external
        or dataset.is_virtual
        or dataset.id.get_storage_size() != size
    ):
        raise FaultError(f"no weights of shape {shape} for {name}")
    weight = dataset[()]
    _check_finite(weight, name)
    return weight
