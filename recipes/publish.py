"""Turn a trained preset or a codebook into a small preset to share.

    python -m recipes.publish --source runs/tiny/m1/preset --output my_m1
    python -m recipes.publish --source runs/tiny/codebook.npz --output my_ids

Weights are written in two bytes each, as float16. They are loaded in the
precision of the process, by default float32. In `keras_nc/presets`, where the
built-in presets are, the model card that is there stays.
"""

import pathlib
import shutil
import tempfile

import keras
import numpy as np

from keras_nc.coding import Codebook
from keras_nc.models.causal_lm import DecoderCausalLM
from keras_nc.tokenizers import EqualInfoTokenizer
from recipes import launch
from recipes.flags import say


def run(source, output):
    """Write the preset."""
    for name, value in (("source", source), ("output", output)):
        if not value:
            raise ValueError(
                "A preset is made from another one, or a codebook. Received: "
                f"no --{name}. Pass --source and --output."
            )
    card = output / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else None
    if source.is_file():
        EqualInfoTokenizer(Codebook.load(source)).save_to_preset(output)
    else:
        model = DecoderCausalLM.from_preset(source, dtype="float32")
        publish_model(model, output)
    if text is not None:
        card.write_text(text, encoding="utf-8")
    size = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    say(f"{output}: {size:,} bytes")


def publish_model(model, output):
    """Save a model as a preset with weights in float16."""
    backbone = model.backbone
    limit = np.finfo("float16").max
    for weight in backbone.weights:
        value = keras.ops.convert_to_numpy(weight)
        if not (np.abs(value) <= limit).all():
            raise ValueError(
                "Weights in float16 must be finite numbers up to "
                f"{limit:,.0f}. Received: {weight.path}, with others. Share "
                "the preset as it is."
            )
    model.save_to_preset(output)
    small = type(backbone).from_config(
        {**backbone.get_config(), "dtype": "float16"}
    )
    small.set_weights(backbone.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.weights.h5")
        small.save_weights(path)
        shutil.copyfile(path, output / path.name)


FLAGS = {
    "source": {
        "type": pathlib.Path,
        "metavar": "PATH",
        "help": "The preset of a model, or a codebook file.",
    },
    "output": {
        "type": pathlib.Path,
        "metavar": "FOLDER",
        "help": "The preset to write.",
    },
}

if __name__ == "__main__":
    launch.start(run, **FLAGS)
