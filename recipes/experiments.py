"""The paper's tokenizations of text, by name, for `recipes.reproduce`.

To add your own, define an `Experiment` in a module and pass the module as
`--module`; docs/results.md shows one.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable

from keras_nc import tokenizers
from keras_nc.coding import Codebook
from recipes import contenders

#: The name for n-gram counts of the training text as M1, instead of a preset.
COUNTS = "counts"
#: M1's context; the paper trained M1 on sequences of this length.
CONTEXT_BYTES = 1024
#: Bits of a probability.
PRECISION = 14


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One way to turn text into tokens.

    Args:
        name: str. What `--experiment` takes.
        row: str. Its row in the tables, the paper's if the paper has it.
        make: A function that returns a `SchemeTokenizer`. It takes a list of
            bytes to learn from, and a function without arguments that returns
            M1, an `EntropyModel`. It is sent to other processes, so it must be
            a function of a module, or a `functools.partial` of one.
        ids: int. Size of the vocabulary.
        runs_m1: bool. Whether tokenizing runs M1 over every byte.
        continues: bool. Whether a model over these ids can continue a text.
        paper: bool. Whether the paper has this experiment. These have rows in
            all tables, even if they were not run.
    """

    name: str
    row: str
    make: Callable
    ids: int
    runs_m1: bool = False
    continues: bool = True
    paper: bool = True


def load_m1(name, text):
    """Return M1 as an entropy model.

    Args:
        name: str. `"counts"`, or a preset or folder of a `ByteCausalLM`.
        text: A list of bytes, for counts.
    """
    from keras_nc.entropy_models import ByteLMModel
    from keras_nc.entropy_models import NGramModel

    if name == COUNTS:
        return NGramModel.from_text(text)
    from keras_nc.models import ByteCausalLM

    return ByteLMModel(ByteCausalLM.from_preset(name))


def _bytes(text, m1):
    return tokenizers.ByteTokenizer()


def _sentencepiece(text, m1, ids):
    return contenders.train_sentencepiece(text, ids, "unigram")


def _gzip(text, m1, token_bits):
    return tokenizers.GZipTokenizer(token_bits=token_bits)


def _stream(text, m1, token_bits):
    return tokenizers.ArithmeticTokenizer(
        m1(),
        token_bits,
        precision=PRECISION,
        context_bytes=CONTEXT_BYTES,
        checksum=False,
    )


def _static(text, m1, token_bits):
    from keras_nc.entropy_models import UnigramModel

    unigram = UnigramModel.from_text(text)
    return _stream(text, lambda: unigram, token_bits)


def _zero_padded(text, m1, **settings):
    return tokenizers.ZeroPaddedTokenizer(
        m1(),
        precision=PRECISION,
        context_bytes=CONTEXT_BYTES,
        encode_only=True,
        **settings,
    )


def _live(text, m1, window_bits, token_bits):
    return tokenizers.LiveWindowTokenizer(
        m1(), window_bits, token_bits, checksum=False
    )


def _exact(text, m1, token_bits):
    codebook = Codebook.paper(m1(), window_bits=16)
    return tokenizers.EqualInfoTokenizer(codebook, token_bits)


def _phrases(text, m1, window_bits):
    codebook = Codebook.build(text=text, window_bits=window_bits)
    return tokenizers.EqualInfoTokenizer(codebook)


#: Vocabularies by their names in the paper; each has 3 special ids.
_VOCABULARIES = {"v256": 8, "v65k": 16}


