"""What models that look at no context score."""

import math

import numpy as np


def uniform_bits_per_byte(shards):
    """Score of a model that gives all ids the same probability.

    Args:
        shards: `TokenShards`.

    Returns:
        float: log2(V) * tokens / bytes (arXiv 2404.03626, section 5).

    Raises:
        ValueError: If the shards hold no text.
    """
    shards.check_text()
    return math.log2(shards.vocabulary_size) / shards.bytes_per_token


def unigram_bits_per_byte(train, held_out):
    """Score of a model that knows how frequent each id is, and no more.

    Args:
        train: `TokenShards` to count in; every count starts at 1.
        held_out: `TokenShards` to score.

    Returns:
        float, bits per byte of `held_out`.

    Raises:
        ValueError: If different tokenizers wrote the two, or there is no text
            to score.
    """
    held_out.check_tokenizer(train)
    held_out.check_text()
    counts = token_counts(train) + 1.0
    bits = -np.log2(counts / counts.sum())
    return float(token_counts(held_out) @ bits) / held_out.num_bytes


def token_counts(shards):
    """How often each id occurs.

    Args:
        shards: `TokenShards`.

    Returns:
        An int64 array of shape `(V,)`.
    """
    counts = np.zeros(shards.vocabulary_size, dtype="int64")
    block = 2**24  # tokens in memory at once
    for start in range(0, shards.num_tokens, block):
        stop = min(start + block, shards.num_tokens)
        ids = shards.tokens(start, stop)
        counts += np.bincount(ids, minlength=len(counts))
    return counts
