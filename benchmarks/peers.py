"""Tokenizers to compare, all from the same text and of the same size."""

import dataclasses

from benchmarks import timing
from keras_nc.coding import Codebook
from keras_nc.entropy_models import NGramModel
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from keras_nc.tokenizers import train_sentencepiece

#: Codebooks from counts, by the arguments that tell them apart.
CODEBOOKS = {
    "arithmetic, greedy": {"allocation": "arithmetic"},
    "tunstall, greedy": {},
    "tunstall, aligned, pruned": {"parse": "aligned", "prune": True},
    "tunstall, flexible, pruned": {"parse": "flexible", "prune": True},
    "tunstall, likely, pruned": {"parse": "likely", "prune": True},
}
SENTENCEPIECE = {
    "SentencePiece unigram": "unigram",
    "SentencePiece BPE": "bpe",
}
#: With fewer, there is hardly more than the 256 bytes.
LEAST_IDS = 512


@dataclasses.dataclass
class Trained:
    """A tokenizer and what it cost to make.

    Args:
        tokenizer: A `SchemeTokenizer`.
        cost: A `timing.Cost`.
    """

    tokenizer: object
    cost: timing.Cost


def codebooks(text, window_bits, names=tuple(CODEBOOKS)):
    """Codebooks from counts, with two rounds of refitting.

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
        options = {"parse": "greedy", "prune": False, **CODEBOOKS[name]}
        with timing.costing() as cost:
            codebook = Codebook.build(
                counts, text, window_bits=window_bits, rounds=2, **options
            )
        cost.seconds += counting.seconds
        made[name] = Trained(EqualInfoTokenizer(codebook), cost)
    return made


def sentencepieces(text, vocabulary_size):
    """SentencePiece, unigram and BPE; a dict of `Trained` by name.

    Text of few megabytes has not enough pieces for a large unigram
    vocabulary: it is then the largest of half, a quarter, ... as many.
    """
    made = {}
    for name, model_type in SENTENCEPIECE.items():
        size = vocabulary_size
        while name not in made:
            try:
                with timing.costing() as cost:
                    tokenizer = train_sentencepiece(text, size, model_type)
                made[name] = Trained(tokenizer, cost)
            except ValueError:
                if size <= LEAST_IDS:
                    raise
                size //= 2
    return made


def dictionary(text, vocabulary_size):
    """The frequency-built dictionary; a dict of one `Trained`."""
    with timing.costing() as cost:
        tokenizer = train_dictionary(text, vocabulary_size)
    return {"dictionary of frequent strings": Trained(tokenizer, cost)}


def bpes(text, vocabulary_size, splits=("gpt2", None)):
    """Byte-level BPE by its splitting; a dict of `Trained` by name."""
    made = {}
    for split in splits:
        name = "BPE, GPT-2's splitting" if split else "BPE without splitting"
        with timing.costing() as cost:
            tokenizer = train_bpe(text, vocabulary_size, split)
        made[name] = Trained(tokenizer, cost)
    return made
