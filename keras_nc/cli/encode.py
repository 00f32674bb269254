"""`keras-nc encode` and `keras-nc decode`: a file to its codes and back.

Both work on files of any size in bounded memory, and on several blocks at a
time.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import os
import re

import click
import numpy as np

from keras_nc.cli.container import BLOCK_BYTES
from keras_nc.cli.container import MAX_BLOCK_BYTES
from keras_nc.cli.container import BlockCoder
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import summary
from keras_nc.cli.files import DEFAULT_CODEBOOK
from keras_nc.cli.files import check_output
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import force_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output

SUFFIX = ".knc"
#: More threads would take memory, and wait for the one that cuts the text.
_MAX_THREADS = 8


def ignore(num_bytes):
    """Ignore a report of progress."""


def read_blocks(source, progress=ignore):
    """Yield a stream's bytes in blocks.

    Args:
        source: a binary stream.
        progress: function to call with the number of bytes read.
    """
    while block := source.read(BLOCK_BYTES):
        yield block
        progress(len(block))


def encode_blocks(codebook, blocks):
    r"""Encode a text that comes in blocks.

    The codes do not depend on where blocks end: bytes whose windows later
    bytes may change are encoded with the next block.

    Args:
        codebook: what `load_codebook` returns.
        blocks: iterable of bytes.

    Yields:
        Codes, uint16 of shape (T,), and the bytes that they stand for. All
        codes, joined, are `codebook.encode(b"".join(blocks))`.

    Example:
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.entropy_models import UnigramModel
    >>> uniform = UnigramModel([1] * 256)
    >>> codebook = Codebook.paper(uniform, window_bits=10)
    >>> blocks = [b"a", b"", bytes(3)]
    >>> [(c.tolist(), text) for c, text in encode_blocks(codebook, blocks)]
    [([392, 4], b'a\x00\x00\x00')]
    """
    rest = b""
    for block in blocks:
        text = rest + block
        codes, committed = codebook.encode_part(text)
        rest = text[committed:]
        if len(codes):
            yield codes, text[:committed]
    if rest:
        yield codebook.encode(rest), rest


def form_blocks(codebook, pairs):
    """Join short parts of a text, and cut long ones, so that they fit blocks.

    Args:
        codebook: what `load_codebook` returns.
        pairs: iterable of codes and their text.

    Yields:
        Such pairs, with `MAX_BLOCK_BYTES` bytes of text at most.
    """
    held = None
    for codes, text in pairs:
        # The end of a text is short, and would have to learn all anew.
        is_short = len(text) < BLOCK_BYTES // 2
        if held and is_short and len(held[1] + text) <= MAX_BLOCK_BYTES:
            held = np.concatenate([held[0], codes]), held[1] + text
            continue
        if held:
            yield from _cut(codebook, *held)
        held = codes, text
    if held:
        yield from _cut(codebook, *held)


def _cut(codebook, codes, text):
    """Yield parts of codes and their text that fit a block."""
    if len(text) <= MAX_BLOCK_BYTES:
        yield codes, text
        return
    ends = np.cumsum(codebook.token_lengths[codes], dtype=np.int64)
    first = done = 0
    while first < len(codes):
        most = done + MAX_BLOCK_BYTES
        last = int(np.searchsorted(ends, most, side="right"))
        end = int(ends[last - 1])
        yield codes[first:last], text[done:end]
        first, done = last, end


def map_in_threads(function, items):
    """Apply a function in several threads.

    Args:
        function: takes one argument, and runs without the GIL mostly.
        items: iterable of arguments; only a few are taken in advance.

    Yields:
        The results, in the order of the items.
    """
    workers = min(os.cpu_count() or 1, _MAX_THREADS)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def encode_stream(codebook, source, sink, progress=ignore):
    """Encode a stream into a container.

    Args:
        codebook: what `load_codebook` returns.
        source: a binary stream, the text.
        sink: a binary stream, the container.
        progress: function to call with the number of bytes of text read.

    Returns:
        The numbers of bytes and of codes.
    """
    digest = hashlib.sha256()
    num_bytes = num_codes = 0

    def hashed():
        nonlocal num_bytes
        for block in read_blocks(source, progress):
            digest.update(block)
            num_bytes += len(block)
            yield block

    writer = ContainerWriter(sink, codebook.fingerprint)
    coder = BlockCoder(codebook)
    pairs = form_blocks(codebook, encode_blocks(codebook, hashed()))
    for block in map_in_threads(lambda pair: coder.pack(*pair), pairs):
        writer.write(block)
        num_codes += block.num_codes
    writer.finish(num_bytes, digest.digest())
    return num_bytes, num_codes


def check_encoded(codebook, path, name):
    """Decode a container, and compare its text with its checksum.

    Args:
        codebook: what `load_codebook` returns.
        path: str, the container.
        name: str, the name of the codebook in errors.

    Raises:
        ValueError: if other bytes come back than were encoded.
    """
    try:
        with open(path, "rb") as source, open(os.devnull, "wb") as nowhere:
            decode_stream(codebook, source, nowhere)
    except ValueError as error:
        raise ValueError(
            "A codebook or preset must give back every byte that it encodes. "
            f"Received: {name!r}, whose codes decode to another text. Nothing "
            "was written. Pass another codebook or preset."
        ) from error


def decode_stream(codebook, source, sink, progress=ignore, name="stream"):
    """Decode a container. The output is valid only if this returns.

    Args:
        codebook: what `load_codebook` returns.
        source: a binary stream, the container.
        sink: a binary stream, the text.
        progress: function to call with the number of bytes of codes read.
        name: str, the name of the container in errors.

    Returns:
        The numbers of bytes and of codes.

    Raises:
        ValueError: if the container is damaged, or of another codebook.
    """
    reader = _open_container(codebook, source, name)
    digest = hashlib.sha256()
    num_bytes = num_codes = 0
    for block, text in _unpack(codebook, reader.blocks()):
        digest.update(text)
        sink.write(text)
        num_bytes += len(text)
        num_codes += block.num_codes
        progress(len(block.content))
    if (num_bytes, digest.digest()) != (reader.num_bytes, reader.sha256):
        raise reader.damaged("codes whose text does not match its checksum")
    return num_bytes, num_codes


def decode_range(codebook, source, sink, start, end, name="stream"):
    """Decode a part of a container; read no more than the part needs.

    The checksums of its blocks are compared, not the one of the whole text.

    Args:
        codebook: what `load_codebook` returns.
        source: a binary stream, the container.
        sink: a binary stream, the part of the text.
        start: int, the first byte of the part.
        end: int, the byte after the last; `None` for all the rest.
        name: str, the name of the container in errors.

    Returns:
        int, the byte after the last.

    Raises:
        ValueError: if the container is damaged, or of another codebook, or its
            text is shorter than the part requires.
    """
    reader = _open_container(codebook, source, name)
    done = 0
    blocks = _take_until(reader.blocks(start), end)
    for block, text in _unpack(codebook, blocks):
        if text is not None:
            stop = None if end is None else max(end - done, 0)
            sink.write(text[max(start - done, 0) : stop])
        done += block.num_bytes if text is None else len(text)
        if end is not None and done >= end:
            return end
    if start > done or end is not None:
        received = f"{start}:{'' if end is None else end}"
        raise ValueError(
            f"A range must lie in the text. Received: {received} for {name!r}, "
            f"whose text has {done:,} bytes. Pass a smaller range."
        )
    return done


def _open_container(codebook, source, name):
    """Return the reader of a container; check that the codebook fits."""
    reader = ContainerReader(source, name)
    if reader.fingerprint != codebook.fingerprint:
        raise ValueError(
            "A file must be decoded with the codebook that encoded it. "
            f"Received: a codebook with fingerprint {codebook.fingerprint}; "
            f"{name!r} needs {reader.fingerprint}. Pass that codebook."
        )
    return reader


def _take_until(blocks, end):
    """Yield the blocks of the first bytes of a text; all if `end` is `None`."""
    done = 0
    for block in blocks:
        yield block
        done += block.num_bytes or 0  # not known in version 1
        if end is not None and done >= end:
            return


def _unpack(codebook, blocks):
    """Yield blocks and their texts; `None` for those that were skipped."""
    coder = BlockCoder(codebook)

    def unpack(block):
        return block, None if block.content is None else coder.unpack(block)

    return map_in_threads(unpack, blocks)


def parse_range(context, parameter, value):
    """Return the value of `--range` as two ints, or `None` for an open end."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d*):(\d*)", value, re.ASCII)
    if match:
        start, end = match.groups()
        start, end = int(start or 0), int(end) if end else None
        if end is None or start <= end:
            return start, end
    raise ValueError(
        "A range must be START:END, in bytes of the text, with START up to "
        f"END. Received: --range {value!r}. Pass for example 0:1000, or 5000: "
        "for the rest."
    )


