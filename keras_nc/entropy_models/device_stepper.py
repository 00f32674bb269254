"""M1 on an accelerator, for many texts at once, to make tokens for training.

Decoding needs the same probabilities of a row, bit for bit, in every batch. No
backend promises that. Tokens for training need not be decoded, but M1 must read
every byte of a large text to make them.
"""

import functools
import itertools
import types

import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import START_ID
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.shares import FREQUENCY_BITS
from keras_nc.coding.shares import SUM_TOLERANCE
from keras_nc.entropy_models.byte_lm_weights import device_weights
from keras_nc.entropy_models.stepping import check_room

#: Positions of the cache at first; it grows by powers of two.
_POSITIONS = 32
#: Bytes of a row that are fed in one call, at most.
_COLUMNS = 64
#: Tokens of a call that reads whole contexts.
_TOKENS = 1 << 16


class DeviceStepper:
    """Run M1 on the device of JAX; one compiled function feeds all rows.

    It has the methods of `PrefixStepper`, but not its guarantee: the last bits
    of a row's probabilities may depend on the batch and the device. So coders
    use it to encode only. They call `window_parts` for the parts of bytes, and
    `encode_streams` for whole streams. Probabilities become integers on the
    device, by the rules of `coding.shares`.

    The arguments are those of `ByteLMStepper`.

    Raises:
        ValueError: If the backend is not JAX.
    """

    #: Coders must not decode: the same probabilities may differ in a few bits.
    encode_only = True

    def __init__(self, config, weights, batch_size, context_bytes):
        import keras

        if keras.backend.backend() != "jax":
            raise ValueError(
                "M1 runs on a device with JAX only. Received: the backend "
                f"{keras.backend.backend()}. Set KERAS_BACKEND=jax, or leave "
                "out `device_rows`."
            )
        self.batch_size = as_integer("device_rows", batch_size, 1)
        self.context_bytes = as_integer("context_bytes", context_bytes, 1)
        self._functions = _functions(
            config["num_layers"], config["head_dim"], config["position"]
        )
        import jax

        self._weights = jax.device_put(device_weights(config, weights))
        B = self.batch_size
        layers, heads = config["num_layers"], config["num_heads"]
        shape = (B, self._room(1), heads, config["head_dim"])
        self._keys, self._values = (
            [np.zeros(shape, "float32") for _ in range(layers)]
            for _ in range(2)
        )
        self._rows = np.zeros((B, 256), "int32")
        self._held = np.zeros(B, int)
        # The start id stays in the cache of every row.
        self._feed(np.full((B, 1), START_ID, "int32"), np.ones(B, int))
        self._first = self._rows[0] + 0
        self._restarted = np.zeros(B, bool)

    def restart(self, rows):
        """Begin a new context; see `PrefixStepper.restart`."""
        self._held[rows] = 1
        self._restarted |= rows

    def append(self, data, counts):
        """Feed any number of bytes to each row; see `PrefixStepper.append`."""
        counts = np.asarray(counts)
        check_room(self._held - 1 + counts, self.context_bytes)
        ids = data.astype("int32") + NUM_SPECIAL
        for first in range(0, counts.max(initial=0), _COLUMNS):
            part = ids[:, first : first + _COLUMNS]
            width = 1 << (part.shape[1] - 1).bit_length()
            part = np.pad(part, ((0, 0), (0, width - part.shape[1])))
            self._feed(part, np.clip(counts - first, 0, width))
        self._restarted &= counts == 0

    def step(self, next_bytes, active):
        """Feed one byte to each active row; see `PrefixStepper.step`."""
        self.append(np.asarray(next_bytes)[:, None], np.asarray(active, int))

    def frequencies(self):
        """Return the integer frequencies of each row's next byte.

        Returns:
            An int32 array of shape `(B, 256)`; see `coding.shares`.
        """
        self._begin_rows()
        return np.asarray(self._rows)

    def probabilities(self):
        """Return the frequencies as floats; see `PrefixStepper`."""
        return self.frequencies() / (1 << FREQUENCY_BITS)

    def window_parts(self, symbols, precision):
        """Return the parts of bytes in the tables of zero-padded windows.

        Args:
            symbols: uint8 array of shape `(B,)`: the next byte of each row.
            precision: int. Bits of the table.

        Returns:
            A uint32 array of shape `(B, 2)`: where each byte's part begins and
            ends.
        """
        self._begin_rows()
        function = self._functions.window_parts
        parts = _wide(function, self._rows, symbols, precision)
        return check_parts(parts, precision)

    def encode_streams(self, text, bounds, precision, out, firsts, ends):
        """Encode whole documents; see `keras_nc.coding.StreamCoder`."""
        from keras_nc.coding.kernels.range_coder import encode_parts

        begins = np.concatenate(
            [
                np.arange(a, b, self.context_bytes)
                for a, b in itertools.pairwise(bounds)
            ]
            or [np.zeros(0, int)]
        ).astype(int)
        limits = bounds[np.searchsorted(bounds, begins, "right")]
        sizes = np.minimum(limits - begins, self.context_bytes)
        parts = np.zeros((text.size, 2), "uint32")
        order = np.argsort(-sizes, kind="stable")
        while order.size:
            width = self._room(int(sizes[order[0]]))
            # Few shapes, and few empty rows.
            count = 1 << (order.size - 1).bit_length()
            count = min(count, max(1, _TOKENS // width))
            batch, order = order[:count], order[count:]
            columns = np.arange(width)
            at = begins[batch][:, None] + columns
            inside = columns < sizes[batch][:, None]
            symbols = np.zeros((count, width), "uint8")
            symbols[: batch.size][inside] = text[at[inside]]
            found = _wide(
                self._functions.stream_parts, self._weights, symbols, precision
            )
            parts[at[inside]] = found[: batch.size][inside]
        check_parts(parts, precision)
        encode_parts(parts, bounds, precision, out, firsts, ends)

    def _room(self, positions):
        """Return the size of a cache for at least this many positions."""
        room = 1 << (max(positions, _POSITIONS) - 1).bit_length()
        return min(room, self.context_bytes + 1)

    def _feed(self, ids, counts):
        """Run the layers on ids, `(B, n)`, of which rows take `counts`."""
        room = self._room(int((self._held + counts).max()))
        grow = room - self._keys[0].shape[1]
        if grow > 0:
            import jax.numpy as jnp

            pads = ((0, 0), (0, grow), (0, 0), (0, 0))
            self._keys = [jnp.pad(each, pads) for each in self._keys]
            self._values = [jnp.pad(each, pads) for each in self._values]
        self._keys, self._values, self._rows = self._functions.feed(
            self._keys,
            self._values,
            self._rows,
            self._weights,
            ids,
            self._held.astype("int32"),
            counts.astype("int32"),
        )
        self._held = self._held + counts

    def _begin_rows(self):
        """Give restarted rows the distribution of the first byte."""
        if self._restarted.any():
            self._rows = self._functions.begin(
                self._rows, self._first, self._restarted
            )
            self._restarted = np.zeros(self.batch_size, bool)


def check_parts(parts, precision):
    """Return parts as an array, or raise a ValueError if they are invalid."""
    parts = np.asarray(parts)
    below, above = parts[..., 0], parts[..., 1]
    if not ((below < above) & (above <= 1 << precision)).all():
        raise ValueError(
            "M1 must give finite probabilities. Received: values that do not "
            "sum to 1. Load an earlier checkpoint."
        )
    return parts


def _wide(function, *arguments):
    """Call a function whose integers have 64 bits."""
    import jax

    with jax.enable_x64(True):
        return np.asarray(function(*arguments))


@functools.cache
def _functions(num_layers, head_dim, position):
    """Return the compiled functions of models of one kind."""
    import jax
    import jax.numpy as jnp

    def norm(x, scale):
        mean = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(mean + 1e-6) * scale

    def rotate(x, at, waves):
        angles = at[..., None, None] * waves  # (B, T, 1, K / 2)
        a, b = jnp.split(x, 2, axis=-1)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def run(weights, ids, at, store):
        """Return hidden states, (B, T, D).

        `store(layer, k, v)` returns the keys and values to attend to, which
        are those of the positions 0 .. S - 1.
        """
        x = weights["table"][ids]
        for i in range(num_layers):
            block = {name: w[i] for name, w in weights["blocks"].items()}
            h = norm(x, block["attention_norm"])
            q, k, v = (
                jnp.einsum("btd,dhk->bthk", h, block[name])
                for name in ("query", "key", "value")
            )
            if position == "rope":
                q = rotate(q, at, weights["waves"])
                k = rotate(k, at, weights["waves"])
            k, v = store(i, k, v)
            distance = at[:, :, None] - jnp.arange(k.shape[1])  # (B, T, S)
            scores = jnp.einsum("bthk,bshk->bths", q, k) / head_dim**0.5
            if position == "relative_bias":
                biases = block["biases"]  # (distances, H)
                near = jnp.clip(distance, 0, biases.shape[0] - 1)
                scores += jnp.moveaxis(biases[near], -1, 2)
            mask = (distance >= 0)[:, :, None, :]
            shares = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
            h = jnp.einsum("bths,bshk->bthk", shares, v)
            x = x + jnp.einsum("bthk,hkd->btd", h, block["output"])
            h = norm(x, block["mlp_norm"])
            h = jax.nn.relu(h @ block["gate"]) * (h @ block["mlp_value"])
            x = x + h @ block["mlp_output"]
        return norm(x, weights["norm"])

    def integers(weights, hidden):
        p = jax.nn.softmax(hidden @ weights["logits"], axis=-1)
        return jnp.floor(p * (1 << FREQUENCY_BITS)).astype("int32")

    def sum_of(f):
        """Return sums of frequencies, and whether they are of distributions."""
        F = f.sum(axis=-1, keepdims=True)
        most = SUM_TOLERANCE * (1 << FREQUENCY_BITS)
        return jnp.maximum(F, 1), jnp.abs(F - (1 << FREQUENCY_BITS)) <= most

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def feed(keys, values, rows, weights, ids, firsts, counts):
        B, T = ids.shape
        S = keys[0].shape[1]
        columns = jnp.arange(T)
        at = firsts[:, None] + columns
        # Ids that a row does not take get a place outside, and are dropped.
        place = jnp.where(columns < counts[:, None], at, S)
        row = jnp.arange(B)[:, None]
        keys, values = list(keys), list(values)

        def store(i, k, v):
            keys[i] = keys[i].at[row, place].set(k, mode="drop")
            values[i] = values[i].at[row, place].set(v, mode="drop")
            return keys[i], values[i]

        hidden = run(weights, ids, at, store)
        last = jnp.maximum(counts - 1, 0)[:, None, None]
        hidden = jnp.take_along_axis(hidden, last, axis=1)[:, 0]
        new = integers(weights, hidden)
        return keys, values, jnp.where(counts[:, None] > 0, new, rows)

    @functools.partial(jax.jit, donate_argnums=0)
    def begin(rows, first, restarted):
        return jnp.where(restarted[:, None], first, rows)

    @functools.partial(jax.jit, static_argnums=2)
    def window_parts(rows, symbols, precision):
        # `allocate` of `coding.shares`, and one part more for every byte.
        f = rows.astype("int64")
        k = (1 << precision) - 256
        F, good = sum_of(f)
        shares, remainders = (f * k) // F, (f * k) % F
        left = k - shares.sum(axis=1)
        ranks = remainders * 256 + jnp.arange(255, -1, -1)
        ranked = jnp.sort(ranks, axis=1)
        place = jnp.minimum(256 - left, 255)[:, None]
        least = jnp.take_along_axis(ranked, place, axis=1)
        extra = (ranks >= least) & (left > 0)[:, None]
        above = jnp.cumsum(shares + extra + 1, axis=1)
        table = jnp.pad(above, ((0, 0), (1, 0)))
        index = symbols[:, None].astype("int64") + jnp.arange(2)
        parts = jnp.take_along_axis(table, index, axis=1) * good
        return parts.astype("uint32")

    @functools.partial(jax.jit, static_argnums=2)
    def stream_parts(weights, symbols, precision):
        ids = symbols.astype("int32") + NUM_SPECIAL
        ids = jnp.pad(ids, ((0, 0), (1, 0)), constant_values=START_ID)[:, :-1]
        at = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        hidden = run(weights, ids, at, lambda i, k, v: (k, v))
        f = integers(weights, hidden).astype("int64")
        # `cumulate` of `coding.shares`.
        sums = jnp.pad(jnp.cumsum(f, axis=-1), ((0, 0), (0, 0), (1, 0)))
        index = symbols[..., None].astype("int64") + jnp.arange(2)
        parts = jnp.take_along_axis(sums, index, axis=-1)
        F, good = sum_of(f)
        parts = parts * ((1 << precision) - 256) // F + index
        return (parts * good).astype("uint32")

    return types.SimpleNamespace(
        feed=feed,
        begin=begin,
        window_parts=window_parts,
        stream_parts=stream_parts,
    )
