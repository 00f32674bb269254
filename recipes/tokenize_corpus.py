"""Tokenize the text: train, held-out and probe shards of one tokenizer.

    python -m recipes.tokenize_corpus --config tiny --workdir runs/tiny

The probe is the part of the held-out text that is scored during training.
"""

import time

from absl import flags

from keras_nc.coding import Codebook
from keras_nc.coding.atomic import atomic_file
from keras_nc.data import TokenShards
from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SentencePieceTokenizer
from keras_nc.tokenizers import train_sentencepiece
from recipes import launch
from recipes import workdir
from recipes.setting import at_most

TOKENS = ("windows", "bytes", "sentencepiece")
SPLITS = ("train", "held_out", "probe")
TOKENS_FLAG = flags.DEFINE_enum(
    "tokens", "windows", TOKENS, "The tokenizer; windows need a codebook."
)


def get_tokenizer(setting, tokens):
    """The tokenizer that the workdir holds; SentencePiece is trained first.

    Args:
        setting: A `Setting`.
        tokens: str. One of `TOKENS`.

    Returns:
        A `SchemeTokenizer`.
    """
    if tokens == "bytes":
        return ByteTokenizer()
    if tokens == "windows":
        workdir.need(setting.workdir / "codebook.json", "build_codebook")
        codebook = Codebook.load(setting.workdir / "codebook.npz")
        return EqualInfoTokenizer(codebook, setting.config.codebook.token_bits)
    path = setting.workdir / "sentencepiece.model"
    if not path.exists():
        config = setting.config.sentencepiece
        launch.say(f"Training SentencePiece, {config.vocabulary_size:,} pieces")
        start = time.perf_counter()
        trained = train_sentencepiece(
            at_most(setting.documents("train"), config.text_bytes),
            config.vocabulary_size,
            config.model_type,
        )
        workdir.write_json(
            setting.workdir / "sentencepiece.json",
            {"seconds": time.perf_counter() - start},
        )
        with atomic_file(path) as file:
            file.write(trained.scheme.proto)
    return SentencePieceTokenizer(path.read_bytes())


def open_shards(setting, tokens):
    """The shards of a tokenizer, a dict by split."""
    folder = setting.workdir / "tokens" / tokens
    workdir.need(folder / "result.json", "tokenize_corpus")
    return {split: TokenShards(folder / split) for split in SPLITS}


def run(setting, tokens=None):
    """Write the shards, unless they are there; return the stage's figures."""
    tokens = tokens or TOKENS_FLAG.value
    folder = setting.workdir / "tokens" / tokens
    result = workdir.read_json(folder / "result.json")
    if result is not None:
        return result
    setting.need_one_process("tokenizing")
    tokenizer = get_tokenizer(setting, tokens)
    # Numba compiles at the first call, which is no part of the speed.
    tokenizer.encode_batch([b"warm-up"])
    launch.say(f"Tokenizing into {tokens}")
    start = time.perf_counter()
    shards = {
        split: write_shards(setting.documents(split), tokenizer, folder / split)
        for split in SPLITS
    }
    seconds = time.perf_counter() - start
    text = list(setting.documents("held_out"))
    start = time.perf_counter()
    tokenizer.encode_batch(text)
    encode_seconds = time.perf_counter() - start
    return workdir.write_json(
        folder / "result.json",
        {
            "seconds": seconds,
            "encode_mb_per_second": sum(map(len, text)) / encode_seconds / 1e6,
            "vocabulary_size": tokenizer.vocabulary_size(),
            "fingerprint": tokenizer.fingerprint,
            "bytes_per_token": shards["held_out"].bytes_per_token,
        },
    )


if __name__ == "__main__":
    launch.main(run)
