"""FLOPs that a model spends on a byte of text."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class FlopsPerByte:
    """FLOPs of one forward pass per byte of text, counted in three ways.

    Two FLOPs per parameter and token, attention scores left out, as in the
    paper (arXiv 2404.03626, section 4).

    Args:
        paper: float. Parameters without embeddings, and M1 on every byte.
        run: float. What runs here: a codebook needs no M1.
        with_logits: float. The same and the product with the embedding table
            that gives the logits, which is larger than the body of a small
            model.
    """

    paper: float
    run: float
    with_logits: float


def flops_per_byte(backbone, bytes_per_token, m1=None):
    """Count the FLOPs per byte of a model over tokens.

    Args:
        backbone: The `DecoderBackbone` that reads the tokens.
        bytes_per_token: float, of the text.
        m1: The `DecoderBackbone` that the tokens come from, in the paper's
            way of counting; `None` for tokens that need none.

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
    table = backbone.token_embedding.embeddings
    logits = 2 * table.shape[0] * table.shape[1] / bytes_per_token
    compressor = 0 if m1 is None else 2 * body_parameters(m1)
    return FlopsPerByte(
        paper=run + compressor, run=run, with_logits=run + logits
    )


def body_parameters(backbone):
    """Parameters of a backbone without its embedding table, an int."""
    return backbone.count_params() - backbone.token_embedding.count_params()
