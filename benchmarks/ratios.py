"""Bytes per token of every scheme, on text of four kinds.

    python -m benchmarks.ratios

All learn from the same English text, the default corpus, and have the same
number of ids.
"""

from benchmarks import options
from benchmarks import peers
from benchmarks import texts
from benchmarks import timing
from keras_nc.tokenizers import ByteTokenizer
from recipes.flags import say


def main(settings):
    """Train, measure, print the table."""
    size = 2**settings.window_bits
    text = texts.training_text(settings.data, settings.max_bytes)
    domains = texts.domains(30_000 if settings.quick else 1_000_000)
    if settings.held_out:
        domains = {
            "held-out text": texts.held_out_text(settings.held_out),
            **domains,
        }
    trained = {"bytes": peers.Trained(ByteTokenizer(), timing.Cost())}
    for label, make, how_much in (
        ("codebooks", peers.codebooks, settings.window_bits),
        ("the dictionary", peers.dictionary, size),
        ("SentencePiece", peers.sentencepieces, size),
        ("BPE", peers.bpes, size),
    ):
        say(f"Training {label} on {sum(map(len, text)):,} bytes")
        trained |= make(text, how_much)
    rows = []
    for name, (tokenizer, cost) in (
        (name, (peer.tokenizer, peer.cost)) for name, peer in trained.items()
    ):
        row = [name, f"{tokenizer.vocabulary_size():,}"]
        for documents in domains.values():
            ids, _ = tokenizer.encode_batch(documents)
            if tokenizer.detokenize(ids) != b"".join(documents):
                raise AssertionError(f"{name} loses text")
            row.append(f"{sum(map(len, documents)) / len(ids):.3f}")
        rows.append([*row, f"{cost.seconds:.0f}"])
    letters = [label.split(":")[0] for label in domains]
    print(timing.table(["scheme", "ids", *letters, "training s"], rows))
    print(f"\nBytes per token. {options.conditions('numpy', 'sentencepiece')}.")
    for label, documents in domains.items():
        print(f"- {label}: {sum(map(len, documents)):,} bytes")


if __name__ == "__main__":
    options.start(main)
