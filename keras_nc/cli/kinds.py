"""What a path holds, by what it begins with or which files are there."""

import pathlib

from keras_nc.cli.container import MAGIC

#: What archives of arrays begin with.
ZIP = b"PK\x03\x04"


def find_kind(path):
    """Tell what a path holds.

    Args:
        path: str.

    Returns:
        `"shards"`, `"preset"`, `"encoded"` or `"codebook"`. A codebook may
        still turn out to be another archive of arrays.

    Raises:
        ValueError: if it holds something else.
        OSError: if it cannot be read.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        if names & {"manifest.json", "progress.json"}:
            return "shards"
        if names & {"config.json", "task.json", "tokenizer.json"}:
            return "preset"
        raise ValueError(
            "A folder must hold token shards or a preset. Received: "
            f"{str(path)!r}, which holds neither. Name a folder that "
            "`write_shards` or `save_to_preset` wrote."
        )
    with open(path, "rb") as stream:
        begin = stream.read(len(MAGIC))
    if begin == MAGIC:
        return "encoded"
    if begin.startswith(ZIP):
        return "codebook"
    begins = f"begins with {begin!r}" if begin else "is empty"
    raise ValueError(
        "An encoded or codebook file must begin as `keras-nc encode` or "
        f"`Codebook.save` writes it. Received: {str(path)!r}, which {begins}. "
        "Name such a file, or a folder of token shards or of a preset."
    )
