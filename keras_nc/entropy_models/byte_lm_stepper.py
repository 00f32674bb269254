"""M1 step by step, with a cache of keys and values, in fixed arithmetic."""

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import START_ID
from keras_nc.coding.checks import as_integer
from keras_nc.entropy_models.stepping import check_room


class ByteLMStepper:
    """Steps of M1: every row is computed alone, whatever the batch.

    Keras and its backends add the terms of a sum in an order that changes with
    the batch and the row, so that equal rows differ in their last bits. This
    runs M1's layers in Numba instead, on the processor, in one order of float32
    operations: the same bits for any batch, backend and number of bytes at a
    time. On CPUs it is also faster than a backend's call per byte.

    Args:
        backbone: A `ByteBackbone`. Its weights are copied.
        batch_size: int, `B`.
        context_bytes: int. Bytes that a row is fed at most between restarts.

    Raises:
        ValueError: If a size is no positive integer.

    Example:
    >>> from keras_nc.models import ByteBackbone
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> stepper = ByteLMStepper(backbone, batch_size=2, context_bytes=8)
    >>> stepper.probabilities().shape
    (2, 256)
    """

    def __init__(self, backbone, batch_size, context_bytes):
        from keras_nc.entropy_models._byte_lm_kernels import LANES

        batch_size = as_integer("batch_size", batch_size)
        context_bytes = as_integer("context_bytes", context_bytes)
        self.batch_size = batch_size
        self.context_bytes = context_bytes
        positions = context_bytes + 1  # the start id has one, too
        self._weights = pack_weights(backbone, positions)
        heads = (backbone.num_layers, batch_size, backbone.num_heads)
        K = backbone.head_dim
        blocks = -(-positions // LANES)
        # Memory that no position has used yet is not taken from the system.
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
        """Distribution of each row's next byte; see `PrefixStepper`.

        The model runs on what has been fed since it was asked last.
        """
        from keras_nc.entropy_models import _byte_lm_kernels

        counts = self._held - self._fed
        rows = np.repeat(np.arange(self.batch_size), counts)
        if not rows.size:
            return self._rows
        ends = np.cumsum(counts)
        positions = np.arange(rows.size) + np.repeat(self._held - ends, counts)
        ids = self._ids[rows, positions]
        last = positions == self._held[rows] - 1
        self._rows = self._rows.copy()
        for i in range(0, rows.size, _byte_lm_kernels.CHUNK):
            some = slice(i, i + _byte_lm_kernels.CHUNK)
            _byte_lm_kernels.feed(
                self._weights,
                ids[some],
                rows[some],
                positions[some],
                last[some],
                self._keys,
                self._values,
                self._rows,
            )
        self._fed = self._held.copy()
        return self._rows


def pack_weights(backbone, positions):
    """Weights of a `DecoderBackbone`, as the kernels read them.

    Returns:
        A tuple of arrays: embeddings; scales of the norms, two per layer and
        the final one; projections to queries, keys and values; biases by
        distance, (layers, H, distances); cosines and sines, (S, 2, K / 2), or
        none; output projections; gates and values of the MLPs; their output
        projections; the projection to the logits of bytes.
    """
    from keras_nc.entropy_models._byte_lm_kernels import pack

    D, width = backbone.hidden_dim, backbone.num_heads * backbone.head_dim
    blocks = backbone.transformer_layers
    scales, qkv, biases, outputs, gates, mlp_outputs = ([] for _ in range(6))
    for block in blocks:
        scales += [block.attention_norm.scale, block.mlp_norm.scale]
        attention, mlp = block.attention, block.mlp
        layers = (attention.query, attention.key, attention.value)
        kernels = [_array(layer.kernel).reshape(D, width) for layer in layers]
        qkv.append(pack(np.concatenate(kernels, axis=1)))
        biases.append(_biases(attention))
        output = _array(attention.output_projection.kernel)
        outputs.append(pack(output.reshape(width, D)))
        kernels = [_array(mlp.gate.kernel), _array(mlp.value.kernel)]
        gates.append(pack(np.concatenate(kernels, axis=1)))
        mlp_outputs.append(pack(_array(mlp.output_projection.kernel)))
    scales.append(backbone.layer_norm.scale)
    table = _array(backbone.token_embedding.embeddings)
    return (
        table * np.float32(D**0.5),
        np.stack([_array(scale) for scale in scales]),
        np.stack(qkv),
        np.stack(biases),
        _rotation(backbone, positions),
        np.stack(outputs),
        np.stack(gates),
        np.stack(mlp_outputs),
        pack(table[NUM_SPECIAL : NUM_SPECIAL + 256].T),
    )


def _array(variable):
    import keras

    return keras.ops.convert_to_numpy(variable).astype("float32")


def _biases(attention):
    """Bias of every distance, (H, distances); zero for rotary positions."""
    if attention.position == "rope":
        return np.zeros((attention.num_heads, 1), "float32")
    relative = attention.relative_bias
    return _array(relative.embeddings)[relative.distance_buckets].T.copy()


def _rotation(backbone, positions):
    if backbone.position != "rope":
        return np.zeros((0, 2, 1), "float32")
    half = backbone.head_dim // 2
    wavelength = backbone.transformer_layers[0].attention.rotary.max_wavelength
    frequencies = float(wavelength) ** -(np.arange(half) / half)
    angles = np.arange(positions)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32")
