"""Language models that the command loads from presets."""

import os

from keras_nc.cli.kinds import find_kind


def _check_preset(preset):
    """Refuse what is on the disk and no model, before Keras is imported."""
    if os.path.isfile(preset):
        raise ValueError(
            "A preset must be a folder. Received: "
            f"{preset!r}, which is a file. Name a folder that "
            "`save_to_preset` wrote."
        )
    if not os.path.isdir(preset):
        return  # a built-in name or a handle, perhaps
    kind = find_kind(preset)
    if kind == "preset" and os.path.exists(os.path.join(preset, "config.json")):
        return
    holds = "a tokenizer, but no model" if kind == "preset" else "token shards"
    raise ValueError(
        "A preset must hold a model. Received: "
        f"{preset!r}, which holds {holds}. Name a folder that a model's "
        "`save_to_preset` wrote."
    )


def load_model(preset):
    """Load M1 or M2 with its tokenizer.

    Args:
        preset: str, a folder, a built-in name, or a handle of keras-hub.

    Returns:
        A `ByteCausalLM` or a `CompressedCausalLM`.

    Raises:
        ValueError: if there is no such model.
    """
    from keras_nc.cli.startup import prepare_keras

    _check_preset(preset)
    prepare_keras()
    from keras_nc.models.causal_lm import DecoderCausalLM

    model = DecoderCausalLM.from_preset(preset)
    if model.preprocessor is None:
        raise ValueError(
            "The preset must hold a tokenizer, too. Received: "
            f"{preset!r}, which has none. Save the model with its preprocessor."
        )
    return model
