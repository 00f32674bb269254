"""Tokenizers that recipes and benchmarks compare, and how each is made."""

import re

from keras_nc import tokenizers
from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from recipes.flags import say

#: Codebooks: the settings that differ from `Codebook.build`.
CODEBOOKS = {
    "phrases": {},
    "phrases, likely": dict(parse="likely"),
    "words": dict(units="words"),
    "any, greedy": dict(units="any", parse="greedy", prune=False),
    "any, aligned": dict(units="any", prune=False),
    "any, aligned, pruned": dict(units="any"),
    "any, flexible, pruned": dict(units="any", parse="flexible"),
    "any, likely, pruned": dict(units="any", parse="likely"),
    "any, likely aligned, pruned": dict(units="any", parse="likely_aligned"),
}
#: The windows of `Codebook.paper`, of n-gram counts.
PAPER = "paper"
#: Rounds of refitting the n-gram counts, for windows of any strings.
ROUNDS = 2
#: SentencePiece's models by their names in tables.
SENTENCEPIECE = {"SentencePiece BPE": "bpe", "SentencePiece unigram": "unigram"}
#: How byte-level BPE splits text first, by its names in tables.
BPE = {"BPE, GPT-2's splitting": "gpt2", "BPE without splitting": None}
BYTES = "bytes"
#: Bytes and special ids.
BYTE_IDS = 259
#: All of them, in the order of tables.
NAMES = (*SENTENCEPIECE, *BPE, BYTES, *CODEBOOKS, PAPER)


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
    window_bits = vocabulary_size.bit_length() - 1
    return tokenizers.EqualInfoTokenizer(
        build_codebook(name, text, window_bits)
    )


def build_codebook(name, text, window_bits):
    """Build one of `CODEBOOKS`, or `PAPER`.

    Args:
        name: str.
        text: A list of bytes.
        window_bits: int. W, bits per window.

    Returns:
        A `Codebook`.
    """
    if name == PAPER:
        counts = NGramModel.from_text(text)
        return Codebook.paper(counts, window_bits=window_bits)
    settings = dict(CODEBOOKS[name], text=text, window_bits=window_bits)
    if settings.get("units") == "any":
        settings["model"] = NGramModel.from_text(text)
        settings["rounds"] = ROUNDS
    return Codebook.build(**settings)


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
