"""`keras-nc inspect`: what a file or folder holds."""

import click


@click.command()
@click.argument("path")
@click.option(
    "--text",
    metavar="FILE",
    help="For a codebook: count its windows in this text.",
)
@click.option(
    "--with",
    "codebook",
    metavar="CODEBOOK",
    help="For shards and encoded files: show tokens as text.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows of a table.",
)
def inspect(path, text, codebook, top):
    """Describe PATH.

    It is a codebook, an encoded file, a folder of token shards or a preset.
    What is shown is what the files say; `keras-nc verify` checks them.
    """
    from keras_nc.cli.kinds import find_kind

    kind = find_kind(path)
    if text is not None and kind not in ("codebook", "preset"):
        raise ValueError(
            "--text counts the windows of a codebook or preset. Received: "
            f"{path!r}. Leave it out."
        )
    if codebook is not None and kind not in ("shards", "encoded"):
        raise ValueError(
            "--with names the codebook of token shards or of an encoded file. "
            f"Received: {path!r}. Leave it out."
        )
    if kind == "codebook":
        from keras_nc.cli.inspect_codebook import inspect_codebook

        inspect_codebook(path, text, top)
    elif kind == "preset":
        from keras_nc.cli.inspect_preset import inspect_preset

        inspect_preset(path, text, top)
    elif kind == "shards":
        from keras_nc.cli.inspect_tokens import inspect_shards

        inspect_shards(path, codebook, top)
    else:
        from keras_nc.cli.inspect_tokens import inspect_encoded

        inspect_encoded(path, codebook, top)
