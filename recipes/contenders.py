"""Tokenizers that recipes and benchmarks compare, and how each is made."""

import re

from keras_nc import tokenizers
from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
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
#: How byte-level BPE splits text first, by its names in tables.
BPE = {"BPE, GPT-2's splitting": "gpt2", "BPE without splitting": None}
BYTES = "bytes"
#: All of them, in the order of tables.
NAMES = (*SENTENCEPIECE, *BPE, BYTES, *CODEBOOKS)


def make_tokenizer(name, text, vocabulary_size):
    """Make one of `NAMES`.

    Args:
        name: str.
        text: A list of bytes to learn from.
        vocabulary_size: int. Number of ids; a power of two for codebooks. Bytes
            have 259. If the text has too few pieces, there are fewer.

    Returns:
        A `SchemeTokenizer`.
    """
    if name == BYTES:
        return tokenizers.ByteTokenizer()
    if name in SENTENCEPIECE:
        return train_sentencepiece(text, vocabulary_size, SENTENCEPIECE[name])
    if name in BPE:
        return train_bpe(text, vocabulary_size, BPE[name])
    counts = NGramModel.from_text(text)
    codebook = build_codebook(
        name, counts, text, vocabulary_size.bit_length() - 1
    )
    return tokenizers.EqualInfoTokenizer(codebook)


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
    return _with_fewer_pieces(
        tokenizers.train_sentencepiece,
        # SentencePiece says how many pieces it can make.
        r"a value <= (\d+)",
        text,
        vocabulary_size,
        model_type,
    )


def train_bpe(text, vocabulary_size, split):
    """Train byte-level BPE; if the text is short, on fewer pieces.

    Args:
        text: A list of bytes.
        vocabulary_size: int. Number of ids; if the text has fewer pieces, all
            of these.
        split: `str` or `None`. See `keras_nc.tokenizers.train_bpe`.

    Returns:
        A `BPETokenizer`.
    """
    return _with_fewer_pieces(
        tokenizers.train_bpe,
        r"text that gives ([\d,]+)",
        text,
        vocabulary_size,
        split,
    )


def _with_fewer_pieces(train, pattern, text, vocabulary_size, how):
    """Train; if an error says how many pieces the text has, train again."""
    try:
        return train(text, vocabulary_size, how)
    except ValueError as error:
        found = re.search(pattern, str(error))
        most = found and int(found[1].replace(",", ""))
        if not most or most >= vocabulary_size:
            raise
    say(f"The text has only {most:,} pieces of this kind")
    return _with_fewer_pieces(train, pattern, text, most, how)
