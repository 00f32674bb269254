"""M1 step by step, with a cache of keys and values, in fixed arithmetic."""

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.entropy_models.stepping import check_room

#: Of `keras_hub.layers.RotaryEmbedding`.
_MAX_WAVELENGTH = 10_000.0


class ByteLMStepper:
    """Run M1 step by step. The results of a row do not depend on the batch.

    In Keras, the order of the terms of a sum depends on the batch and the row,
    so equal rows differ in their last bits. This class runs M1's layers in
    Numba on the CPU, with a fixed order of float32 operations. It gives the
    same bits for any batch, backend and number of bytes at a time. On CPUs, it
    is also faster than calling a backend for every byte.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `byte_lm_weights.plain_weights` returned.
        batch_size: int, `B`.
        context_bytes: int. The most bytes that a row may be fed between
            restarts.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive.

    Example:
    >>> from keras_nc.entropy_models import ByteLMModel
    >>> from keras_nc.models import ByteBackbone
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> stepper = ByteLMModel(backbone).stepper(2, context_bytes=8)
    >>> stepper.probabilities().shape
    (2, 256)
    """

    def __init__(self, config, weights, batch_size, context_bytes):
        from keras_nc.entropy_models.kernels.byte_lm import LANES

        batch_size = as_integer("batch_size", batch_size, 1)
        context_bytes = as_integer("context_bytes", context_bytes, 1)
        self.batch_size = batch_size
        self.context_bytes = context_bytes
        positions = context_bytes + 1  # one more for the start id
        self._weights = pack_weights(config, weights, positions)
        heads = (config["num_layers"], batch_size, config["num_heads"])
        K = config["head_dim"]
        blocks = -(-positions // LANES)
        # The system allocates this memory only when positions are used.
        self._keys = np.zeros((*heads, blocks, K, LANES), "float32")
        self._values = np.zeros((*heads, positions, K), "float32")
        self._ids = np.full((batch_size, positions), START_ID, "int32")
        self._held = np.ones(batch_size, int)
        self._fed = np.zeros(batch_size, int)
        self._rows = np.zeros((batch_size, 256))

    def restart(self, rows):
        """Begin a new context; see `PrefixStepper.restart`."""
        self._held[rows] = 1
        self._fed[rows] = 0

    def append(self, data, counts):
        """Feed some bytes to each row; see `PrefixStepper.append`."""
        counts = np.asarray(counts)
        check_room(self._held - 1 + counts, self.context_bytes)
        for row in np.flatnonzero(counts):
            held, count = self._held[row], counts[row]
            ids = data[row, :count].astype("int32") + NUM_SPECIAL
            self._ids[row, held : held + count] = ids
        self._held = self._held + counts

    def step(self, next_bytes, active):
        """Feed one byte to some rows; see `PrefixStepper.step`."""
        self.append(np.asarray(next_bytes)[:, None], np.asarray(active, int))

    def probabilities(self):
        """Return the distribution of each row's next byte.

        See `PrefixStepper.probabilities`.

        The model runs on the bytes that were fed since the last call.
        """
        from keras_nc.entropy_models.kernels import byte_lm as kernels

        counts = self._held - self._fed
        rows = np.repeat(np.arange(self.batch_size), counts)
        if not rows.size:
            return self._rows
        ends = np.cumsum(counts)
        positions = np.arange(rows.size) + np.repeat(self._held - ends, counts)
        ids = self._ids[rows, positions]
        last = positions == self._held[rows] - 1
        self._rows = self._rows.copy()
        for i in range(0, rows.size, kernels.CHUNK):
            chunk = slice(i, i + kernels.CHUNK)
            kernels.feed(
                self._weights,
                ids[chunk],
                rows[chunk],
                positions[chunk],
                last[chunk],
                self._keys,
                self._values,
                self._rows,
            )
        self._fed = self._held.copy()
        return self._rows


def pack_weights(config, weights, positions):
    """Return the weights of M1 as the kernels read them.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `byte_lm_weights.plain_weights` returned.
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
