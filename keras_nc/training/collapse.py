"""When a training loss is lost, and how good it must have been before."""

import math

import numpy as np

#: Tokens to count ids in; more do not change the figure.
_SAMPLE = 2**22
#: What a model must have learned before it can lose it, as a share of the
#: unigram loss. Less may be the noise of a plateau.
_LEARNED = 0.1
#: How much of that may be lost.
_LOST = 0.5


def unigram_nats(shards):
    """Loss of a model that knows how frequent each id is, and no more.

    Args:
        shards: `TokenShards`, of which the beginning is counted.

    Returns:
        float, nats per token; at most that of the uniform distribution.
    """
    ids = shards.tokens(0, min(shards.num_tokens, _SAMPLE))
    counts = np.bincount(ids)
    shares = counts[counts > 0] / len(ids)
    return float(-(shares @ np.log(shares)))


def has_collapsed(loss, best, unigram):
    """Whether a model has unlearned what it knew.

    Runs over compressed text may fall back to the unigram or the uniform
    distribution and stay there. What a model has learned is how far its loss
    is below the unigram loss. It has collapsed if it had learned at least a
    tenth of the unigram loss, and has lost more than half of that; or if its
    loss is not finite.

    Args:
        loss: float. Mean loss of the last epoch, in nats per token.
        best: float. The lowest of the epochs before, infinity if none.
        unigram: float. The unigram loss.

    Returns:
        bool.

    Example:
    >>> has_collapsed(loss=3.2, best=2.0, unigram=3.0)
    True
    >>> has_collapsed(loss=3.1, best=2.9, unigram=3.0)  # nothing learned yet
    False
    """
    if not math.isfinite(loss):
        return True
    learned = unigram - best
    if learned < _LEARNED * unigram:
        return False
    return unigram - loss < (1 - _LOST) * learned
