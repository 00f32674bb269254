"""Bits per byte of text: of models, two simple rules, and compressors."""

import gzip
import lzma
import math

import numpy as np
import zstandard

from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents


def bits_per_byte(model, shards, *, sequence_length, batch_size, progress=True):
    """Score every token of the shards once; return all bits / all bytes.

    Each sequence begins with the start id, and the model sees nothing of the
    sequence before, as in training. End ids are also scored, although they
    stand for no bytes.

    Args:
        model: A `DecoderCausalLM`. It need not be compiled. If it is, its
            optimizer and metrics stay as they are.
        shards: `TokenShards`, written by the model's tokenizer.
        sequence_length: int, T, tokens per sequence.
        batch_size: int, B, sequences per batch.
        progress: bool. Whether to show Keras' progress bar.

    Returns:
        float, bits per byte.

    Raises:
        ValueError: If another tokenizer wrote the shards, or they hold no
            text.
    """
    import keras

    from keras_nc.data import PackedSequences
    from keras_nc.data import process_batches
    from keras_nc.metrics import BitsPerByte

    sequence_length = as_integer("sequence_length", sequence_length, 1)
    batch_size = as_integer("batch_size", batch_size, 1)
    model.check_origins(shards)
    shards.check_text()
    # A second model with the same weights does not touch optimizer and metrics
    # of the first.
    scorer = type(model)(model.backbone)
    # Not every token has a length in bytes; the mean ratio serves for all.
    metric = BitsPerByte(bytes_per_token=shards.bytes_per_token)
    scorer.compile(optimizer=keras.optimizers.SGD(), weighted_metrics=[metric])
    sequences = PackedSequences(
        shards,
        sequence_length,
        batch_size,
        shuffle=False,
        document_masks=model.backbone.document_masks,
    )
    scores = scorer.evaluate(
        process_batches(sequences),
        verbose="auto" if progress else 0,
        return_dict=True,
    )
    return float(scores["bits_per_byte"])


def uniform_bits_per_byte(shards):
    """Return the bits per byte of a model with equal probabilities for all ids.

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
    """Return the bits per byte of a model that knows only the ids' frequencies.

    Args:
        train: `TokenShards` to count ids in. Every count starts at 1.
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


def token_counts(shards, progress=None):
    """Count how often each id occurs.

    Args:
        shards: `TokenShards`.
        progress: function to call with the numbers of bytes read, or `None`.

    Returns:
        An int64 array of shape `(V,)`.

    Raises:
        ValueError: If a token is not an id of the vocabulary.
    """
    counts = np.zeros(shards.vocabulary_size, dtype="int64")
    block = 2**22  # tokens in memory at once
    for start in range(0, shards.num_tokens, block):
        stop = min(start + block, shards.num_tokens)
        ids = shards.tokens(start, stop)
        if ids.max() >= len(counts):
            raise ValueError(
                f"Tokens must be below {len(counts)}, the vocabulary's size. "
                f"Received: {ids.max()} in {shards.directory}. Write the "
                "shards again."
            )
        counts += np.bincount(ids, minlength=len(counts))
        if progress is not None:
            progress(ids.nbytes)
    return counts


def compressors_bits_per_byte(documents):
    """Compress text with gzip, xz, zstd and brotli at their strongest.

    All documents are joined, with nothing between them, and compressed
    together. Headers and checksums count, so short text looks worse than long
    text. A compressor learns from this text only; a trained model has learned
    from other text before.

    Brotli is the slowest, at about half a megabyte per second.

    Args:
        documents: `str` or bytes, or a list of documents.

    Returns:
        dict from `"gzip -9"`, `"xz -9e"`, `"zstd -19"` and `"brotli -11"` to
        bits per byte, floats.

    Raises:
        TypeError: if a document is not text.
        ValueError: if there are no bytes.
        ImportError: if brotli is not installed.

    Example:
    >>> ratios = compressors_bits_per_byte([b"a rose is ", b"a rose"] * 99)
    >>> list(ratios)
    ['gzip -9', 'xz -9e', 'zstd -19', 'brotli -11']
    >>> max(ratios.values()) < 1
    True
    """
    text = join_documents(documents)[0].tobytes()
    if not text:
        raise ValueError(
            "`documents` must hold at least one byte. Received: no text. Pass "
            "the held-out text."
        )
    try:
        import brotli
    except ImportError as error:
        raise ImportError(
            "The package brotli must be installed. Received: an "
            "installation without it. Install the extra [recipes], as in "
            '`pip install -e ".[recipes]"`.'
        ) from error
    # gzip's header holds the time; 0 makes the result deterministic.
    compressed = {
        "gzip -9": gzip.compress(text, 9, mtime=0),
        "xz -9e": lzma.compress(text, preset=9 | lzma.PRESET_EXTREME),
        "zstd -19": zstandard.ZstdCompressor(level=19).compress(text),
        "brotli -11": brotli.compress(text, quality=11),
    }
    return {name: 8 * len(c) / len(text) for name, c in compressed.items()}
