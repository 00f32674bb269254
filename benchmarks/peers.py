"""Make the tokenizers to compare, from the same text, of the same size."""

import dataclasses
import functools
from collections.abc import Callable

from benchmarks import timing
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from recipes import contenders
from recipes.flags import say

#: The codebooks of `recipes.contenders` whose speed is measured.
CODEBOOKS = (
    "phrases",
    "phrases, likely",
    "words",
    "any, greedy",
    "any, aligned, pruned",
    contenders.PAPER,
)
#: The SentencePiece models that come first in tables.
SENTENCEPIECE = ("SentencePiece unigram", "SentencePiece BPE")

#: How rows of gigatoken begin.
GIGATOKEN = "gigatoken"


@dataclasses.dataclass
class Trained:
    """A tokenizer and what it cost to make.

    Args:
        tokenizer: A `SchemeTokenizer`.
        cost: A `timing.Cost`.
    """

    tokenizer: object
    cost: timing.Cost


@dataclasses.dataclass
class Gigatoken:
    """The encoders of a model of gigatoken, in one thread.

    Args:
        encode_batch: A function of a list of str.
        encode: A function of a str.
    """

    encode_batch: Callable
    encode: Callable


def codebooks(text, window_bits, names=CODEBOOKS):
    """Build codebooks.

    Args:
        text: Documents, a list of bytes.
        window_bits: int. W, bits per window.
        names: Which of `CODEBOOKS`.

    Returns:
        A dict of `Trained` by name.
    """
    made = {}
    for name in names:
        with timing.costing() as cost:
            codebook = contenders.build_codebook(name, text, window_bits)
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
    for name, split in contenders.BPE.items():
        if split in splits:
            with timing.costing() as cost:
                tokenizer = train_bpe(text, vocabulary_size, split)
            made[name] = Trained(tokenizer, cost)
    return made


def gigatokens(trained, texts):
    """Load the models that gigatoken can load.

    It is the fastest encoder of BPE that we know. It loads byte-level BPE and
    SentencePiece's BPE. If its ids differ from the library's, print that.

    Args:
        trained: dict of `Trained` by name.
        texts: A list of str, on which the ids are compared.

    Returns:
        dict of `Gigatoken` by `gigatoken: <name>`; empty if gigatoken is not
        installed.
    """
    try:
        import gigatoken
    except ImportError:
        return {}
    found = {}
    for name, peer in trained.items():
        scheme = peer.tokenizer.scheme
        if scheme.name == "bpe":
            model = gigatoken.Tokenizer.from_json(scheme.model)
        elif contenders.SENTENCEPIECE.get(name) == "bpe":
            model = gigatoken.Tokenizer.from_sentencepiece(scheme.proto)
        else:
            continue
        encoders = Gigatoken(
            functools.partial(model.encode_batch, parallel=False), model.encode
        )
        ids = encoders.encode_batch(texts).to_list()
        theirs = library_encoder(scheme)(texts)
        others = sum(a != b for a, b in zip(ids, theirs, strict=True))
        if others:
            say(
                f"gigatoken has other ids than {name} in {others} of "
                f"{len(texts)} pieces"
            )
        found[f"{GIGATOKEN}: {name}"] = encoders
    return found


def library_encoder(scheme):
    """Return the library's own encoder, without our code.

    Args:
        scheme: The `Scheme` of SentencePiece or of BPE.

    Returns:
        A function from a list of str to a list of lists of int.
    """
    if scheme.name == "sentencepiece":
        return functools.partial(scheme.processor.encode, num_threads=1)
    encode = scheme.tokenizer.encode_batch_fast
    return lambda texts: [encoding.ids for encoding in encode(texts)]
