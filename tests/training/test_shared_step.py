"""Models of one size and vocabulary share a compiled step, in any order."""

import types

import keras
import pytest

from keras_nc.data import write_shards
from keras_nc.models import CompressedBackbone
from keras_nc.models import CompressedCausalLM
from keras_nc.tokenizers import train_bpe
from recipes.configs import Training
from recipes.engine.trainer import Trainer

TEXT = [
    f"Text number {i} has words of its own, and says {i * i} things. ".encode()
    for i in range(200)
]
TRAINING = Training(
    sequence_length=16,
    batch_size=4,
    steps=4,
    steps_per_epoch=2,
    optimizer="adamw",
    warmup_steps=2,
)
SETTING = types.SimpleNamespace(
    keep=1, restart_on_collapse=False, max_restarts=0, peak_tflops=None
)


@pytest.fixture
def compiled():
    """What JAX compiles from now on, a list that grows."""
    names = []
    if keras.backend.backend() == "jax":
        import jax

        jax.monitoring.register_event_duration_secs_listener(
            lambda name, seconds, **_: (
                names.append(name) if "backend_compile" in name else None
            )
        )
    return names


def make_shards(folder):
    """Return shards of two tokenizers of 300 ids, by split."""
    texts = TEXT, [text.replace(b"words", b"w") for text in TEXT]
    made = []
    for i, text in enumerate(texts):
        tokenizer = train_bpe(text, 300)
        made.append(
            {
                split: write_shards(
                    TEXT[:count], tokenizer, folder / f"{i}{split}"
                )
                for split, count in (("train", 200), ("probe", 10))
            }
        )
    return made


def test_a_second_tokenizer_compiles_nothing(tmp_path, compiled):
    def make_model():
        return CompressedCausalLM(
            CompressedBackbone(
                300,
                num_layers=1,
                num_heads=2,
                hidden_dim=16,
                intermediate_dim=32,
            )
        )

    first, second = make_shards(tmp_path)
    assert first["train"].bytes_per_token != second["train"].bytes_per_token
    trainer = Trainer(make_model, TRAINING)
    found, count = [], []
    for i, shards in enumerate((first, second, first)):
        before = len(compiled)
        trainer.begin(seed=7)
        history = trainer.fit(
            SETTING,
            shards,
            tmp_path / f"run{i}",
            seed=7,
            label="",
            tensorboard=False,
            progress=False,
        )
        score = trainer.score(shards["probe"])
        count.append(len(compiled) - before)
        losses = [(row["loss"], row["bits_per_byte"]) for row in history]
        found.append((losses, score))
    if keras.backend.backend() == "jax":
        assert count[0] > 0 and count[1:] == [0, 0]
    # The third run is the first one again: nothing of the second is left.
    assert found[0] == found[2] != found[1]
