"""Describe token shards and encoded files."""

import numpy as np

from keras_nc.cli.container import FORMAT_VERSION
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import quoted
from keras_nc.cli.display import ratio
from keras_nc.cli.files import open_input
from keras_nc.cli.inspect_codebook import print_frequent
from keras_nc.cli.loading import load_codebook

_TOKENS_AT_A_TIME = 1 << 22
_SPECIAL = {0: "(pad)", 1: "(start)", 2: "(end)"}


def inspect_shards(path, codebook, top):
    """Print tables on a folder of token shards.

    Args:
        path: str.
        codebook: str, the codebook or preset that made them, or `None`.
        top: int, rows of the table of frequent tokens.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import TokenShards

    shards = TokenShards(path)
    show = None
    if codebook is not None:
        show = _show_tokens(shards, load_codebook(codebook))
    counts = np.zeros(shards.vocabulary_size, np.int64)
    total = shards.num_tokens * shards.dtype.itemsize
    with progress_bar("Counting", total) as progress:
        for start in range(0, shards.num_tokens, _TOKENS_AT_A_TIME):
            stop = min(start + _TOKENS_AT_A_TIME, shards.num_tokens)
            tokens = shards.tokens(start, stop)
            if tokens.max() >= len(counts):
                raise ValueError(
                    f"Tokens must be below {len(counts)}, the vocabulary's "
                    f"size. Received: {tokens.max()} in {path!r}. Write the "
                    "shards again."
                )
            counts += np.bincount(tokens, minlength=len(counts))
            progress(tokens.nbytes)
    console = make_console()
    rows = [
        ("tokenizer", shards.scheme_name),
        ("fingerprint", shards.fingerprint),
        ("vocabulary", shards.vocabulary_size),
        ("type of a token", shards.dtype.name),
        ("shards", len(shards.manifest["shards"])),
        ("documents", shards.num_documents),
        ("tokens", shards.num_tokens),
        ("of them end ids", shards.num_documents),
        ("bytes", shards.num_bytes),
        ("bytes/token", ratio(shards.num_bytes, shards.num_tokens)),
        ("different tokens", int(np.count_nonzero(counts))),
        ("not checked", f"the files' content; `keras-nc verify {path}` does"),
    ]
    print_table(console, "Token shards", rows)
    print_frequent(console, counts, top, show)


def _show_tokens(shards, codebook):
    """Return a function from ids to text; check that the codebook fits."""
    # The fingerprint of an equal-info tokenizer names the codebook and the
    # token bits. Those of other schemes are compared as a whole.
    fingerprint, _, token_bits = shards.fingerprint.partition("-")
    if fingerprint != codebook.fingerprint:
        raise ValueError(
            "Tokens must be shown with the codebook that made them. Received: "
            f"a codebook with fingerprint {codebook.fingerprint}; the shards "
            f"were made by {shards.scheme_name!r} with fingerprint "
            f"{shards.fingerprint}. Pass that codebook with --with."
        )
    if token_bits and int(token_bits) != codebook.window_bits:
        raise ValueError(
            "A token must be a whole window to stand for bytes. Received: "
            f"tokens of {token_bits} bits, windows of "
            f"{codebook.window_bits}. Leave out --with."
        )
    return lambda i: _SPECIAL.get(i) or quoted(codebook.token_bytes(i))


def inspect_encoded(path, codebook, top):
    """Print tables on a file that `keras-nc encode` wrote.

    Args:
        path: str.
        codebook: str, the codebook or preset that made it, or `None`.
        top: int, rows of the table of frequent windows.
    """
    loaded = None if codebook is None else load_codebook(codebook)
    counts = np.zeros(1 << 16, np.int64)
    with open_input(path) as (source, size):
        reader = ContainerReader(source, path)
        if loaded is not None and loaded.fingerprint != reader.fingerprint:
            raise ValueError(
                "Codes must be shown with the codebook that made them. "
                f"Received: a codebook with fingerprint {loaded.fingerprint}; "
                f"{path!r} needs {reader.fingerprint}. Pass that codebook "
                "with --with."
            )
        with progress_bar("Counting", size) as progress:
            for codes in reader.blocks():
                counts += np.bincount(codes, minlength=len(counts))
                progress(codes.nbytes)
    num_codes = int(counts.sum())
    show = loaded and (lambda i: quoted(loaded.token_bytes(i)))
    console = make_console()
    rows = [
        ("format version", FORMAT_VERSION),
        ("codebook's fingerprint", reader.fingerprint),
        ("SHA-256 of the text", reader.sha256.hex()),
        ("bytes of the text", reader.num_bytes),
        ("codes", num_codes),
        ("bytes/code", ratio(reader.num_bytes, num_codes)),
        ("bytes of the file", source.num_bytes),
        (
            "bits/byte of the file",
            ratio(8 * source.num_bytes, reader.num_bytes),
        ),
        ("different codes", int(np.count_nonzero(counts))),
        ("not checked", "the text; `keras-nc verify --with` does"),
    ]
    print_table(console, "Encoded file", rows)
    print_frequent(console, counts, top, show)
