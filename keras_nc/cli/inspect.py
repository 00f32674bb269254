"""`keras-nc inspect`: describe what a path holds."""

import heapq
import pathlib

import click
import numpy as np

from keras_nc.cli.block_coders import find_blocks
from keras_nc.cli.container import BLOCK_BYTES
from keras_nc.cli.container import BY_MODEL
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.display import make_console
from keras_nc.cli.display import print_table
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import quoted
from keras_nc.cli.display import ratio
from keras_nc.cli.files import MODEL_CONFIG
from keras_nc.cli.files import NAMES
from keras_nc.cli.files import TOKENIZER_CONFIG
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import find_kind
from keras_nc.cli.files import holds_model
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import locate
from keras_nc.cli.files import open_input
from keras_nc.cli.files import read_json
from keras_nc.cli.files import read_scheme
from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding.codebook_file import FORMAT_VERSION as CODEBOOK_VERSION

#: Arguments of a backbone that do not affect its size.
_UNINTERESTING = {"name", "trainable", "dtype"}
_SPECIAL = {0: "(pad)", 1: "(start)", 2: "(end)"}


@click.command()
@click.argument("path")
@click.option(
    "--text",
    metavar="FILE",
    help="For a codebook or a preset: count the windows of this text.",
)
@codebook_option(
    "For shards and encoded files: also show tokens as text.", required=False
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows of each table.",
)
def inspect(path, text, codebook, top):
    """Describe PATH.

    PATH is a codebook, an encoded file, a folder of token shards, a preset or a
    built-in name. The tables repeat what the files say; `keras-nc verify`
    checks the files.
    """
    kind = find_kind(path)
    if text is not None and kind not in ("codebook", "preset"):
        raise ValueError(
            "--text is for codebooks and presets. Received: --text for "
            f"{path!r}, {NAMES[kind]}. Leave it out."
        )
    if codebook is not None and kind not in ("shards", "encoded"):
        raise ValueError(
            "--with is for token shards and encoded files. Received: --with "
            f"for {path!r}, {NAMES[kind]}. Leave it out."
        )
    if kind == "codebook":
        inspect_codebook(path, text, top)
    elif kind == "preset":
        inspect_preset(path, text, top)
    elif kind == "shards":
        inspect_shards(path, codebook, top)
    else:
        inspect_encoded(path, codebook, top)


def inspect_preset(path, text, top):
    """Print tables on a preset, and on its codebook if it has one.

    Args:
        path: str, a folder.
        text: str, a file to count windows in, or `None`.
        top: int, rows of a table.
    """
    folder = pathlib.Path(locate(path))
    rows = _model_rows(folder)
    scheme = {}
    if (folder / TOKENIZER_CONFIG).exists():
        scheme = read_scheme(folder)
        class_name, _ = _read_class(folder / TOKENIZER_CONFIG)
        rows.append(("tokenizer", class_name))
        rows += [(f"tokenizer.{k}", _show(v)) for k, v in scheme.items()]
    has_codebook = scheme.get("name") == "equal_info"
    if text is not None and not has_codebook:
        raise ValueError(
            "--text counts windows, so the preset must have a codebook. "
            f"Received: {path!r}, whose tokenizer is {scheme.get('name')!r}. "
            "Leave out --text."
        )
    rows.append(("not checked", f"its files; `keras-nc verify {path}` does"))
    if has_codebook:
        inspect_codebook(path, text, top, first=(f"Preset {path}", rows))
    else:
        print_table(make_console(), f"Preset {path}", rows)


def _model_rows(folder):
    rows = []
    if (folder / "task.json").exists():
        rows.append(("model", _read_class(folder / "task.json")[0]))
    if holds_model(folder):
        class_name, arguments = _read_class(folder / MODEL_CONFIG)
        rows.append(("backbone", class_name))
        rows += [
            (name, _show(value))
            for name, value in arguments.items()
            if name not in _UNINTERESTING
        ]
    if (folder / "metadata.json").exists():
        metadata = read_json(folder / "metadata.json")
        for name in ("parameter_count", "keras_version", "date_saved"):
            if isinstance(metadata, dict) and name in metadata:
                rows.append((name, _show(metadata[name])))
    return rows


def _read_class(path):
    """Read the name and the arguments of the class in a configuration."""
    config = read_json(path)
    if isinstance(config, dict) and isinstance(config.get("config"), dict):
        return str(config.get("class_name")), config["config"]
    raise ValueError(
        "A preset's configuration must describe a Keras object. "
        f"Received: {str(path)!r}, which does not. Save the preset again."
    )


def _show(value):
    return value if type(value) in (int, float, str) else str(value)