def _all():
    yield Experiment("bytes", "Bytes", _bytes, 259)
    for ids, label in ((32_000, "32k"), (4_096, "4k")):
        yield Experiment(
            f"sentencepiece_{label}",
            "SentencePiece" if label == "32k" else f"SentencePiece {label}",
            functools.partial(_sentencepiece, ids=ids),
            ids,
            paper=label == "32k",
        )
    for label, bits in _VOCABULARIES.items():
        ids = 2**bits + 3
        compressed = functools.partial(
            Experiment, ids=ids, runs_m1=True, continues=False
        )
        yield compressed(
            f"ac_{label}",
            f"AC {label}",
            functools.partial(_stream, token_bits=bits),
        )
        yield Experiment(
            f"static_ac_{label}",
            f"StaticAC {label}",
            functools.partial(_static, token_bits=bits),
            ids,
            continues=False,
        )
        yield Experiment(
            f"gzip_{label}",
            f"GZip {label}",
            functools.partial(_gzip, token_bits=bits),
            ids,
            continues=False,
        )
        for window_bits in (16, 24, 32, 64, 128):
            yield compressed(
                f"b{window_bits}_{label}",
                f"EqualInfo b{window_bits} {label}",
                functools.partial(
                    _zero_padded, window_bits=window_bits, token_bits=bits
                ),
            )
        variants = {
            "delay": ("Delay", dict(delay=True)),
            "reset_2": ("M1 reset every 2nd window", dict(reset_every=2)),
            "never": ("M1 never reset", dict(reset_every=None)),
        }
        for name, (title, settings) in variants.items():
            yield compressed(
                f"b16_{label}_{name}",
                f"EqualInfo b16 {label}, {title}",
                functools.partial(
                    _zero_padded, window_bits=16, token_bits=bits, **settings
                ),
            )
        yield Experiment(
            f"b16_{label}_exact",
            f"EqualInfo b16 {label}, exact",
            functools.partial(_exact, token_bits=bits),
            259 if bits == 8 else 2**16,
            paper=False,
        )
        for window_bits in (24, 32, 64, 128):
            yield Experiment(
                f"b{window_bits}_{label}_exact",
                f"EqualInfo b{window_bits} {label}, exact",
                functools.partial(
                    _live, window_bits=window_bits, token_bits=bits
                ),
                ids,
                runs_m1=True,
                paper=False,
            )
    for window_bits, label in ((16, "65k"), (12, "4k")):
        yield Experiment(
            f"phrases_{label}",
            f"Words and phrases {label}",
            functools.partial(_phrases, window_bits=window_bits),
            2**window_bits,
            paper=False,
        )


#: All of them by name, in the order of tables.
EXPERIMENTS = {experiment.name: experiment for experiment in _all()}
#: Experiments with few ids, which a CPU trains in minutes at size `tiny`. The
#: first ones are run first.
FEW_IDS = (
    "bytes",
    "sentencepiece_4k",
    "phrases_4k",
    "gzip_v256",
    "static_ac_v256",
    "b16_v256",
    "b16_v256_exact",
    "ac_v256",
    "b16_v256_never",
    "b64_v256",
    "b16_v256_reset_2",
    "b32_v256",
    "b128_v256",
    "b16_v256_delay",
)


def all_experiments(module=None):
    """Return all experiments by name, and those of the user's module, if any.

    Raises:
        ValueError: If there is no such module, or it has no `EXPERIMENTS`.
    """
    if module is None:
        return EXPERIMENTS
    try:
        own = list(importlib.import_module(module).EXPERIMENTS)
        found = {experiment.name: experiment for experiment in own}
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(
            "--module must name a Python module with a list `EXPERIMENTS`. "
            f"Received: --module {module} ({error}). Start the recipe in the "
            "module's folder; docs/results.md shows one."
        ) from error
    taken = found.keys() & EXPERIMENTS.keys()
    if taken or len(found) < len(own):
        raise ValueError(
            "Each experiment must have a name of its own. Received: "
            f"{', '.join(sorted(taken)) or 'the same name twice'} in --module "
            f"{module}. Choose other names."
        )
    return {**EXPERIMENTS, **found}


def make_tokenizer(experiment, m1, name, text, ids):
    """Make the tokenizer of an experiment; see `preparation.Job.make`."""
    return experiment.make(text, functools.partial(load_m1, m1, text))
