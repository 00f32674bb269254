"""Make the tokenizers to compare, from the same text, of the same size."""

import dataclasses

from benchmarks import timing
from keras_nc.entropy_models import NGramModel
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from recipes import contenders

#: The codebooks of `recipes.contenders` whose speed is measured.
CODEBOOKS = (
    "arithmetic, greedy",
    "tunstall, greedy",
    "tunstall, aligned, pruned",
    "tunstall, flexible, pruned",
    "tunstall, likely, pruned",
)
#: The SentencePiece models that come first in tables.
SENTENCEPIECE = ("SentencePiece unigram", "SentencePiece BPE")


@dataclasses.dataclass
class Trained:
    """A tokenizer and what it cost to make.

    Args:
        tokenizer: A `SchemeTokenizer`.
        cost: A `timing.Cost`.
    """

    tokenizer: object
    cost: timing.Cost


def codebooks(text, window_bits, names=CODEBOOKS):
    """Build codebooks from counts, with two rounds of refitting.

    Args:
        text: Documents, a list of bytes.
        window_bits: int. W, bits per window.
        names: Which of `CODEBOOKS`.

    Returns:
        A dict of `Trained` by name. Each one's cost includes the counting.
    """
    with timing.costing() as counting:
        counts = NGramModel.from_text(text)
    made = {}
    for name in names:
        with timing.costing() as cost:
            codebook = contenders.build_codebook(
                name, counts, text, window_bits
            )
        cost.seconds += counting.seconds
        made[name] = Trained(EqualInfoTokenizer(codebook), cost)
    return made


def sentencepieces(text, vocabulary_size):
    """Train SentencePiece, unigram and BPE; return a dict of `Trained`.

    Text of few megabytes has not enough pieces for a large unigram
    vocabulary, which then has all that there are.
    """
    made = {}
    for name in SENTENCEPIECE:
        with timing.costing() as cost:
            tokenizer = contenders.train_sentencepiece(
                text, vocabulary_size, contenders.SENTENCEPIECE[name]
            )
        made[name] = Trained(tokenizer, cost)
    return made


def dictionary(text, vocabulary_size):
    """Train the dictionary of frequent strings; return a dict of `Trained`."""
    with timing.costing() as cost:
        tokenizer = train_dictionary(text, vocabulary_size)
    return {"dictionary of frequent strings": Trained(tokenizer, cost)}


def bpes(text, vocabulary_size, splits=("gpt2", None)):
    """Train byte-level BPE with each splitting; return a dict of `Trained`."""
    made = {}
    for split in splits:
        name = "BPE, GPT-2's splitting" if split else "BPE without splitting"
        with timing.costing() as cost:
            tokenizer = train_bpe(text, vocabulary_size, split)
        made[name] = Trained(tokenizer, cost)
    return made
