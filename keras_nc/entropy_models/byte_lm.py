"""M1 as an entropy model, for many prefixes at once or byte by byte."""

import json
import os

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.archive import FaultError
from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import atomic_path
from keras_nc.coding.inputs import as_integer
from keras_nc.entropy_models.byte_lm_weights import build_backbone
from keras_nc.entropy_models.byte_lm_weights import pack_weights
from keras_nc.entropy_models.byte_lm_weights import plain_weights
from keras_nc.entropy_models.byte_lm_weights import read_weights
from keras_nc.entropy_models.device_stepper import DeviceStepper
from keras_nc.entropy_models.protocol import EntropyModel
from keras_nc.entropy_models.protocol import check_head
from keras_nc.entropy_models.protocol import head_of
from keras_nc.entropy_models.protocol import model_error
from keras_nc.entropy_models.protocol import register
from keras_nc.entropy_models.refitted import RefittedModel
from keras_nc.entropy_models.stepping import check_room

#: Prefixes per call if only a few are left.
SMALL_BATCH = 32
CONFIG = "entropy_model.json"
WEIGHTS = "entropy_model.weights.h5"
#: The settings of a backbone's configuration that change its results.
_SETTINGS = (
    "vocabulary_size",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "head_dim",
    "position",
    "num_buckets",
    "max_distance",
    "gradient_checkpointing",
)


@register("byte_lm")
class ByteLMModel(EntropyModel):
    """p(next byte | bytes since the window's start) of a byte-level LM.

    The model sees the start id and then the window's bytes, so it is reset at
    every window. It runs in float32 and in few fixed shapes. Still, its
    probabilities change by about 1e-6 with shapes, machines and backends. So
    keep a codebook that you need for decoding; do not build it again.

    Args:
        causal_lm: A `keras_nc.models.ByteCausalLM`, or its backbone. Its
            weights are copied, so further training does not change this model.
            The copy is in float32; LoRA is merged, and quantized weights become
            floats.
        batch_size: int. Prefixes per call of the model.

    Attributes:
        device_rows: int, or `None`. If set, coders run M1 on the device of
            JAX, on this many texts at once. They can then encode but not
            decode; see `DeviceStepper`.

    Raises:
        TypeError: If `causal_lm` is another object, or `batch_size` is not an
            integer.
        ValueError: If its weights are not finite numbers, its embedding table
            is quantized, or `batch_size` is not positive.

    Example:
    >>> from keras_nc.models import ByteBackbone, ByteCausalLM
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> model = ByteLMModel(ByteCausalLM(backbone))
    >>> model.probabilities([b"", b"ab"]).shape
    (2, 256)
    """

    file_names = [CONFIG, WEIGHTS]
    device_rows = None

    def __init__(self, causal_lm, batch_size=256):
        batch_size = as_integer("batch_size", batch_size, 1)
        backbone = getattr(causal_lm, "backbone", causal_lm)
        if not hasattr(backbone, "call_with_cache"):
            raise TypeError(
                "An entropy model is made from a `ByteCausalLM` or its "
                f"backbone. Received: {type(causal_lm).__name__}. Pass one of "
                "them."
            )
        if backbone.vocabulary_size != NUM_SPECIAL + 256:
            raise ValueError(
                "The language model must be over bytes, with "
                f"{NUM_SPECIAL + 256} ids. Received: "
                f"{type(causal_lm).__name__} with "
                f"{backbone.vocabulary_size} ids. Pass a `ByteCausalLM`."
            )
        config = backbone.get_config()
        config = {name: config[name] for name in _SETTINGS}
        self._set(config, plain_weights(backbone), batch_size)

    def _set(self, config, weights, batch_size):
        self.batch_size = batch_size
        self._config = config
        self._weights = weights  # float32, in the order of a backbone's
        self._lazy_backbone = None
        self._byte_rows = weights[0][NUM_SPECIAL : NUM_SPECIAL + 256]

    @property
    def backbone(self):
        """A Keras model of the copied weights, made when it is first used."""
        if self._lazy_backbone is None:
            self._lazy_backbone = build_backbone(self._config, self._weights)
        return self._lazy_backbone

    def probabilities(self, prefixes):
        """Return the distribution of the byte after each prefix.

        Args:
            prefixes: A sequence of bytes: windows so far.

        Returns:
            A float64 array of shape `(len(prefixes), 256)`; rows sum to 1.
        """
        # Prefixes of similar lengths share a call.
        lengths = np.array([len(prefix) for prefix in prefixes], dtype=int)
        result = np.empty((len(prefixes), 256))
        order = np.argsort(lengths)
        first = 0
        while first < len(order):
            size = self.batch_size
            if len(order) - first <= size // 2:
                # The longest windows of a codebook come a few at a time.
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
            A `RefittedModel`: counts of the window starts, mixed into this
            model.

        Raises:
            ValueError: if `starts` are not ascending offsets into the text.
        """
        return RefittedModel.from_text(self, text, starts)

    def stepper(self, batch_size, context_bytes):
        """Return a `ByteLMStepper`, or a `DeviceStepper` of `device_rows`."""
        make, rows = ByteLMStepper, batch_size
        if self.device_rows is not None:
            make, rows = DeviceStepper, self.device_rows
        return make(self._config, self._weights, rows, context_bytes)

    def reader(self, context_bytes):
        """Return a `PrefixReader` of this model.

        Args:
            context_bytes: int. Most bytes of a prefix.
        """
        return PrefixReader(self, context_bytes)

    def state(self):
        """Return configuration and weights; see `EntropyModel.state`.

        The batch size is not part of the state.
        """
        names = [f"weight_{i}" for i in range(len(self._weights))]
        return self._config, dict(zip(names, self._weights, strict=True))

    def save(self, directory):
        """Write the configuration and the weights."""
        path = os.path.join(directory, WEIGHTS)
        with atomic_path(path, suffix=".weights.h5") as temporary:
            self.backbone.save_weights(temporary)
        config = {
            **head_of(self),
            "backbone": self._config,
            "batch_size": self.batch_size,
        }
        with atomic_file(os.path.join(directory, CONFIG)) as file:
            file.write(json.dumps(config, indent=2).encode())

    @classmethod
    def load(cls, directory):
        """Read both; see `EntropyModel.load`."""
        with model_error(directory, cls):
            path = os.path.join(directory, CONFIG)
            with open(path, encoding="utf-8") as file:
                config = check_head(json.load(file), cls)
            backbone = config["backbone"]
            batch_size = as_integer("batch_size", config["batch_size"], 1)
            if set(backbone) != set(_SETTINGS):
                raise FaultError(f"settings {sorted(backbone)}")
            weights = read_weights(os.path.join(directory, WEIGHTS), backbone)
        model = cls.__new__(cls)
        model._set(backbone, weights, batch_size)
        return model

    def _batch(self, prefixes, size):
        """Return probabilities for `size` prefixes or fewer, in few shapes."""
        shape = (size, padded_length(1 + max(map(len, prefixes))))
        token_ids = np.full(shape, PAD_ID, dtype="int32")
        token_ids[:, 0] = START_ID
        for row, prefix in zip(token_ids, prefixes, strict=False):
            ids = np.frombuffer(prefix, dtype="uint8").astype("int32")
            row[1 : 1 + len(prefix)] = ids + NUM_SPECIAL
        padding_mask = (token_ids != PAD_ID).astype("int32")
        hidden = self.backbone.predict_on_batch(
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
    """Round a length up to 4, 8, 12, 16, 24, 32, 48, 64, 96, ..."""
    step = max(4, 1 << max(0, (length - 1).bit_length() - 2))
    return -(-length // step) * step


class ByteLMStepper:
    """Run M1 step by step. The results of a row do not depend on the batch.

    In Keras, the order of the terms of a sum depends on the batch and the row,
    so results for the same prefix differ in their last bits. This class runs
    M1's layers in Numba on the CPU, with a fixed order of float32 operations.
    It gives the same bits for any batch, backend and number of bytes at a time.
    On CPUs, it is also faster than calling a backend for every byte.

    Args:
        config: A dict: the settings of a `ByteBackbone`.
        weights: What `plain_weights` returned.
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
        """Feed any number of bytes to each row; see `PrefixStepper.append`."""
        counts = np.asarray(counts)
        check_room(self._held - 1 + counts, self.context_bytes)
        for row in np.flatnonzero(counts):
            held, count = self._held[row], counts[row]
            ids = data[row, :count].astype("int32") + NUM_SPECIAL
            self._ids[row, held : held + count] = ids
        self._held = self._held + counts

    def step(self, next_bytes, active):
        """Feed one byte to each active row; see `PrefixStepper.step`."""
        self.append(np.asarray(next_bytes)[:, None], np.asarray(active, int))

    def replace(self, row, prefix):
        """Let a row hold other bytes; those that it shares are kept.

        Args:
            row: int.
            prefix: bytes.
        """
        ids = np.frombuffer(prefix, "uint8").astype("int32") + NUM_SPECIAL
        check_room(np.array([len(ids)]), self.context_bytes)
        # The last byte is fed again, because its output is asked for.
        kept = self._ids[row, 1 : max(1, min(len(ids), self._fed[row]))]
        differ = np.flatnonzero(kept != ids[: len(kept)])
        same = int(differ[0]) if differ.size else len(kept)
        self._fed[row] = 1 + same if len(ids) and self._fed[row] else 0
        self._held[row] = 1 + len(ids)
        self._ids[row, 1 : 1 + len(ids)] = ids

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


