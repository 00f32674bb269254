"""Measure how many tokens of a sentence depend on the words before it."""

import itertools

from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_documents


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
