"""Tokenize the text with one tokenizer, for training and for evaluation.

    python -m recipes.tokenize_corpus --config tiny --workdir runs/tiny

Files are tokenized by --workers, for example 16, or by a --runner of Apache
Beam. The shards are the same. Without a workdir, `keras-nc tokenize` does this
for any codebook.

There are three parts: the training text, the held-out text, and `probe`, the
part of the held-out text that is scored during training.
"""

import dataclasses
import time

from keras_nc import presets
from keras_nc.coding import Codebook
from keras_nc.coding.archive import atomic_file
from keras_nc.data import TokenShards
from keras_nc.data import take_bytes
from keras_nc.data import tokenize_corpus as write_corpus
from keras_nc.data import verify_shards
from keras_nc.data import write_shards
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SentencePieceTokenizer
from recipes import launch
from recipes import workdir
from recipes.contenders import train_sentencepiece
from recipes.flags import at_least
from recipes.flags import say

TOKENS = ("windows", "built_in", "bytes", "sentencepiece")
SPLITS = ("train", "held_out", "probe")
#: The longest possible window of a codebook.
MAX_WINDOW_BYTES = 64
TOKENS_FLAG = {
    "default": "windows",
    "choices": TOKENS,
    "help": "The tokenizer, by default windows, which need a codebook.",
}


@dataclasses.dataclass(frozen=True)
class Work:
    """How the tokenizing is done; the shards do not depend on it.

    Args:
        workers: int. Processes on this machine.
        runner: str. A runner of Apache Beam, or `None`.
        runner_options: A list of str. Options of the Beam pipeline.
        verify: bool. Whether to decode all shards at the end.
    """

    workers: int = 1
    runner: str | None = None
    runner_options: tuple = ()
    verify: bool = False


WORK_FLAGS = {
    "workers": {
        "type": at_least(1),
        "default": 1,
        "metavar": "N",
        "help": "Processes that tokenize, by default 1.",
    },
    "runner": {
        "metavar": "NAME",
        "help": "A runner of Apache Beam that tokenizes instead, such as "
        "DirectRunner or DataflowRunner. All its workers must see the "
        "workdir.",
    },
    "runner_options": {
        "nargs": "+",
        "default": (),
        "metavar": "NAME=VALUE",
        "help": "Options of the Beam pipeline, as in region=us-central1.",
    },
    "verify": {
        "action": "store_true",
        "help": "At the end, decode all shards and compare the text.",
    },
}


def built_in_codebook(setting):
    """Return the name of the built-in codebook of the same size, if any."""
    return f"equal_info_{setting.config.codebook.window_bits}bit_en"


def get_tokenizer(setting, tokens):
    """Return the tokenizer of the workdir; train SentencePiece if needed.

    Args:
        setting: A `Setting`.
        tokens: str. One of `TOKENS`.

    Returns:
        A `SchemeTokenizer`.
    """
    if tokens == "bytes":
        return ByteTokenizer()
    if tokens == "built_in":
        name = built_in_codebook(setting)
        if name not in presets.TOKENIZERS:
            raise ValueError(
                "Built-in codebooks have windows of 12 or 16 bits. Received: "
                f"--codebook.window_bits {setting.config.codebook.window_bits}"
            )
        return EqualInfoTokenizer.from_preset(name)
    if tokens == "windows":
        workdir.need(setting.workdir / "codebook.json", "build_codebook")
        try:
            codebook = Codebook.load(setting.workdir / "codebook.npz")
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{error} Another build would make another codebook: with "
                "copies of none, delete codebook.json, tokens/windows and "
                f"models/windows in {setting.workdir}, and begin with `python "
                "-m recipes.build_codebook`."
            ) from error
        return EqualInfoTokenizer(codebook, setting.config.codebook.token_bits)
    path = setting.workdir / "sentencepiece.model"
    if not path.exists():
        config = setting.config.sentencepiece
        say(f"Training SentencePiece, {config.vocabulary_size:,} pieces")
        start = time.perf_counter()
        text = take_bytes(setting.documents("train"), config.text_bytes)
        trained = train_sentencepiece(
            list(text), config.vocabulary_size, config.model_type
        )
        workdir.write_json(
            setting.workdir / "sentencepiece.json",
            {"seconds": time.perf_counter() - start},
        )
        with atomic_file(path) as file:
            file.write(trained.scheme.proto)
    return SentencePieceTokenizer(path.read_bytes())


