"""FLOPs of a training step."""

from keras_nc.coding.checks import as_integer


def training_flops_per_token(backbone, sequence_length):
    """FLOPs that training on one token needs, forward and backward.

    Six per parameter, the table once, for its product with the hidden state
    gives the logits; and attention over the whole sequence, `12 * layers * H *
    head_dim * T`, masked positions counted. It is what the model needs, so
    that repeated forward passes (gradient checkpointing) do not count: model
    FLOPs utilisation as in PaLM (arXiv 2204.02311, appendix B).

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
    return 6 * backbone.count_params() + attention
