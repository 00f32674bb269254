"""The configurations of the recipes, by name."""

import dataclasses

from keras_nc.coding.build import UNITS
from keras_nc.coding.parses import PARSES
from keras_nc.presets import BYTE_LMS

#: What the fields may be, for flags that override a configuration.
POSITIONS = ("relative_bias", "rope")
EMBEDDINGS = ("plain", "bytes")
OPTIMIZERS = ("adafactor", "adamw", "muon")
SCHEDULES = ("rsqrt", "cosine", "constant")
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16")


def _one_of(choices, default=dataclasses.MISSING):
    """Return a field that takes one of these values."""
    metadata = {"choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


def _from(least, default):
    """Return a field that takes integers from `least` on, not from 1."""
    return dataclasses.field(default=default, metadata={"least": least})


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes of a decoder; see `keras_nc.models.CompressedBackbone`."""

    num_layers: int
    num_heads: int
    hidden_dim: int
    intermediate_dim: int
    position: str = _one_of(POSITIONS, "relative_bias")
    embedding: str = _one_of(EMBEDDINGS, "plain")


@dataclasses.dataclass(frozen=True)
class Training:
    """One training run; see `keras_nc.training`."""

    sequence_length: int  # T, tokens
    batch_size: int  # B, sequences
    steps: int
    steps_per_epoch: int  # steps between checkpoints
    optimizer: str = _one_of(OPTIMIZERS, "adafactor")
    learning_rate: float = 0.01  # at the peak
    schedule: str = _one_of(SCHEDULES, "rsqrt")
    warmup_steps: int = 10_000
    z_loss: float = 0.0
    seed: int = _from(0, 0)
    short_length: int | None = None  # tokens, in every `short_every`-th batch
    short_every: int = 4


@dataclasses.dataclass(frozen=True)
class Codebook:
    """The windows: what `keras_nc.coding.Codebook.build` recommends."""

    window_bits: int = _one_of(range(9, 17), 16)
    token_bits: int | None = None  # None: one token per window
    # M1 of this run, n-gram counts, or a built-in M1.
    entropy_model: str = _one_of(("m1", "counts", *BYTE_LMS), "m1")
    paper: bool = False  # the paper's windows, by `Codebook.paper`
    units: str = _one_of(UNITS, "phrases")
    parse: str | None = _one_of(PARSES, None)  # None: the best for the units
    price: float | None = None  # bits; None: the best for the units
    text_bytes: int = 64_000_000  # of text to count, parse and refit in


@dataclasses.dataclass(frozen=True)
class SentencePiece:
    """The subword baseline."""

    vocabulary_size: int = 32_000
    model_type: str = _one_of(("unigram", "bpe"), "unigram")
    text_bytes: int = 64_000_000  # of text to train on


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a workdir."""

    m1: Model
    m1_training: Training
    codebook: Codebook
    sentencepiece: SentencePiece
    m2: Model
    m2_training: Training  # of the baselines, too: equal tokens
    train_bytes: int | None = None  # most text to tokenize; None: all
    held_out_bytes: int = 16_000_000  # most text to evaluate on at the end
    probe_bytes: int = 1_000_000  # part of it that is scored during training
    dtype: str = _one_of(DTYPES, "float32")
    prompts: int = 8  # held-out texts to continue
    prompt_bytes: int = 200
    continuation_bytes: int = 400


def paper_model(num_layers, num_heads, hidden_dim):
    """The paper's architecture (arXiv 2404.03626, section 3)."""
    return Model(num_layers, num_heads, hidden_dim, 4 * hidden_dim)


SIZE_3M = paper_model(3, 4, 256)
PAPER_M1_TRAINING = Training(
    sequence_length=1024,
    batch_size=128,
    steps=2_500_000,
    steps_per_epoch=1_000,
    z_loss=1e-4,
)
PAPER_M2_TRAINING = Training(
    sequence_length=512,
    batch_size=256,
    steps=200_000,
    steps_per_epoch=500,
    z_loss=1e-4,
)


STUDY_TRAINING = Training(
    sequence_length=256,
    batch_size=16,
    steps=2_000,
    steps_per_epoch=50,
    optimizer="adamw",
    learning_rate=3e-3,
    schedule="cosine",
    warmup_steps=100,
)


#: How `byte_lm_3m_en` and `compressed_lm_3m_en` were trained.
PRESETS = Config(
    m1=SIZE_3M,
    m1_training=Training(
        sequence_length=1024,
        batch_size=128,
        steps=1_500,
        steps_per_epoch=100,
        optimizer="adamw",
        learning_rate=4e-3,
        schedule="cosine",
        warmup_steps=75,
        z_loss=1e-4,
        short_length=64,
    ),
    codebook=Codebook(window_bits=12, entropy_model="counts"),
    sentencepiece=SentencePiece(4_096, "unigram"),
    m2=SIZE_3M,
    m2_training=Training(
        sequence_length=256,
        batch_size=128,
        steps=1_000,
        steps_per_epoch=100,
        optimizer="adamw",
        learning_rate=3e-3,
        schedule="cosine",
        warmup_steps=50,
    ),
    dtype="mixed_bfloat16",
)


def paper(num_layers, num_heads, hidden_dim):
    """The paper's runs: 200,000 * 256 * 512 = 26.2B tokens of M2."""
    return Config(
        m1=SIZE_3M,
        m1_training=PAPER_M1_TRAINING,
        codebook=Codebook(paper=True),
        sentencepiece=SentencePiece(),
        m2=paper_model(num_layers, num_heads, hidden_dim),
        m2_training=PAPER_M2_TRAINING,
        dtype="mixed_bfloat16",
    )


CONFIGS = {
    # Seconds: shows that everything runs, and nothing else.
    "smoke": Config(
        m1=Model(1, 2, 32, 64),
        m1_training=Training(
            sequence_length=64,
            batch_size=8,
            steps=20,
            steps_per_epoch=10,
            optimizer="adamw",
            warmup_steps=5,
        ),
        codebook=Codebook(window_bits=9),
        sentencepiece=SentencePiece(512, "bpe"),
        m2=Model(1, 2, 32, 64),
        m2_training=Training(
            sequence_length=64,
            batch_size=8,
            steps=20,
            steps_per_epoch=10,
            optimizer="adamw",
            warmup_steps=5,
        ),
        train_bytes=200_000,
        held_out_bytes=20_000,
        probe_bytes=10_000,
        prompts=2,
        prompt_bytes=40,
        continuation_bytes=16,
    ),
    # Minutes on two CPU cores: `make demo`.
    "tiny": Config(
        m1=Model(2, 4, 128, 512),
        m1_training=Training(
            sequence_length=128,
            batch_size=16,
            steps=1_200,
            steps_per_epoch=100,
            optimizer="adamw",
            learning_rate=3e-3,
            schedule="cosine",
            warmup_steps=100,
        ),
        codebook=Codebook(window_bits=12, text_bytes=8_000_000),
        sentencepiece=SentencePiece(4_096, "bpe"),
        m2=Model(2, 4, 128, 512),
        m2_training=Training(
            sequence_length=128,
            batch_size=16,
            steps=400,
            steps_per_epoch=25,
            optimizer="adamw",
            learning_rate=3e-3,
            warmup_steps=50,
        ),
        probe_bytes=50_000,
        prompts=4,
        prompt_bytes=160,
        continuation_bytes=240,
    ),
    # What decides between tokenizers, by `recipes.compare_tokenizers`: 8.2M
    # tokens of M2. About an hour a run on two CPU cores.
    "study": Config(
        m1=SIZE_3M,
        m1_training=STUDY_TRAINING,
        codebook=Codebook(window_bits=12, entropy_model="counts"),
        sentencepiece=SentencePiece(4_096, "bpe"),
        m2=SIZE_3M,
        m2_training=STUDY_TRAINING,
        probe_bytes=200_000,
    ),
    # An hour on one GPU.
    "small": Config(
        m1=SIZE_3M,
        m1_training=Training(
            sequence_length=512,
            batch_size=64,
            steps=10_000,
            steps_per_epoch=250,
            optimizer="muon",
            learning_rate=0.01,
            schedule="cosine",
            warmup_steps=200,
        ),
        codebook=Codebook(),
        sentencepiece=SentencePiece(65_536, "bpe"),
        m2=paper_model(6, 8, 512),
        m2_training=Training(
            sequence_length=512,
            batch_size=64,
            steps=5_000,
            steps_per_epoch=250,
            optimizer="muon",
            learning_rate=0.005,
            warmup_steps=200,
        ),
        dtype="mixed_bfloat16",
    ),
    # The built-in presets, on 198.6 MB of text; minutes on one GPU.
    "m1_3m_en": PRESETS,
    "m2_3m_en": PRESETS,
    # The paper's protocol at a size for CPUs: `recipes.reproduce`. M1 reads
    # every byte of the text for most schemes, so there is little text.
    "paper_tiny": dataclasses.replace(
        paper(2, 4, 128),
        m1_training=STUDY_TRAINING,
        m2=Model(2, 4, 128, 512),
        m2_training=dataclasses.replace(PAPER_M2_TRAINING, sequence_length=128),
        train_bytes=300_000,
        held_out_bytes=40_000,
        probe_bytes=10_000,
        dtype="float32",
    ),
    "paper_3m": paper(3, 4, 256),
    # The paper's, for accelerators and data of your own.
    "paper_25m": paper(6, 8, 512),
    "paper_113m": paper(12, 12, 768),
    "paper_403m": paper(24, 16, 1024),
    "paper_2b": paper(24, 32, 2048),
}


def check_config(config):
    """Return a configuration whose fields go together, or raise an error.

    Raises:
        ValueError: If two fields contradict each other.
    """
    for name in ("m1", "m2"):
        model, training = (
            getattr(config, name),
            getattr(config, f"{name}_training"),
        )
        _check_multiple(name, model, "hidden_dim", "num_heads")
        _check_multiple(
            f"{name}_training", training, "steps", "steps_per_epoch"
        )
        if training.short_length:
            _check_multiple(
                f"{name}_training", training, "sequence_length", "short_length"
            )
        least = training.warmup_steps + 1
        if training.schedule == "cosine" and training.steps < least:
            raise ValueError(
                "A cosine schedule needs more steps than its warm-up. "
                f"Received: --{name}_training.steps {training.steps}, "
                f"--{name}_training.warmup_steps {training.warmup_steps}"
            )
    codebook = config.codebook
    if codebook.token_bits:
        _check_multiple("codebook", codebook, "window_bits", "token_bits")
    return config


def _check_multiple(section, part, name, divisor):
    """Raise a ValueError unless one field is a multiple of another one."""
    value, by = getattr(part, name), getattr(part, divisor)
    if value % by:
        raise ValueError(
            f"--{section}.{name} must be a multiple of --{section}.{divisor}. "
            f"Received: {value} and {by}"
        )


def at_width(model, width):
    """Return a `Model` of another width, with heads of the same width.

    Raises:
        ValueError: If the heads do not divide the width.
    """
    head = model.hidden_dim // model.num_heads
    if width % head:
        raise ValueError(
            f"A width must be a multiple of the heads' width, {head}. "
            f"Received: --width {width}"
        )
    return dataclasses.replace(
        model,
        num_heads=width // head,
        hidden_dim=width,
        intermediate_dim=model.intermediate_dim * width // model.hidden_dim,
    )


def train_on(training, tokens, epochs):
    """Return a `Training` on a number of tokens, rounded to short epochs.

    Args:
        training: A `Training`.
        tokens: int.
        epochs: int. Short epochs, about.
    """
    size = training.batch_size * training.sequence_length
    steps = max(1, round(tokens / size))
    per_epoch = max(1, round(steps / epochs))
    steps = per_epoch * max(1, round(steps / per_epoch))
    return dataclasses.replace(
        training,
        steps=steps,
        steps_per_epoch=per_epoch,
        warmup_steps=max(1, min(training.warmup_steps, steps // 10)),
    )
