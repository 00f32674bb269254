"""Numba kernels of M1: the same bits in every batch.

In a matrix product of a numerical library, the order of additions depends on
the batch, the row and the machine. Here every sum has one order, term by term,
without fused multiply-add. It uses float32 additions and multiplications, which
IEEE 754 rounds the same everywhere. SIMD lanes work on different sums.
"""

import math

import numpy as np

from keras_nc.coding.kernels import jit

#: Columns of a matrix, and positions of the keys, that are processed together.
COLUMNS = 64
LANES = 16
#: Tokens that pass through the layers together.
CHUNK = 128

#: 2^-1022 .. 2^0, and the factorials' inverses of a Taylor series.
_POWERS = 2.0 ** np.arange(-1022, 1)
_SERIES = np.array([1 / math.factorial(i) for i in range(14)])
_LOG2 = math.log(2)


def pack(matrix):
    """Lay a matrix (K, N) out in blocks of columns: (blocks, K, COLUMNS)."""
    K, N = matrix.shape
    blocks = -(-N // COLUMNS)
    padded = np.zeros((K, blocks * COLUMNS), np.float32)
    padded[:, :N] = matrix
    packed = padded.reshape(K, blocks, COLUMNS).transpose(1, 0, 2)
    return np.ascontiguousarray(packed)


@jit
def matmul(x, packed, out):
    """Write `x @ matrix`, for `x` of (n, K), into the columns of `out`."""
    n, K = x.shape
    fours = K - K % 4
    for block in range(packed.shape[0]):
        w = packed[block]
        first = block * COLUMNS
        out[:n, first : first + COLUMNS] = 0
        for b in range(0, n - 1, 2):
            x0, x1 = x[b], x[b + 1]
            y0 = out[b, first : first + COLUMNS]
            y1 = out[b + 1, first : first + COLUMNS]
            for k in range(0, fours, 4):
                a0, a1, a2, a3 = x0[k], x0[k + 1], x0[k + 2], x0[k + 3]
                c0, c1, c2, c3 = x1[k], x1[k + 1], x1[k + 2], x1[k + 3]
                for j in range(COLUMNS):
                    w0, w1 = w[k, j], w[k + 1, j]
                    w2, w3 = w[k + 2, j], w[k + 3, j]
                    y0[j] = (((y0[j] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3
                    y1[j] = (((y1[j] + c0 * w0) + c1 * w1) + c2 * w2) + c3 * w3
            for k in range(fours, K):
                for j in range(COLUMNS):
                    y0[j] += x0[k] * w[k, j]
                    y1[j] += x1[k] * w[k, j]
        if n % 2:
            x0 = x[n - 1]
            y0 = out[n - 1, first : first + COLUMNS]
            for k in range(K):
                a0 = x0[k]
                for j in range(COLUMNS):
                    y0[j] += a0 * w[k, j]


@jit
def exp(x):
    """Return e^x for x <= 0, within 1e-13, from products and sums only.

    NaN stays NaN, so that coders refuse the probabilities of a broken model.
    """
    if not -1e6 < x <= 0:
        return 0.0 if x <= 0 else np.nan
    n = math.floor(x / _LOG2 + 0.5)
    if n < -1022:
        return 0.0
    r = x - n * _LOG2
    y = _SERIES[13]
    for i in range(12, -1, -1):
        y = y * r + _SERIES[i]
    return y * _POWERS[n + 1022]


@jit
def normalize(x, scale, out):
    """Apply RMSNorm to the rows of (n, D)."""
    n, D = x.shape
    for b in range(n):
        total = 0.0
        for d in range(D):
            total += float(x[b, d]) * float(x[b, d])
        factor = np.float32(1.0 / math.sqrt(total / D + 1e-6))
        for d in range(D):
            out[b, d] = x[b, d] * factor * scale[d]


@jit
def attend(query, keys, values, position, bias, scores, out):
    """Attend with one head of one token to the positions up to its own.

    `query` is (K,), `keys` (blocks, K, LANES), `values` (S, K) and `bias`
    (distances,) for this head.
    """
    K = query.size
    sums = np.empty(LANES, np.float32)
    scale = np.float32(1 / math.sqrt(K))
    highest = -np.inf
    for block in range(position // LANES + 1):
        sums[:] = 0
        for k in range(K):
            q = query[k]
            for lane in range(LANES):
                sums[lane] += q * keys[block, k, lane]
        first = block * LANES
        for s in range(first, min(first + LANES, position + 1)):
            distance = min(position - s, bias.size - 1)
            scores[s] = float(sums[s - first] * scale + bias[distance])
            if scores[s] > highest or np.isnan(scores[s]):
                highest = scores[s]  # NaN stays: nothing is greater
    total = 0.0
    for s in range(position + 1):
        scores[s] = exp(scores[s] - highest)
        total += scores[s]
    out[:] = 0
    for s in range(position + 1):
        weight = np.float32(scores[s] / total)
        for k in range(K):
            out[k] += weight * values[s, k]


@jit
def rotate(x, cosines, sines):
    """Apply rotary positions to one head: rotate pairs (i, i + K / 2)."""
    half = x.size // 2
    for i in range(half):
        a, b = x[i], x[i + half]
        x[i] = a * cosines[i] - b * sines[i]
        x[i + half] = b * cosines[i] + a * sines[i]


@jit
def softmax(logits, out):
    """Compute the probabilities of 256 bytes, float64."""
    highest = np.max(logits[:256])
    total = 0.0
    for b in range(256):
        out[b] = exp(float(logits[b]) - float(highest))
        total += out[b]
    for b in range(256):
        out[b] /= total


@jit
def write_keys_and_values(qkv, rows, positions, rotation, keys, values):
    """Rotate queries and keys if positions are rotary; fill the cache."""
    H, K = values.shape[1], values.shape[3]
    for i in range(rows.size):
        r, p = rows[i], positions[i]
        for head in range(H):
            query = qkv[i, head * K : (head + 1) * K]
            key = qkv[i, (H + head) * K : (H + head + 1) * K]
            if rotation.shape[0]:
                rotate(query, rotation[p, 0], rotation[p, 1])
                rotate(key, rotation[p, 0], rotation[p, 1])
            value = qkv[i, (2 * H + head) * K : (2 * H + head + 1) * K]
            for k in range(K):
                keys[r, head, p // LANES, k, p % LANES] = key[k]
                values[r, head, p, k] = value[k]


@jit
def gate(wide, hidden):
    """Compute relu(gate) * value; both are side by side in `wide`."""
    n, inner = hidden.shape
    for i in range(n):
        for j in range(inner):
            positive = max(wide[i, j], np.float32(0))
            hidden[i, j] = positive * wide[i, inner + j]


@jit
def feed(weights, tokens, rows, positions, last, keys, values, result):
    """Run some tokens through all layers.

    The tokens of a row are in order. A token attends to the keys and values
    that earlier tokens have written.

    Args:
        weights: see `byte_lm_stepper.pack_weights`.
        tokens: ids, (n,).
        rows: their rows in the batch, (n,).
        positions: their positions in the rows, (n,).
        last: bool (n,): whether to compute the probabilities after a token.
        keys: (layers, B, H, blocks, K, LANES).
        values: (layers, B, H, S, K).
        result: float64 (B, 256): gets the probabilities after `last` tokens.
    """
    (
        table,
        scales,
        qkv,
        biases,
        rotation,
        output,
        gated,
        mlp_output,
        to_logits,
    ) = weights
    n = tokens.size
    layers, _, H, S, K = values.shape
    D = table.shape[1]
    columns = max(qkv.shape[1], gated.shape[1]) * COLUMNS
    wide = np.empty((n, columns), np.float32)
    narrow = np.empty((n, output.shape[1] * COLUMNS), np.float32)
    attended = np.empty((n, H * K), np.float32)
    hidden = np.empty((n, mlp_output.shape[2]), np.float32)
    scores = np.empty(S)
    x = np.empty((n, D), np.float32)
    h = np.empty((n, D), np.float32)
    for i in range(n):
        x[i] = table[tokens[i]]
    for layer in range(layers):
        normalize(x, scales[2 * layer], h)
        matmul(h, qkv[layer], wide)
        write_keys_and_values(
            wide, rows, positions, rotation, keys[layer], values[layer]
        )
        for i in range(n):
            for head in range(H):
                attend(
                    wide[i, head * K : (head + 1) * K],
                    keys[layer, rows[i], head],
                    values[layer, rows[i], head],
                    positions[i],
                    biases[layer, head],
                    scores,
                    attended[i, head * K : (head + 1) * K],
                )
        matmul(attended, output[layer], narrow)
        x += narrow[:, :D]
        normalize(x, scales[2 * layer + 1], h)
        matmul(h, gated[layer], wide)
        gate(wide, hidden)
        matmul(hidden, mlp_output[layer], narrow)
        x += narrow[:, :D]
    normalize(x, scales[2 * layers], h)
    wanted = np.flatnonzero(last)
    logits = np.empty((wanted.size, 256), np.float32)
    matmul(h[wanted], to_logits, logits)
    for i in range(wanted.size):
        softmax(logits[i], result[rows[wanted[i]]])
