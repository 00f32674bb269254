"""Tokenizers that recipes and benchmarks compare, and how each is made."""

import re

from keras_nc import tokenizers
from keras_nc.coding import Codebook
from recipes.flags import say

#: Codebooks from counts: the settings that differ from `Codebook.build`.
CODEBOOKS = {
    "arithmetic, greedy": dict(
        allocation="arithmetic", parse="greedy", prune=False
    ),
    "tunstall, greedy": dict(parse="greedy", prune=False),
    "tunstall, aligned": dict(prune=False),
    "tunstall, aligned, pruned": {},
    "tunstall, flexible, pruned": dict(parse="flexible"),
    "tunstall, likely, pruned": dict(parse="likely"),
    "tunstall, likely aligned, pruned": dict(parse="likely_aligned"),
}
#: Rounds of refitting the counts, the same for all.
ROUNDS = 2
#: SentencePiece's models by their names in tables.
SENTENCEPIECE = {"SentencePiece BPE": "bpe", "SentencePiece unigram": "unigram"}


def build_codebook(name, counts, text, window_bits):
    """Build one of `CODEBOOKS`.

    Args:
        name: str.
        counts: An `NGramModel` of the text.
        text: A list of bytes.
        window_bits: int. W, bits per window.

    Returns:
        A `Codebook`.
    """
    return Codebook.build(
        counts,
        text,
        window_bits=window_bits,
        rounds=ROUNDS,
        **CODEBOOKS[name],
    )


def train_sentencepiece(text, vocabulary_size, model_type):
    """Train SentencePiece; if the text is short, on fewer pieces.

    Args:
        text: A list of bytes.
        vocabulary_size: int. Number of pieces; if the text has fewer, all of
            these.
        model_type: str. See `keras_nc.tokenizers.train_sentencepiece`.

    Returns:
        A `SentencePieceTokenizer`.
    """
    try:
        return tokenizers.train_sentencepiece(text, vocabulary_size, model_type)
    except ValueError as error:
        # SentencePiece says how many pieces it can make.
        most = re.search(r"a value <= (\d+)", str(error))
        if not most or int(most[1]) >= vocabulary_size:
            raise
        say(f"The text has only {int(most[1]):,} pieces for SentencePiece")
        return train_sentencepiece(text, int(most[1]), model_type)
