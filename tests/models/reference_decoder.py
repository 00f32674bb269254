"""The decoder in plain NumPy float64, written from the formulas."""

import math

import numpy as np


def rms_norm(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale


def bucket(distance, num_buckets=32, max_distance=128):
    exact = num_buckets // 2
    if distance < exact:
        return distance
    scale = math.log(distance / exact) / math.log(max_distance / exact)
    return min(num_buckets - 1, exact + int(scale * (num_buckets - exact)))


def rotate(x):
    """Rotary positions of `(T, H, K)`: pairs are (i, i + K / 2)."""
    T, _, K = x.shape
    angles = np.arange(T)[:, None] / 10000 ** (np.arange(K // 2) * 2 / K)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = x[..., : K // 2], x[..., K // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attend(x, block, position):
    query, key, value = (
        np.einsum("td,dhk->thk", x, block[name])
        for name in ("query", "key", "value")
    )
    if position == "rope":
        query, key = rotate(query), rotate(key)
    T, H, K = query.shape
    output = np.zeros((T, H, K))
    for h in range(H):
        for t in range(T):
            scores = key[: t + 1, h] @ query[t, h] / math.sqrt(K)
            if position == "relative_bias":
                for s in range(t + 1):
                    scores[s] += block["bias"][bucket(t - s), h]
            weights = np.exp(scores - scores.max())
            output[t, h] = weights / weights.sum() @ value[: t + 1, h]
    return np.einsum("thk,hkd->td", output, block["output"])


def logits(causal_lm, token_ids):
    """Logits of one row of ids, `(T, rows)`."""
    backbone = causal_lm.backbone
    (table,) = (w.astype("float64") for w in weights(backbone.token_embedding))
    x = table[token_ids] * math.sqrt(table.shape[1])
    for layer in backbone.transformer_layers:
        attention, mlp = layer.attention, layer.mlp
        block = {
            "query": weights(attention.query)[0],
            "key": weights(attention.key)[0],
            "value": weights(attention.value)[0],
            "output": weights(attention.output_projection)[0],
        }
        if backbone.position == "relative_bias":
            block["bias"] = weights(attention.relative_bias)[0]
        normed = rms_norm(x, weights(layer.attention_norm)[0])
        x = x + attend(normed, block, backbone.position)
        normed = rms_norm(x, weights(layer.mlp_norm)[0])
        gate = np.maximum(normed @ weights(mlp.gate)[0], 0)
        hidden = gate * (normed @ weights(mlp.value)[0])
        x = x + hidden @ weights(mlp.output_projection)[0]
    return rms_norm(x, weights(backbone.layer_norm)[0]) @ table.T


def weights(layer):
    return [w.astype("float64") for w in layer.get_weights()]
