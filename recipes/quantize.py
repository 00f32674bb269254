"""Quantize a trained M2 to int8, and measure the loss in quality.

    python -m recipes.quantize --config tiny --workdir runs/tiny

Writes `preset-int8/` and `quantized.json` beside the model's `preset/`.
`--tokens` chooses a baseline.
"""

from keras_nc import models
from keras_nc.evaluation import bits_per_byte
from recipes import launch
from recipes import tokenize_corpus
from recipes import workdir
from recipes.flags import say


def run(setting, tokens):
    """Quantize, unless it is done; return the figures."""
    folder = setting.workdir / "models" / tokens
    path = folder / "quantized.json"
    result = workdir.read_json(path)
    if result is not None:
        return result
    trained = workdir.need(folder / "result.json", "train_m2")
    training = trained["training"]
    held_out = tokenize_corpus.open_shards(setting, tokens)["held_out"]
    model = models.CompressedCausalLM.from_preset(str(folder / "preset"))
    model.quantize("int8")
    say("Scoring the held-out text in int8")
    score = bits_per_byte(
        model,
        held_out,
        sequence_length=training["sequence_length"],
        batch_size=training["batch_size"],
        progress=False,
    )
    model.save_to_preset(folder / "preset-int8")
    before = trained["bits_per_byte"]
    result = {
        "bits_per_byte": before,
        "bits_per_byte_int8": score,
        "bytes": weight_bytes(folder / "preset"),
        "bytes_int8": weight_bytes(folder / "preset-int8"),
    }
    say(
        f"{before:.4f} bits/byte, in int8 {score:.4f} ({score - before:+.4f}); "
        f"weights {result['bytes']:,} bytes, in int8 {result['bytes_int8']:,}"
    )
    return workdir.write_json(path, result)


def weight_bytes(preset):
    """Return the size of a preset's weight files, in bytes."""
    return sum(path.stat().st_size for path in preset.glob("*.weights.h5"))


if __name__ == "__main__":
    launch.main(run, tokens=tokenize_corpus.TOKENS_FLAG)