class PrefixReader:
    """Probabilities after many prefixes that begin alike, on the CPU.

    Prefixes are read in lexicographic order, and each takes over from the one
    before what it begins with. The results do not depend on batches, backends
    and machines, as those of `ByteLMStepper`.

    Args:
        model: A `ByteLMModel`.
        context_bytes: int. Most bytes of a prefix.

    Example:
    >>> from keras_nc.entropy_models import ByteLMModel
    >>> from keras_nc.models import ByteBackbone
    >>> backbone = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> reader = ByteLMModel(backbone).reader(context_bytes=8)
    >>> reader.probabilities([b"", b"a", b"ab"]).shape
    (3, 256)
    """

    def __init__(self, model, context_bytes):
        self._stepper = model.stepper(64, context_bytes)

    def probabilities(self, prefixes):
        """Return the distribution after each prefix; see `EntropyModel`."""
        result = np.empty((len(prefixes), 256))
        order = np.array(
            sorted(range(len(prefixes)), key=prefixes.__getitem__), int
        )
        # Each row of the stepper reads neighbours.
        shares = np.array_split(order, self._stepper.batch_size)
        for i in range(len(shares[0])):
            places = [share[i] for share in shares if i < len(share)]
            for row, place in enumerate(places):
                self._stepper.replace(row, prefixes[place])
            result[places] = self._stepper.probabilities()[: len(places)]
        return result
