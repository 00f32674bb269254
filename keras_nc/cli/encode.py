"""`keras-nc encode` and `keras-nc decode`: a file to its codes and back.

Both work on files of any size in bounded memory, and on several blocks at a
time.
"""

import collections
import concurrent.futures
import hashlib
import os
import re

import click

from keras_nc.cli.block_coders import find_blocks
from keras_nc.cli.block_coders import load_blocks
from keras_nc.cli.container import BY_MODEL
from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import summary
from keras_nc.cli.files import DEFAULT_CODEBOOK
from keras_nc.cli.files import check_output
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import force_option
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output
from keras_nc.progress import ignore

SUFFIX = ".knc"
#: More threads would take memory.
_MAX_THREADS = 8
_SAME_MACHINE = (
    "keras-nc: a file that a model encodes decodes only with the same software "
    "on the same hardware, and as slowly as it is encoded. To decode anywhere, "
    "encode without --with."
)


def read_blocks(source, block_bytes):
    """Yield a stream's bytes in blocks.

    The end of a text joins the block before if it is short, because a coder
    would have to learn everything again.

    Args:
        source: a binary stream.
        block_bytes: int.
    """
    held = b""
    while block := source.read(block_bytes):
        if len(block) < block_bytes // 2:
            held += block
            continue
        if held:
            yield held
        held = block
    if held:
        yield held


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
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # after an error or Ctrl-C
                future.cancel()


def encode_stream(blocks, source, sink, progress=ignore):
    """Encode a stream into a container.

    Args:
        blocks: `CodeBlocks` or `ModelBlocks`.
        source: a binary stream, the text.
        sink: a binary stream, the container.
        progress: function to call with the number of bytes of text encoded.

    Returns:
        The numbers of bytes and of codes.
    """
    digest = hashlib.sha256()
    num_bytes = num_codes = 0

    def hashed():
        for text in read_blocks(source, blocks.block_bytes):
            digest.update(text)
            yield text

    writer = ContainerWriter(
        sink, blocks.fingerprint, blocks.method, blocks.probe
    )
    for block in map_in_threads(blocks.pack, hashed()):
        writer.write(block)
        num_bytes += block.num_bytes
        num_codes += block.num_codes
        progress(block.num_bytes)
    writer.finish(num_bytes, digest.digest())
    return num_bytes, num_codes


def check_encoded(blocks, path, name, progress=ignore):
    """Decode a container, and compare its text with its checksum.

    Args:
        blocks: the `CodeBlocks` or `ModelBlocks` that encoded it.
        path: str, the container.
        name: str, the name of the codebook or model in errors.
        progress: function to call with the number of bytes of codes decoded.

    Raises:
        ValueError: if other bytes come back than were encoded.
    """
    try:
        with open(path, "rb") as source, open(os.devnull, "wb") as nowhere:
            reader = ContainerReader(source, path)
            decode_stream(blocks, reader, nowhere, progress)
    except ValueError as error:
        raise ValueError(
            "A codebook, preset or model must give back every byte that it "
            f"encodes. Received: {name!r}, whose codes decode to another text. "
            "Nothing was written. Pass another one."
        ) from error


def decode_stream(blocks, reader, sink, progress=ignore):
    """Decode a container. The output is valid only if this returns.

    Args:
        blocks: what `find_blocks` returns.
        reader: the `ContainerReader`, at the first block.
        sink: a binary stream, the text.
        progress: function to call with the number of bytes of codes decoded.

    Returns:
        The numbers of bytes and of codes.

    Raises:
        ValueError: if the container is damaged.
    """
    digest = hashlib.sha256()
    num_bytes = num_codes = 0
    for block, text in _unpack(blocks, reader.blocks()):
        digest.update(text)
        sink.write(text)
        num_bytes += len(text)
        num_codes += block.num_codes
        progress(len(block.content))
    if (num_bytes, digest.digest()) != (reader.num_bytes, reader.sha256):
        raise reader.damaged("codes whose text does not match its checksum")
    return num_bytes, num_codes


