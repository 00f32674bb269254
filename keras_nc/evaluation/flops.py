"""Count the FLOPs of a model: per byte of text, and per training token."""

import dataclasses
import math

from keras_nc.coding.inputs import as_integer


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