def inspect_codebook(path, text, top, first=None):
    """Print tables on a codebook, and on its windows in a text.

    Args:
        path: str, a codebook file or a preset that has one.
        text: str, a file to count windows in, or `None`.
        top: int, rows of a table.
        first: title and rows of a table to print before, or `None`.
    """
    codebook = load_codebook(path)
    # Count first, so that an unreadable text gives one line and no tables.
    counts = None if text is None else _count_windows(codebook, text)
    console = make_console()
    if first is not None:
        print_table(console, *first)
    _print_summary(console, codebook)
    if counts is None:
        _print_windows(console, codebook, top)
    else:
        print_text_summary(console, codebook, text, counts)
        print_frequent(
            console, counts, top, lambda i: quoted(codebook.token_bytes(i))
        )


def _count_windows(codebook, path):
    counts = np.zeros(1 << codebook.window_bits, np.int64)
    with (
        open_input(path) as (source, size),
        progress_bar("Counting", size) as progress,
    ):
        rest = b""
        while block := source.read(BLOCK_BYTES):
            # The windows at the end may change with what comes next.
            codes, committed = codebook.encode_part(rest + block)
            rest = (rest + block)[committed:]
            counts += np.bincount(codes, minlength=len(counts))
            progress(len(block))
        counts += np.bincount(codebook.encode(rest), minlength=len(counts))
    return counts


def _print_summary(console, codebook):
    lengths = codebook.token_lengths
    used = lengths[lengths > 0]
    rows = [
        ("fingerprint", codebook.fingerprint),
        ("format version", CODEBOOK_VERSION),
        ("window bits (W)", codebook.window_bits),
        ("windows", used.size),
        # Special ids are not codes.
        ("codes without a window", lengths.size - NUM_SPECIAL - used.size),
        ("allocation", codebook.allocation),
        ("parse", codebook.parse),
        ("longest window, bytes", int(used.max())),
        ("longest allowed, bytes", codebook.max_window_bytes),
        ("mean of all windows, bytes", float(used.mean())),
    ]
    print_table(console, "Codebook", rows)


def _print_windows(console, codebook, top):
    ids = np.flatnonzero(codebook.token_lengths)
    windows = {int(i): codebook.token_bytes(i) for i in ids}
    # Skip a window if a longer one begins with it: of runs of spaces, only
    # the longest is shown.
    following = [*list(windows.values())[1:], b""]
    leaves = [
        i
        for (i, window), after in zip(windows.items(), following, strict=True)
        if not after.startswith(window)
    ]
    longest = heapq.nsmallest(top, leaves, key=lambda i: (-len(windows[i]), i))
    rows = [(i, len(windows[i]), quoted(windows[i])) for i in longest]
    title = "Longest windows that no other window begins with"
    print_table(console, title, rows, ["id", "bytes", "window"])

    # A probable prefix has many codes. Count only the ids with a window.
    before = np.cumsum([0, *(codebook.token_lengths > 0)])
    ranges = {}
    for window in windows.values():
        if len(window) > 1:
            low, high = codebook.prefix_range(window)
            size = int(before[high] - before[low])
            ranges[window] = (size, low, high)
    most = heapq.nsmallest(top, ranges, key=lambda w: (-ranges[w][0], w))
    rows = []
    for window in most:
        size, low, high = ranges[window]
        share = 100 * size / len(codebook.token_lengths)
        span = f"[{low:,}, {high:,})"
        rows.append((quoted(window), size, share, span))
    columns = ["prefix", "codes", "% of all ids", "range"]
    title = "Prefixes of at least two bytes with the most codes"
    print_table(console, title, rows, columns)


def print_text_summary(console, codebook, name, counts):
    """Print how well a codebook fits the windows counted in a text."""
    num_codes = int(counts.sum())
    num_bytes = int(counts @ codebook.token_lengths)
    p = counts[counts > 0] / max(num_codes, 1)
    entropy = float(-(p * np.log2(p)).sum()) * num_codes
    rows = [
        ("bytes", num_bytes),
        ("windows", num_codes),
        ("different windows", int(np.count_nonzero(counts))),
        ("bytes/window", ratio(num_bytes, num_codes)),
        (
            "bits/byte, windows as they are",
            ratio(codebook.window_bits * num_codes, num_bytes),
        ),
        # An ideal code for the windows of this text would take this.
        ("bits/byte, entropy of the windows", ratio(entropy, num_bytes)),
    ]
    print_table(console, f"Text {name}", rows)


