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
    import keras_hub

    from keras_nc.models import ByteCausalLM
    from keras_nc.models import CompressedCausalLM

    model = keras_hub.models.CausalLM.from_preset(preset)
    if not isinstance(model, (ByteCausalLM, CompressedCausalLM)):
        raise ValueError(
            "The preset must be of a model of this package, M1 or M2. "
            f"Received: {preset!r}, a {type(model).__name__}. Train one with "
            "`make demo`."
        )
    return model
