"""`keras-nc generate` and `keras-nc score`: use a trained model."""

import os
import sys

import click

from keras_nc.cli.errors import option_names
from keras_nc.cli.files import STANDARD_STREAM
from keras_nc.cli.files import load_model
from keras_nc.cli.files import open_input


@click.command()
@click.argument("preset")
@click.argument("prompt", default="")
@click.option(
    "--file", help="Continue this file instead ('-' for standard input)."
)
@click.option(
    "--tokens",
    type=click.IntRange(min=2, max=1 << 20),
    help="Most tokens of prompt and continuation together. [default: the "
    "sequence length of the preset]",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, max=100),
    default=0.7,
    show_default=True,
    help="Randomness; 0 always takes the most probable token.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.9,
    show_default=True,
    help="Sample from the most probable tokens, up to this total probability.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=(1 << 31) - 1),
    help="The same seed gives the same text.",
)
@click.option("--stop", multiple=True, help="End after this text; repeatable.")
def generate(preset, prompt, file, tokens, temperature, top_p, seed, stop):
    """Continue PROMPT byte for byte with the model of PRESET.

    The text appears as it grows. PRESET is a folder, such as
    runs/demo/models/windows/preset after `make demo`.
    """
    if prompt and file is not None:
        raise ValueError(
            "`generate` takes either PROMPT or --file. Received: both. Pass "
            "one of the two."
        )
    if file is None:
        # Arguments may not be UTF-8. fsencode restores their bytes.
        data = os.fsencode(prompt)
    else:
        with open_input(file) as (source, _):
            data = source.read()
    # With a smaller temperature, `logits / temperature` overflows float32.
    if not temperature >= 0.001 and temperature != 0:
        raise ValueError(
            "--temperature must be 0, or from 0.001 to 100. Received: "
            f"{temperature}. Pass 0 for the most probable text."
        )
    if "" in stop:
        raise ValueError(
            "--stop must have at least one byte. Received: ''. Leave it out to "
            "stop where the model ends the text."
        )
    model = load_model(preset)
    model.compile(sampler=make_sampler(temperature, top_p, seed))
    with option_names({"max_length": "--tokens"}):
        parts = model.generate_stream(
            data, tokens, stop=[os.fsencode(text) for text in stop] or None
        )
    output = sys.stdout.buffer
    output.write(data)
    output.flush()
    for part in parts:
        output.write(part)
        output.flush()
    output.write(b"\n")
    output.flush()


def make_sampler(temperature, top_p, seed):
    """Make a sampler of keras-hub."""
    import keras_hub

    if temperature == 0:
        return keras_hub.samplers.GreedySampler()
    return keras_hub.samplers.TopPSampler(
        p=top_p, temperature=temperature, seed=seed
    )


@click.command()
@click.argument("preset")
@click.argument("files", nargs=-1, required=True)
def score(preset, files):
    """Print the bits per byte of FILES under the model of PRESET.

    These are the bits of all tokens of a file and of its end, divided by its
    bytes. The tokens are cut into sequences of the length used in training.
    The model sees one sequence at a time.
    """
    if files.count(STANDARD_STREAM) > 1:
        raise ValueError(
            "Standard input can be read once. Received: '-' "
            f"{files.count(STANDARD_STREAM)} times. Pass it once."
        )
    texts = []
    for path in files:
        with open_input(path) as (source, _):
            texts.append(source.read())
        if not texts[-1]:
            raise ValueError(
                "Bits per byte need at least one byte. Received: the empty "
                f"file {path!r}. Leave it out."
            )
    model = load_model(preset)
    for path, text in zip(files, texts, strict=True):
        value = model.bits_per_byte(text)
        click.echo(f"{path}: {len(text):,} bytes, {value:.4f} bits/byte")
