"""Measure tokenizers and models.

Bits per byte of models, of two simple rules and of compressors; FLOPs per byte
of text and per training token; and how stable the tokens of a sentence are.
"""

import dataclasses
import gzip
import itertools
import lzma
import math

import numpy as np
import zstandard

from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import join_documents
from keras_nc.imports import need


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
    brotli = need("brotli", "recipes", "Compression by brotli")
    # gzip's header holds the time; 0 makes the result deterministic.
    compressed = {
        "gzip -9": gzip.compress(text, 9, mtime=0),
        "xz -9e": lzma.compress(text, preset=9 | lzma.PRESET_EXTREME),
        "zstd -19": zstandard.ZstdCompressor(level=19).compress(text),
        "brotli -11": brotli.compress(text, quality=11),
    }
    return {name: 8 * len(c) / len(text) for name, c in compressed.items()}


@dataclasses.dataclass(frozen=True)
class FlopsPerByte:
    """FLOPs of one forward pass per byte of text, counted in three ways.

    As in the paper, each counts two FLOPs per parameter and token, and leaves
    out attention scores (arXiv 2404.03626, section 4).

    Args:
        paper: float. Parameters without embeddings, plus M1 on every byte.
        run: float. Parameters without embeddings: a codebook needs no M1.
        with_logits: float. `run`, plus the product with the embedding table
            that gives the logits. In a small model, this product is larger than
            the rest.
    """

    paper: float
    run: float
    with_logits: float


def flops_per_byte(backbone, bytes_per_token, m1=None):
    """Count the FLOPs per byte of a model over tokens.

    Args:
        backbone: The `DecoderBackbone` that reads the tokens.
        bytes_per_token: float. Bytes per token of the text.
        m1: The `DecoderBackbone` that the paper runs on every byte to make the
            tokens, or `None`.

    Returns:
        A `FlopsPerByte`.

    Raises:
        ValueError: If `bytes_per_token` is not positive and finite.

    Example:
    >>> from keras_nc.models import ByteBackbone
    >>> m1 = ByteBackbone(
    ...     num_layers=1, num_heads=1, hidden_dim=8, intermediate_dim=16
    ... )
    >>> flops_per_byte(m1, 1.0).run == 2 * body_parameters(m1)
    True
    """
    if not 0 < bytes_per_token < math.inf:
        raise ValueError(
            "`bytes_per_token` must be positive and finite. "
            f"Received: bytes_per_token={bytes_per_token}"
        )
    run = 2 * body_parameters(backbone) / bytes_per_token
    logits = 2 * table_size(backbone) / bytes_per_token
    compressor = 0 if m1 is None else 2 * body_parameters(m1)
    return FlopsPerByte(
        paper=run + compressor, run=run, with_logits=run + logits
    )


def body_parameters(backbone):
    """Count the parameters of a backbone without its embedding table."""
    return backbone.count_params() - backbone.token_embedding.count_params()


def table_size(backbone):
    """Count the numbers in a backbone's table of a vector for each id.

    Vectors of n-grams are not among them: their sums take one addition for each
    n-gram of the vocabulary and step, not of each token.
    """
    rows, width = backbone.token_embedding.embeddings.shape
    return rows * width


def training_flops_per_token(backbone, sequence_length):
    """Count the FLOPs of training on one token, forward and backward.

    Training takes six FLOPs per parameter. The embedding table counts once, for
    the logits. Attention over the sequence adds
    `12 * layers * H * head_dim * T`, with masked positions. Repeated forward
    passes of gradient checkpointing do not count, because the model itself does
    not need them. This is the count behind model FLOPs utilization in PaLM
    (arXiv 2204.02311, appendix B).

    Args:
        backbone: A `DecoderBackbone`.
        sequence_length: int, T.

    Returns:
        int.

    Example:
    >>> from keras_nc.models import ByteBackbone
    >>> m1 = ByteBackbone(
    ...     num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> training_flops_per_token(m1, 32) == 6 * m1.count_params() + 12 * 8 * 32
    True
    """
    sequence_length = as_integer("sequence_length", sequence_length, 1)
    width = backbone.num_heads * backbone.head_dim
    attention = 12 * backbone.num_layers * width * sequence_length
    products = body_parameters(backbone) + table_size(backbone)
    return 6 * products + attention


def instability(tokenizer, sentence, first_words):
    """Compare the tokens of one sentence after different first words.

    Put each first word before the sentence, and tokenize it. The result is the
    mean Levenshtein distance between successive results, divided by the mean
    number of tokens (arXiv 2404.03626, section 6.3). The tokens of the first
    words always differ, but in a long sentence this matters little.

    Args:
        tokenizer: A tokenizer of `keras_nc.tokenizers`, or anything with its
            `encode_batch`.
        sentence: `str` or `bytes`.
        first_words: A list of at least two `str` or `bytes`.

    Returns:
        float: 0 if no token changes, about 1 if all tokens change.

    Raises:
        TypeError: If something is not text.
        ValueError: If there are fewer than two words, or no bytes.

    Example:
    >>> from keras_nc.tokenizers import ByteTokenizer
    >>> sentence = b" is the first word of this sentence."
    >>> changed = instability(ByteTokenizer(), sentence, [b"This", b"That"])
    >>> round(changed * len(b"This" + sentence))
    2
    """
    sentence, first_words = as_bytes(sentence), as_documents(first_words)
    if len(first_words) < 2:
        raise ValueError(
            "Stability needs at least two first words. Received: "
            f"{len(first_words)}. Pass a list of different words."
        )
    if not any(first_words) and not sentence:
        raise ValueError(
            "Stability needs at least one byte. Received: an empty sentence "
            "and empty first words. Pass a sentence of many words."
        )
    ids, offsets = tokenizer.encode_batch([w + sentence for w in first_words])
    rows = [ids[i:j].tolist() for i, j in itertools.pairwise(offsets)]
    distances = [levenshtein(a, b) for a, b in itertools.pairwise(rows)]
    return sum(distances) / len(distances) * len(rows) / len(ids)


def levenshtein(a, b):
    """Count the insertions, deletions and changes that make `a` into `b`.

    Args:
        a: A sequence.
        b: A sequence.

    Returns:
        int.

    Example:
    >>> levenshtein("kitten", "sitting")
    3
    """
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1]
