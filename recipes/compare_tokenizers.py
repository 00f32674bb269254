"""Compare tokenizers of one size by what a small M2 makes of them.

    python -m recipes.compare_tokenizers --config tiny --workdir runs/compare

All learn from the same text, have 2^W ids, and are trained by the same recipe
on equally many tokens. `table.md` tells for held-out text: bytes per token, how
many ids are used, the score of a unigram model, how much of a tokenization
changes with the first word, and the bits per byte of each seed's M2; with
`--unseen`, bytes per token and bits per byte of those files, too.
"""

import dataclasses
import time

import numpy as np

from keras_nc import models
from keras_nc.coding import Codebook
from keras_nc.coding.atomic import atomic_file
from keras_nc.data import read_documents
from keras_nc.data import take_bytes
from keras_nc.data import write_shards
from keras_nc.entropy_models import NGramModel
from keras_nc.evaluation import bits_per_byte
from keras_nc.evaluation import instability
from keras_nc.evaluation import token_counts
from keras_nc.evaluation import unigram_bits_per_byte
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import SentencePieceTokenizer
from recipes import flags
from recipes import launch
from recipes import workdir
from recipes.contenders import CODEBOOKS
from recipes.contenders import SENTENCEPIECE
from recipes.contenders import build_codebook
from recipes.contenders import train_sentencepiece
from recipes.flags import say
from recipes.tokenize_corpus import documents_to_tokenize
from recipes.train import train
from recipes.train_m2 import make_m2

NAMES = [*SENTENCEPIECE, *CODEBOOKS]
SPLITS = ("train", "held_out", "probe")
SENTENCE = (
    b" was what they had been waiting for, and when it came at last nobody in "
    b"the room was surprised by what it said about the work of the year."
)
FIRST_WORDS = 500

TOKENIZERS = {
    "action": "append",
    "choices": NAMES,
    "metavar": "NAME",
    "help": "What to compare, by default all; may be repeated: "
    f"{'; '.join(NAMES)}.",
}
SEEDS = {
    "type": flags.at_least(1),
    "default": 2,
    "metavar": "N",
    "help": "Runs of M2 for each, by default 2.",
}
UNSEEN = {
    **launch.TEXT["held_out"],
    "help": "Text of a kind that --data has not, to score too.",
}


def run(setting, tokenizers=None, seeds=2, unseen=()):
    """Train all, write and print the table."""
    setting.need_one_process("comparing tokenizers")
    # Read all of it, so that its errors come before the training.
    if unseen and not list(map(len, read_documents(unseen, setting.text_key))):
        raise ValueError(
            f"The unseen text must not be empty. Received: --unseen "
            f"{','.join(unseen)}. Give other files to --unseen."
        )
    rows = [
        _compare(setting, name, range(seeds), unseen)
        for name in tokenizers or NAMES
    ]
    header = [
        *("tokens", "ids", "bytes/token", "used ids", "unigram bits/byte"),
        "changed by the first word",
        *(f"bits/byte, seed {seed}" for seed in range(seeds)),
    ]
    if unseen:
        header.append("unseen bytes/token")
        header += [f"unseen, seed {seed}" for seed in range(seeds)]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    with atomic_file(setting.workdir / "table.md") as file:
        file.write(table.encode())
    print(table, end="", flush=True)


def _compare(setting, name, seeds, unseen):
    folder = setting.workdir / "compare" / name.replace(", ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(setting, name, folder)
    say(f"Tokenizing, {name}")
    shards = {
        split: write_shards(
            documents_to_tokenize(setting, split, tokenizer),
            tokenizer,
            folder / split,
        )
        for split in SPLITS
    }
    scores = [
        _train(setting, name, folder, tokenizer, shards, seed) for seed in seeds
    ]
    if unseen:
        scores += _score_unseen(setting, tokenizer, folder, seeds, unseen)
    held_out = shards["held_out"]
    unigram = unigram_bits_per_byte(shards["train"], held_out)
    changed = instability(tokenizer, SENTENCE, _first_words(setting))
    return [
        name,
        f"{tokenizer.vocabulary_size():,}",
        f"{held_out.bytes_per_token:.3f}",
        f"{np.count_nonzero(token_counts(held_out)):,}",
        f"{unigram:.3f}",
        f"{100 * changed:.1f}%",
        *(f"{score:.3f}" for score in scores),
    ]


def _tokenizer(setting, name, folder):
    """Make a tokenizer, or read what an earlier run made."""
    config = setting.config
    sizes = config.codebook, config.sentencepiece
    text = take_bytes(
        setting.documents("train"), min(size.text_bytes for size in sizes)
    )
    codebook, model = folder / "codebook.npz", folder / "sentencepiece.model"
    if name in SENTENCEPIECE:
        if not model.exists():
            size = 2**config.codebook.window_bits
            say(f"Training {name}, {size:,} pieces")
            trained = train_sentencepiece(list(text), size, SENTENCEPIECE[name])
            with atomic_file(model) as file:
                file.write(trained.scheme.proto)
        return SentencePieceTokenizer(model.read_bytes())
    if not codebook.exists():
        say(f"Building a codebook, {name}")
        start = time.perf_counter()
        documents = list(text)
        build_codebook(
            name,
            NGramModel.from_text(documents),
            documents,
            config.codebook.window_bits,
        ).save(codebook)
        say(f"Built in {time.perf_counter() - start:.0f} s")
    return EqualInfoTokenizer(Codebook.load(codebook))


def _train(setting, name, folder, tokenizer, shards, seed):
    """Train one M2; return its bits per byte of all held-out text."""
    config = setting.config
    training = dataclasses.replace(config.m2_training, seed=seed)
    result = train(
        setting,
        folder / f"seed{seed}",
        lambda: make_m2(config, tokenizer),
        training,
        shards,
        f"{name}, seed {seed}",
    )
    return result["bits_per_byte"]


def _score_unseen(setting, tokenizer, folder, seeds, unseen):
    """Return bytes per token of other files, then bits per byte of each M2."""
    documents = read_documents(unseen, setting.text_key)
    shards = write_shards(documents, tokenizer, folder / "unseen")
    training = setting.config.m2_training
    figures = [shards.bytes_per_token]
    for seed in seeds:
        path = folder / f"seed{seed}"
        result = workdir.read_json(path / "unseen.json")
        if result is None:
            model = models.CompressedCausalLM.from_preset(str(path / "preset"))
            score = bits_per_byte(
                model,
                shards,
                sequence_length=training.sequence_length,
                batch_size=training.batch_size,
                progress=False,
            )
            result = workdir.write_json(
                path / "unseen.json", {"bits_per_byte": score}
            )
        figures.append(result["bits_per_byte"])
    return figures


def _first_words(setting):
    """Return the first words of held-out texts, in order."""
    words = {}
    for document in setting.documents("held_out"):
        words.update(dict.fromkeys(document.split()))
        if len(words) >= FIRST_WORDS:
            break
    return list(words)[:FIRST_WORDS]


if __name__ == "__main__":
    launch.main(
        run, trains=True, tokenizers=TOKENIZERS, seeds=SEEDS, unseen=UNSEEN
    )
