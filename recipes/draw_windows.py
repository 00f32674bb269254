"""Draw one sentence, cut into windows, SentencePiece pieces and bytes.

    python -m recipes.draw_windows --output docs/images/windows.png

The codebook and the SentencePiece model learn from the same text, the default
corpus, and have vocabularies of the same size.
"""

from keras_nc.coding import Codebook
from keras_nc.data import default_corpus
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import train_sentencepiece
from recipes import flags
from recipes import launch
from recipes.plots import save_figure
from recipes.plots import segmentation

OUTPUT = {
    "default": "windows.png",
    "metavar": "FILE",
    "help": "Where the PNG goes, by default windows.png.",
}
WINDOW_BITS = {
    "type": int,
    "choices": range(9, 17),
    "default": 16,
    "metavar": "W",
    "help": "Bits per window, 9 to 16, by default 16; vocabularies have 2^W "
    "ids.",
}
MAX_BYTES = {
    "type": flags.at_least(1_000_000),
    "metavar": "N",
    "help": "Bytes of text to learn from, by default all.",
}

TEXT = (
    b"If every token holds the same amount of information, then the words that "
    b"are easy to predict share a token, and the words that are not take "
    b"several."
)


def main(output, window_bits, max_bytes):
    """Learn from the default corpus, draw, and print held-out figures."""
    documents = list(default_corpus("train", max_bytes))
    bits = window_bits
    codebook = Codebook.build(text=documents, window_bits=bits)
    tokenizers = {
        f"Equal-info windows, {bits} bits each": EqualInfoTokenizer(codebook),
        f"SentencePiece, {2**bits:,} pieces": train_sentencepiece(
            documents, 2**bits, "bpe"
        ),
        "Bytes": ByteTokenizer(),
    }
    held_out = list(default_corpus("validation"))
    rows = {}
    for label, tokenizer in tokenizers.items():
        ids = tokenizer.encode_batch([TEXT])[0].tolist()
        rows[label] = [tokenizer.id_to_token(i) for i in ids]
        tokens = len(tokenizer.encode_batch(held_out)[0])
        ratio = sum(map(len, held_out)) / tokens
        print(f"{label}: {ratio:.2f} bytes/token of held-out text")
    save_figure(segmentation(rows), output)


if __name__ == "__main__":
    launch.start(
        main, output=OUTPUT, window_bits=WINDOW_BITS, max_bytes=MAX_BYTES
    )
