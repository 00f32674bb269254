"""Score text with a preset: bytes per token, and bits per byte of a model.

    python -m recipes.score --preset byte_lm_3m_en --held_out "news/*.txt"

A preset is a built-in name or a folder. All documents are joined and cut into
sequences of `--sequence_length` tokens, as in training. A sequence sees nothing
of the one before.
"""

import pathlib
import tempfile

from keras_nc import presets
from keras_nc.data import default_corpus
from keras_nc.data import read_documents
from keras_nc.data import take_bytes
from keras_nc.data import write_shards
from keras_nc.evaluation import bits_per_byte
from keras_nc.models.causal_lm import DecoderCausalLM
from keras_nc.tokenizers import SchemeTokenizer
from recipes import flags
from recipes import launch
from recipes.setting import DEFAULT

#: Tokens per batch, which bound the memory.
BATCH_TOKENS = 8_192


def run(preset, held_out, text_key, max_bytes, sequence_length):
    """Print a table; return its rows, a list of dicts."""
    model = load_model(preset)
    tokenizer = SchemeTokenizer.from_preset(preset)
    if held_out == DEFAULT:
        documents = default_corpus("validation")
    else:
        documents = read_documents(held_out, text_key)
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(
            take_bytes(documents, max_bytes), tokenizer, folder
        )
        shards.check_text()
        row = {
            "preset": preset,
            "bytes": shards.num_bytes,
            "bytes/token": shards.bytes_per_token,
        }
        rows = [
            {
                **row,
                "sequence length": length,
                "bits/byte": bits_per_byte(
                    model,
                    shards,
                    sequence_length=length,
                    batch_size=max(1, BATCH_TOKENS // length),
                ),
            }
            for length in sequence_lengths(model, sequence_length)
        ]
    rows = rows or [row]
    print("| " + " | ".join(rows[0]) + " |")
    print("|---|" + "---:|" * (len(rows[0]) - 1))
    for row in rows:
        print("| " + " | ".join(map(as_text, row.values())) + " |")
    return rows


def load_model(preset):
    """Load the M1 or M2 of a preset; `None` if it has a tokenizer alone."""
    folder = pathlib.Path(presets.resolve(preset))
    if folder.is_dir() and not (folder / "task.json").exists():
        return None
    return DecoderCausalLM.from_preset(preset)


def sequence_lengths(model, given):
    """Return the lengths to score with; by default that of training."""
    if model is None:
        return []
    return given or [model.preprocessor.sequence_length]


def as_text(value):
    """Write a cell of the table."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


FLAGS = {
    "preset": {
        "default": "compressed_lm_3m_en",
        "metavar": "NAME",
        "help": "A built-in name, by default compressed_lm_3m_en, or a folder.",
    },
    "held_out": {
        "default": DEFAULT,
        "nargs": "+",
        "action": flags.Patterns,
        "metavar": "FILE",
        "help": "Files and glob patterns; by default the held-out part of the "
        "text that every installation has.",
    },
    "text_key": launch.TEXT["text_key"],
    "max_bytes": {
        "type": flags.at_least(1),
        "metavar": "N",
        "help": "Score the first N bytes.",
    },
    "sequence_length": {
        "type": flags.at_least(1),
        "nargs": "+",
        "metavar": "T",
        "help": "Tokens per sequence; by default as in training.",
    },
}

if __name__ == "__main__":
    launch.start(run, **FLAGS)
