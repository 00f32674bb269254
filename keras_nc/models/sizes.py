"""The paper's model sizes, by name.

Parameters of a block: four attention projections of `D x D` and three MLP
projections of `D x intermediate_dim`. Counts exclude embeddings, as in the
paper: 3m 3.15M, 25m 25.17M, 113m 113.2M, 403m 402.7M, 2b 1.61B.
"""

SIZES = {
    "3m": dict(
        num_layers=3, num_heads=4, hidden_dim=256, intermediate_dim=1024
    ),
    "25m": dict(
        num_layers=6, num_heads=8, hidden_dim=512, intermediate_dim=2048
    ),
    "113m": dict(
        num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072
    ),
    "403m": dict(
        num_layers=24, num_heads=16, hidden_dim=1024, intermediate_dim=4096
    ),
    "2b": dict(
        num_layers=24, num_heads=32, hidden_dim=2048, intermediate_dim=8192
    ),
}


def size_config(size):
    """Backbone arguments of a size.

    Args:
        size: str. `"3m"`, `"25m"`, `"113m"`, `"403m"` or `"2b"`.

    Returns:
        A dict of constructor arguments.

    Raises:
        ValueError: If there is no such size.
    """
    if size not in SIZES:
        raise ValueError(
            f"`size` must be one of {list(SIZES)}. Received: size={size!r}"
        )
    return dict(SIZES[size])
