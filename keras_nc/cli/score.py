"""`keras-nc score`: bits per byte of files under a trained model."""

import click


@click.command()
@click.argument("preset")
@click.argument("files", nargs=-1, required=True)
def score(preset, files):
    """Print what each of FILES costs under the model of PRESET.

    Bits of all tokens, the end of the text included, per byte. Every file is
    one text, scored in pieces as long as those of the training, and nothing
    is seen of the piece before.
    """
    from keras_nc.cli.files import open_input
    from keras_nc.cli.models import load_model

    if files.count("-") > 1:
        raise ValueError(
            "Standard input can be read once. Received: '-' "
            f"{files.count('-')} times. Pass it once."
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
