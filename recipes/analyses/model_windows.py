"""What an entropy model adds to windows of words and phrases.

    python -m recipes.analyses.model_windows --workdir runs/model_windows

Builds codebooks from a built-in M1 alone, and from the beginning of the default
corpus: from counts alone, and with strings of M1. The table has bytes per token
of held-out text and of text of another kind, and their bits per byte by a
unigram model that knows how often the measured text itself uses each window.
"""

import numpy as np

from keras_nc import entropy_models
from keras_nc.coding import Codebook
from keras_nc.data import default_corpus
from keras_nc.models import ByteCausalLM
from recipes import flags
from recipes import launch
from recipes.analyses import common
from recipes.engine.unseen import unseen_documents

OWN = {
    "workdir": {**common.WORKDIR, "help": "Where the results go."},
    "sizes": {
        "nargs": "+",
        "type": flags.amount,
        "default": [100_000, 1_000_000],
        "metavar": "N",
        "help": "Bytes of text to learn from, by default 100k and 1M.",
    },
    "window_bits": common.WINDOW_BITS,
    "preset": {
        "default": "byte_lm_3m_en",
        "metavar": "NAME",
        "help": "The M1, a preset; by default the built-in one.",
    },
    "unseen": {
        "nargs": "+",
        "default": [],
        "metavar": "FILES",
        "help": "Text of another kind; 'lee' for the Lee background corpus, "
        "which gensim holds.",
    },
}


def run(workdir, sizes, window_bits, preset, unseen):
    """Build, measure and print."""
    texts = {
        "held-out": list(default_corpus("validation")),
        "unseen": list(unseen_documents(tuple(unseen), "text")),
    }
    texts = {name: text for name, text in texts.items() if any(text)}
    model = entropy_models.ByteLMModel(ByteCausalLM.from_preset(preset))
    sources = [("none", "M1", model, None)]
    for size in sizes:
        train = list(default_corpus("train", size))
        sources += [
            (f"{size:,}", "counts", None, train),
            (f"{size:,}", "counts and M1", model, train),
        ]
    rows = []
    for size, name, given, train in sources:
        codebook = Codebook.build(given, train, window_bits=window_bits)
        row = [size, name]
        for text in texts.values():
            row += [f"{x:.3f}" for x in measure(codebook, text)]
        rows.append(row)
    header = ["bytes of text", "windows from"]
    for name in texts:
        header += [f"{name} bytes/token", f"{name} unigram bits/byte"]
    common.save(
        workdir,
        "model_windows",
        "Windows from a model, too",
        f"Codebooks of 2^{window_bits} ids from counts of text, without and "
        f"with the model {preset}.",
        header,
        rows,
    )


def measure(codebook, text):
    """Return bytes per token, and bits per byte by the text's own counts."""
    ids, _ = codebook.encode_batch(text)
    size = sum(map(len, text))
    uses = np.bincount(ids)
    uses = uses[uses > 0]
    return size / len(ids), float(uses @ -np.log2(uses / len(ids))) / size


if __name__ == "__main__":
    launch.start(run, **OWN)
