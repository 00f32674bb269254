"""Language models that the command loads from presets."""


def load_model(preset):
    """Load M1 or M2 with its tokenizer.

    Args:
        preset: str, a folder, a built-in name, or a handle of keras-hub.

    Returns:
        A `ByteCausalLM` or a `CompressedCausalLM`.

    Raises:
        ValueError: if there is no such model.
    """
    from keras_nc.cli.startup import hide_tensorflow

    hide_tensorflow()
    from keras_nc.models.causal_lm import DecoderCausalLM

    model = DecoderCausalLM.from_preset(preset)
    if model.preprocessor is None:
        raise ValueError(
            "The preset must hold a tokenizer, too. Received: "
            f"{preset!r}, which has none. Save the model with its preprocessor."
        )
    return model
