"""Draw one sentence, cut into windows, SentencePiece pieces and bytes.

    python -m recipes.draw_windows --output docs/images/windows.png

The codebook and the SentencePiece model learn from the same text, the default
corpus, and have vocabularies of the same size.
"""

from absl import flags

from keras_nc.coding import Codebook
from keras_nc.data import default_corpus
from keras_nc.entropy_models import NGramModel
from keras_nc.evaluation.plots import save_figure
from keras_nc.evaluation.plots import segmentation
from keras_nc.tokenizers import ByteTokenizer
from keras_nc.tokenizers import EqualInfoTokenizer
from keras_nc.tokenizers import train_sentencepiece
from recipes import launch

_OUTPUT = flags.DEFINE_string("output", "windows.png", "Where the PNG goes.")
_WINDOW_BITS = flags.DEFINE_integer(
    "window_bits", 16, "Bits per window; vocabularies have 2^this ids.", 9, 16
)
_MAX_BYTES = flags.DEFINE_integer(
    "max_bytes", None, "Bytes of text to learn from; all by default.", 1_000_000
)

TEXT = (
    b"If every token holds the same amount of information, then the words that "
    b"are easy to predict share a token, and the words that are not take "
    b"several."
)


def main(argv):
    """Learn from the default corpus, draw, and print held-out figures."""
    del argv
    documents = list(default_corpus("train", _MAX_BYTES.value))
    bits = _WINDOW_BITS.value
    codebook = Codebook.build(
        NGramModel.from_text(documents),
        documents,
        window_bits=bits,
        allocation="tunstall",
        parse="aligned",
        prune=True,
        rounds=2,
    )
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
    save_figure(segmentation(rows), _OUTPUT.value)


if __name__ == "__main__":
    launch.start(main)
