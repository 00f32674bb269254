"""The `README.md` of a preset, as Hugging Face shows it."""

import keras

_HEADER = """---
library_name: keras-hub
pipeline_tag: text-generation
tags:
- keras
- keras_nc
---
"""

_USE = """
## How to load it

```python
import keras_hub
import keras_nc  # makes the classes known

causal_lm = keras_hub.models.CausalLM.from_preset(path)
print(causal_lm.generate("Once upon a time", max_length=64))
```

`path` is this directory, or its handle (`hf://...`, `kaggle://...`). It works
on JAX, TensorFlow and PyTorch. Prompts are continued byte for byte.

## To be filled in

This card was written when the model was saved; it knows the model, not its
history. Please add the training text, bits per byte on held-out text, intended
use, and a licence (`license:` in the header).
"""


def model_card(causal_lm):
    """Describe a model from its own figures.

    Args:
        causal_lm: A `DecoderCausalLM`.

    Returns:
        str, Markdown with a header in YAML.
    """
    backbone = causal_lm.backbone
    table = backbone.token_embedding
    rows = {
        "class": type(causal_lm).__name__,
        "parameters": f"{backbone.count_params():,}, of which "
        f"{table.count_params():,} in the embedding table, "
        "which also gives the logits",
        "layers": backbone.num_layers,
        "attention heads": f"{backbone.num_heads} of width {backbone.head_dim}",
        "width": f"{backbone.hidden_dim}, in the MLPs "
        f"{backbone.intermediate_dim}",
        "positions": backbone.position,
        "ids": f"{backbone.vocabulary_size:,}",
        "quantized to": quantization(backbone) or "not quantized",
        **tokenizer_rows(causal_lm.preprocessor),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return (
        f"{_HEADER}\n# {type(causal_lm).__name__}\n\n"
        "A decoder-only language model over tokens that stand for bytes of "
        "text,\nmade with keras_nc (see arXiv 2404.03626).\n\n"
        "| | |\n|---|---|\n" + "\n".join(lines) + f"\n{_USE}"
    )


def quantization(backbone):
    """Modes that layers are quantized to, such as `"int8"`."""
    policy = keras.dtype_policies.get(backbone.get_config()["dtype"])
    if not isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        policy = {"": policy}
    modes = {policy[path].quantization_mode for path in policy} - {None}
    return ", ".join(sorted(modes))


def tokenizer_rows(preprocessor):
    """What a card says of the tokenizer, a dict."""
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if tokenizer is None:
        return {"tokenizer": "none saved with it"}
    rows = {"tokenizer": tokenizer.scheme_name}
    config = tokenizer.scheme.get_config()
    if config.get("window_bits") is not None:
        rows["bits per window, W"] = config["window_bits"]
    if config.get("token_bits") is not None:
        rows["bits per token, N"] = config["token_bits"]
    rows["tokenizer's fingerprint"] = f"`{tokenizer.fingerprint}`"
    rows["tokens per example"] = preprocessor.sequence_length
    return rows