def inspect_shards(path, codebook, top):
    """Print tables on a folder of token shards.

    Args:
        path: str.
        codebook: str, the codebook or preset that made them, or `None`.
        top: int, rows of the table of frequent tokens.
    """
    # Import late, because it would slow down the start of every command.
    from keras_nc.data import TokenShards
    from keras_nc.evaluation import token_counts

    shards = TokenShards(path)
    show = None
    if codebook is not None:
        show = _show_tokens(shards, load_codebook(codebook))
    total = shards.num_tokens * shards.dtype.itemsize
    with progress_bar("Counting", total) as progress:
        counts = token_counts(shards, progress)
    console = make_console()
    rows = [
        ("tokenizer", shards.scheme_name),
        ("fingerprint", shards.fingerprint),
        ("vocabulary", shards.vocabulary_size),
        ("type of a token", shards.dtype.name),
        ("shards", len(shards.manifest["shards"])),
        ("documents", shards.num_documents),
        ("tokens", shards.num_tokens),
        ("end ids", shards.num_documents),
        ("bytes", shards.num_bytes),
        ("bytes/token", ratio(shards.num_bytes, shards.num_tokens)),
        ("different tokens", int(np.count_nonzero(counts))),
        ("not checked", f"the files' content; `keras-nc verify {path}` does"),
    ]
    print_table(console, "Token shards", rows)
    print_frequent(console, counts, top, show)


def _show_tokens(shards, codebook):
    """Return a function from ids to text; check that the codebook fits."""
    # The fingerprint of an equal-info tokenizer is that of its codebook, and
    # perhaps "-" and the bits of a token.
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
            "Tokens can be shown as text if each is a window. Received: tokens "
            f"of {token_bits} bits for windows of {codebook.window_bits} bits. "
            "Leave out --with."
        )
    return lambda i: _SPECIAL.get(i) or quoted(codebook.token_bytes(i))


def inspect_encoded(path, codebook, top):
    """Print tables on a file that `keras-nc encode` wrote.

    Args:
        path: str.
        codebook: str, the codebook or preset that made it, or `None`.
        top: int, rows of the table of frequent windows.
    """
    counts = np.zeros(1 << 16, np.int64)
    num_blocks = num_codes = 0
    with open_input(path) as (source, size):
        reader = ContainerReader(source, path)
        by_model = reader.method == BY_MODEL
        if by_model and codebook is not None:
            raise ValueError(
                "Codes can be shown if a file has codes. Received: --with for "
                f"{path!r}, which was encoded with a model in the loop. Leave "
                "out --with."
            )
        blocks = None if codebook is None else find_blocks(reader, codebook)
        with progress_bar("Counting", size) as progress:
            for block in reader.blocks():
                num_blocks += 1
                num_codes += block.num_codes
                if blocks:
                    codes = blocks.codes(block)
                    counts += np.bincount(codes, minlength=len(counts))
                progress(len(block.content))
    console = make_console()
    maker, unit = ("model", "stream") if by_model else ("codebook", "code")
    rows = [
        ("format version", reader.version),
        (f"{maker}'s fingerprint", reader.fingerprint),
        ("SHA-256 of the text", reader.sha256.hex()),
        ("bytes of the text", reader.num_bytes),
        ("blocks", num_blocks),
        (f"{unit}s", num_codes),
        (f"bytes/{unit}", ratio(reader.num_bytes, num_codes)),
        ("bytes of the file", source.num_bytes),
        (
            "bits/byte of the file",
            ratio(8 * source.num_bytes, reader.num_bytes),
        ),
    ]
    if blocks:
        rows.append(("different codes", int(np.count_nonzero(counts))))
    elif not by_model:
        rows.append(("not shown", "the codes; --with CODEBOOK shows them"))
    rows.append(("not checked", "the text; `keras-nc verify --with` does"))
    print_table(console, "Encoded file", rows)
    if blocks:
        print_frequent(
            console,
            counts,
            top,
            lambda i: quoted(blocks.codebook.token_bytes(i)),
        )


def print_frequent(console, counts, top, show=None):
    """Print the most frequent ids of an array of counts.

    Args:
        console: where to.
        counts: int64 of shape (V,).
        top: int, how many.
        show: function from an id to text, or `None` if bytes are unknown.
    """
    total = max(int(counts.sum()), 1)
    order = np.argsort(-counts, kind="stable")[:top]
    columns = ["id", "count", "% of all"] + ["bytes"] * (show is not None)
    rows = []
    for i in order[counts[order] > 0].tolist():
        row = [i, int(counts[i]), 100 * int(counts[i]) / total]
        rows.append(row if show is None else [*row, show(i)])
    print_table(console, "Most frequent", rows, columns)
