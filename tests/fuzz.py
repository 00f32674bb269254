"""Round trips of every exact scheme, for any time.

    python -m tests.fuzz --seconds 60 --seed 0

Documents are random, structured (runs, repeats, text with changes) and
adversarial (made of a codebook's own windows, cut and glued). Each is encoded
and decoded by every scheme in turn; a difference prints the seed and the
document, and ends with exit code 1. At the end: bytes per scheme.
"""

import argparse
import collections
import inspect
import pydoc_data.topics
import random
import sys
import time

import keras

from keras_nc.coding import Codebook
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from keras_nc.entropy_models import UnigramModel
from keras_nc.models import ByteBackbone
from keras_nc.tokenizers import ArithmeticTokenizer
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import GZipTokenizer
from keras_nc.tokenizers import LiveWindowTokenizer
from keras_nc.tokenizers import train_bpe
from keras_nc.tokenizers import train_dictionary
from keras_nc.tokenizers import train_sentencepiece

TEXT = "\n".join(pydoc_data.topics.topics.values()).encode()[:300_000]
MODEL_IN_THE_LOOP = ("AC of", "live")
PARSES = ("greedy", "aligned", "flexible", "likely", "likely_aligned")


def schemes():
    """Tokenizers by name, and bytes of the longest document for each."""
    counts = NGramModel.from_text(TEXT, order=4)
    keras.utils.set_random_seed(0)
    m1 = ByteLMModel(
        ByteBackbone(
            num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32
        )
    )
    made = {"bytes": (ByteTokenizer(), 1 << 18)}
    for W, allocation in (
        (9, "arithmetic"),
        (12, "tunstall"),
        (16, "tunstall"),
    ):
        for parse in PARSES:
            codebook = Codebook.build(
                counts,
                TEXT,
                window_bits=W,
                allocation=allocation,
                parse=parse,
                prune=parse != "greedy",
                rounds=0,
            )
            name = f"{W}-bit windows, {allocation}, {parse}"
            made[name] = EqualInfoTokenizer(codebook), 1 << 18
    codebook = made["12-bit windows, tunstall, aligned"][0].codebook
    made["split windows"] = EqualInfoTokenizer(codebook, 4), 1 << 17
    for bits in (8, 16):
        made[f"gzip, {bits} bits"] = GZipTokenizer(bits), 1 << 18
    made["StaticAC"] = (
        ArithmeticTokenizer(UnigramModel.from_text(TEXT)),
        1 << 16,
    )
    made["AC of counts"] = ArithmeticTokenizer(counts, 16), 1 << 14
    made["AC of M1"] = ArithmeticTokenizer(m1, context_bytes=64), 1 << 10
    for W, N in ((24, 8), (24, 16), (32, 16), (64, 16), (128, 8)):
        live = LiveWindowTokenizer(counts, window_bits=W, token_bits=N)
        made[f"live {W}-bit windows of counts, {N} bits"] = live, 1 << 11
    live = LiveWindowTokenizer(m1, window_bits=32, max_window_bytes=64)
    made["live 32-bit windows of M1"] = live, 1 << 10
    made["BPE"] = train_bpe([TEXT], 2048, split=None), 1 << 14
    made["dictionary"] = train_dictionary([TEXT], 2048), 1 << 18
    made["SentencePiece"] = train_sentencepiece([TEXT], 2048, "bpe"), 1 << 14
    return made


def document(generator, size, codebook):
    """Bytes of one of several kinds."""
    kind = generator.randrange(6)
    size = generator.randrange(size + 1)
    if kind == 0:
        return generator.randbytes(size)
    if kind == 1:  # few different bytes
        return bytes(generator.choices(generator.randbytes(3), k=size))
    if kind == 2:  # runs
        parts, length = [], 0
        while length < size:
            run = generator.randrange(1, 400)
            parts.append(generator.randbytes(1) * run)
            length += run
        return b"".join(parts)[:size]
    start = generator.randrange(len(TEXT))
    text = (TEXT[start:] + TEXT) * (1 + size // len(TEXT))
    if kind == 3:
        return text[:size]
    if kind == 4:  # text with changes
        changed = bytearray(text[:size])
        for _ in range(size // 50):
            changed[generator.randrange(size)] = generator.randrange(256)
        return bytes(changed)
    parts, length = [], 0  # windows, cut and glued
    while length < size:
        window = codebook.token_bytes(generator.randrange(3, 4096))
        window = window[: generator.randrange(1, len(window) + 1)]
        parts.append(window)
        length += len(window)
    return b"".join(parts)[:size]


def main():
    """Go round until the time is up."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(sys.modules[__name__])
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Part of a scheme's name.")
    options = parser.parse_args()
    made = {n: s for n, s in schemes().items() if options.only in n}
    codebook = Codebook.build(
        UnigramModel.from_text(TEXT),
        window_bits=12,
        allocation="tunstall",
        parse="greedy",
        prune=False,
        rounds=0,
    )
    counted = collections.Counter()
    end = time.monotonic() + options.seconds
    seed = options.seed
    while time.monotonic() < end:
        generator = random.Random(seed)
        for name, (tokenizer, size) in made.items():
            # Models work on documents side by side.
            most = 64 if name.startswith(MODEL_IN_THE_LOOP) else 4
            texts = [
                document(generator, size, codebook)
                for _ in range(generator.randrange(1, most + 1))
            ]
            if tokenizer.detokenize(tokenizer(texts)) != texts:
                print(f"{name} fails with --seed {seed}: {texts!r}"[:2000])
                return 1
            counted[name] += sum(map(len, texts))
        seed += 1
    for name in made:
        print(f"{counted[name]:>15,} bytes  {name}")
    print(f"Seeds {options.seed} to {seed - 1}: no differences.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