def decode_range(blocks, reader, sink, start, end):
    """Decode a part of a container; read no more than the part needs.

    The checksums of its blocks are compared, not the one of the whole text.

    Args:
        blocks: what `find_blocks` returns.
        reader: the `ContainerReader`, at the first block.
        sink: a binary stream, the part of the text.
        start: int, the first byte of the part.
        end: int, the byte after the last; `None` for all the rest.

    Returns:
        int, the byte after the last.

    Raises:
        ValueError: if the container is damaged, or its text is shorter than
            the part requires.
    """
    done = 0
    for block, text in _unpack(blocks, _take_until(reader.blocks(start), end)):
        if text is not None:
            stop = None if end is None else max(end - done, 0)
            sink.write(text[max(start - done, 0) : stop])
        done += block.num_bytes
        if end is not None and done >= end:
            return end
    if start > done or end is not None:
        received = f"{start}:{'' if end is None else end}"
        raise ValueError(
            f"A range must lie in the text. Received: {received} for "
            f"{reader.name!r}, whose text has {done:,} bytes. Pass a smaller "
            "range."
        )
    return done


def _take_until(blocks, end):
    """Yield the blocks of the first bytes of a text; all if `end` is `None`."""
    done = 0
    for block in blocks:
        yield block
        done += block.num_bytes
        if end is not None and done >= end:
            return


def _unpack(coder, blocks):
    """Yield blocks and their texts; `None` for those that were skipped."""

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
    "What to encode with: a codebook, a preset, or a built-in name. "
    "byte_lm_3m_en and other models over bytes make the smallest files, "
    "slowly.",
    default=DEFAULT_CODEBOOK,
)
@click.option("-o", "--output", help=f"Output file. [default: FILE{SUFFIX}]")
@force_option
def encode(file, codebook, output, force):
    """Encode FILE ('-' for standard input), so that it gets smaller.

    `keras-nc decode` restores the same bytes. It needs the same codebook, or
    for a model in the loop the same model, software and hardware. Before the
    output gets its name, it is decoded and compared with FILE.
    """
    if output is None:
        if file == "-":
            raise ValueError(
                "The output of standard input needs a name. Received: '-' "
                "without -o. Pass a name with -o."
            )
        output = file + SUFFIX
    check_output(output, force, keep=codebook)
    with open_input(file) as (source, size):
        blocks = load_blocks(codebook)
        if blocks.method == BY_MODEL:
            click.echo(_SAME_MACHINE, err=True)
        with open_output(output) as sink:
            with progress_bar("Encoding", size) as progress:
                counts = encode_stream(blocks, source, sink, progress)
            sink.flush()
            size = os.path.getsize(sink.name)
            with progress_bar("Checking", size) as progress:
                check_encoded(blocks, sink.name, codebook, progress)
    click.echo(f"{output}: {_summary(blocks, *counts, size)}")


@click.command()
@click.argument("file")
@codebook_option(
    "What FILE was encoded with; not needed if that is built in.",
    required=False,
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
    check_output(output, force, keep=codebook)
    with open_input(file) as (source, size):
        reader = ContainerReader(source, file)
        blocks = find_blocks(reader, codebook)
        with (
            open_output(output) as sink,
            progress_bar("Decoding", size) as progress,
        ):
            if part is None:
                counts = decode_stream(blocks, reader, sink, progress)
            else:
                end = decode_range(blocks, reader, sink, *part)
    if part is not None:
        click.echo(f"{output}: bytes {part[0]:,} to {end:,} of the text")
        return
    size = source.num_bytes
    click.echo(f"{output}: {_summary(blocks, *counts, size)}")


def _summary(blocks, num_bytes, num_codes, file_bytes):
    """Describe an encoded file in one line."""
    if blocks.method == BY_MODEL:
        line = (
            f"{num_bytes:,} bytes with a model in the loop; the encoded file "
            f"has {file_bytes:,} bytes"
        )
        if num_bytes:
            line += f", {8 * file_bytes / num_bytes:.3f} bits/byte"
        return line
    return summary(blocks.codebook, num_bytes, num_codes, file_bytes)
