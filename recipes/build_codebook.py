"""Compile the equal-info windows of M1, or of counts, into a codebook.

    python -m recipes.build_codebook --config tiny --workdir runs/tiny

From here on M1 is needed no more: the codebook is what encodes and decodes.
"""

import time

from keras_nc import models
from keras_nc.coding import Codebook
from keras_nc.data import take_bytes
from keras_nc.entropy_models import ByteLMModel
from keras_nc.entropy_models import NGramModel
from recipes import launch
from recipes import workdir
from recipes.flags import say


def run(setting):
    """Build, unless it is done; return the stage's figures."""
    path = setting.workdir / "codebook.json"
    result = workdir.read_json(path)
    if result is not None:
        return result
    setting.need_one_process("building a codebook")
    config = setting.config.codebook
    say(
        f"Building a codebook of {config.window_bits}-bit windows from "
        f"{config.entropy_model}"
    )
    start = time.perf_counter()
    text = list(take_bytes(setting.documents("train"), config.text_bytes))
    if config.entropy_model == "counts":
        # Words and phrases are counted, without n-grams.
        needs_model = config.paper or config.units == "any"
        model = NGramModel.from_text(text) if needs_model else None
    else:
        preset = config.entropy_model
        if preset == "m1":
            workdir.need(setting.workdir / "m1" / "result.json", "train_m1")
            preset = str(setting.workdir / "m1" / "preset")
        model = ByteLMModel(models.ByteCausalLM.from_preset(preset))
    if config.paper:
        codebook = Codebook.paper(model, window_bits=config.window_bits)
    else:
        codebook = Codebook.build(
            model,
            text,
            window_bits=config.window_bits,
            units=config.units,
            parse=config.parse,
            price=config.price,
        )
    codebook.save(setting.workdir / "codebook.npz")
    return workdir.write_json(
        path,
        {
            "seconds": time.perf_counter() - start,
            "fingerprint": codebook.fingerprint,
            "windows": int((codebook.token_lengths > 0).sum()),
        },
    )


if __name__ == "__main__":
    launch.main(run)