@click.command()
@click.argument("file")
@codebook_option(
    "The codebook to encode with: its file, or a preset.",
    default=DEFAULT_CODEBOOK,
)
@click.option("-o", "--output", help=f"Output file. [default: FILE{SUFFIX}]")
@force_option
def encode(file, codebook, output, force):
    """Encode FILE ('-' for standard input) with a codebook.

    `keras-nc decode` restores the same bytes with the same codebook. Before
    the output gets its name, it is decoded and compared with FILE.
    """
    if output is None:
        if file == "-":
            raise ValueError(
                "The output of standard input needs a name. Received: '-' "
                "without -o. Pass a name with -o."
            )
        output = file + SUFFIX
    with _conversion("Encoding", file, output, codebook, force) as conversion:
        loaded, source, sink, progress = conversion
        counts = encode_stream(loaded, source, sink, progress)
        sink.flush()
        check_encoded(loaded, sink.name, name=codebook)
    size = os.path.getsize(output)
    click.echo(f"{output}: {summary(loaded, *counts, size)}")


@click.command()
@click.argument("file")
@codebook_option(
    "The codebook file or preset that FILE was encoded with.",
    default=DEFAULT_CODEBOOK,
)
@click.option(
    "-o", "--output", help=f"Output file. [default: FILE without {SUFFIX}]"
)
@click.option(
    "--range",
    "part",
    metavar="START:END",
    callback=parse_range,
    help="Decode only these bytes of the text.",
)
@force_option
def decode(file, codebook, output, part, force):
    """Decode FILE ('-' for standard input), an output of `encode`.

    The text gets its name only if its checksum is right. With --range, the
    checksums of the blocks that hold the range are compared instead.
    """
    if output is None:
        output = file.removesuffix(SUFFIX)
        if output in (file, ""):
            raise ValueError(
                f"Without -o, FILE must end with {SUFFIX}. Received: "
                f"{file!r}. Pass a name for the output with -o."
            )
    with _conversion("Decoding", file, output, codebook, force) as conversion:
        loaded, source, sink, progress = conversion
        if part is not None:
            start, end = part
            end = decode_range(loaded, source, sink, start, end, name=file)
            click.echo(f"{output}: bytes {start:,} to {end:,} of the text")
            return
        counts = decode_stream(loaded, source, sink, progress, name=file)
    size = source.num_bytes
    click.echo(f"{output}: {summary(loaded, *counts, size)}")


@contextlib.contextmanager
def _conversion(label, file, output, codebook, force):
    """Open codebook, input and output of a conversion."""
    check_output(output, force, keep=codebook)
    loaded = load_codebook(codebook)
    with (
        open_input(file) as (source, size),
        open_output(output) as sink,
        progress_bar(label, size) as progress,
    ):
        yield loaded, source, sink, progress