def open_shards(setting, tokens):
    """Open the shards of a tokenizer; return a dict by split."""
    folder = setting.workdir / "tokens" / tokens
    workdir.need(folder / "result.json", f"tokenize_corpus --tokens {tokens}")
    try:
        return {split: TokenShards(folder / split) for split in SPLITS}
    except ValueError as error:
        raise ValueError(
            f"{error} That call is `python -m recipes.tokenize_corpus --tokens "
            f"{tokens}` with the same flags."
        ) from error


def documents_to_tokenize(setting, split, tokenizer):
    """Iterate over documents; repeat the training text if it is short.

    Then every epoch has at least one batch, even if the text is a few words.

    Args:
        setting: A `Setting`.
        split: str. One of `SPLITS`.
        tokenizer: A `SchemeTokenizer`.

    Returns:
        An iterator of bytes.
    """
    if split != "train":
        return setting.documents(split)
    times = repeats(setting, tokenizer)
    if times == 1:
        return setting.documents("train")
    say(f"The training text is too short for a batch: read {times:,} times")
    return iter(list(setting.documents("train")) * times)


def repeats(setting, tokenizer):
    """Return how often the training text must be read for a batch, an int."""
    trainings = setting.config.m1_training, setting.config.m2_training
    needed = max(run.sequence_length * run.batch_size for run in trainings)
    most = needed * MAX_WINDOW_BYTES
    text, size = [], 0
    for document in setting.documents("train"):
        text.append(document)
        size += len(document)
        if size >= most:
            return 1
    tokens = len(tokenizer.encode_batch(text)[0]) + len(text)
    return 1 if tokens >= needed else -(-needed // tokens)


def write(setting, tokens, tokenizer, work):
    """Write all shards of a tokenizer; return them, a dict by split."""
    folder = setting.workdir / "tokens" / tokens
    shards = {
        split: _write_split(setting, split, tokenizer, folder / split, work)
        for split in SPLITS
    }
    if work.verify:
        for split in SPLITS:
            verify_shards(folder / split, tokenizer)
            say(f"{split}: all shards decode to the text")
    return shards


def _write_split(setting, split, tokenizer, folder, work):
    corpus = setting.corpus(split)
    if corpus is None or repeats(setting, tokenizer) > 1:
        documents = documents_to_tokenize(setting, split, tokenizer)
        return write_shards(documents, tokenizer, folder, threads=work.workers)
    files, select = corpus
    return write_corpus(
        files,
        tokenizer,
        folder,
        text_key=setting.text_key,
        select=select,
        workers=work.workers,
        runner=work.runner,
        runner_options=[f"--{option}" for option in work.runner_options],
    )


def run(setting, tokens, work=None):
    """Write the shards unless they exist; return the stage's figures."""
    work = work or Work()
    folder = setting.workdir / "tokens" / tokens
    result = workdir.read_json(folder / "result.json")
    if result is not None:
        return result
    setting.need_one_process("tokenizing")
    tokenizer = get_tokenizer(setting, tokens)
    # Numba compiles at the first call, so do not time that call.
    tokenizer.encode_batch([b"warm-up"])
    say(f"Tokenizing into {tokens}")
    start = time.perf_counter()
    shards = write(setting, tokens, tokenizer, work)
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


def main(setting, tokens, **work):
    """Tokenize; if that is done, check the files and rewrite damaged ones."""
    work = Work(**work)
    path = setting.workdir / "tokens" / tokens / "result.json"
    if path.exists():
        setting.need_one_process("tokenizing")
        say(f"Checking the tokens over {tokens}")
        write(setting, tokens, get_tokenizer(setting, tokens), work)
    run(setting, tokens, work)


if __name__ == "__main__":
    launch.main(main, tokens=TOKENS_FLAG, **WORK_FLAGS)
