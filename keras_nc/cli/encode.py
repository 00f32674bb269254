"""`keras-nc encode` and `keras-nc decode`: a file to its codes and back.

Both work on files of any size in bounded memory.
"""

import contextlib
import hashlib
import os

import click

from keras_nc.cli.container import ContainerReader
from keras_nc.cli.container import ContainerWriter
from keras_nc.cli.display import progress_bar
from keras_nc.cli.display import summary
from keras_nc.cli.files import check_output
from keras_nc.cli.files import codebook_option
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import open_input
from keras_nc.cli.files import open_output

SUFFIX = ".knc"
#: Bytes of text to encode at a time.
BLOCK_BYTES = 1 << 20


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
    """Encode a text that comes in blocks.

    The codes do not depend on where blocks end: bytes whose windows later
    bytes may change are encoded with the next block.

    Args:
        codebook: what `load_codebook` returns.
        blocks: iterable of bytes.

    Yields:
        Codes, uint16 of shape (T,); joined, they are
        `codebook.encode(b"".join(blocks))`.

    Example:
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.entropy_models import UnigramModel
    >>> uniform = UnigramModel([1] * 256)
    >>> codebook = Codebook.paper(uniform, window_bits=10)
    >>> blocks = [b"a", b"", bytes(3)]
    >>> [codes.tolist() for codes in encode_blocks(codebook, blocks)]
    [[392, 4]]
    """
    rest = b""
    for block in blocks:
        text = rest + block
        codes, committed = codebook.encode_part(text)
        rest = text[committed:]
        if len(codes):
            yield codes
    if rest:
        yield codebook.encode(rest)


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
    for codes in encode_blocks(codebook, hashed()):
        writer.write(codes)
        num_codes += len(codes)
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
    reader = ContainerReader(source, name)
    if reader.fingerprint != codebook.fingerprint:
        raise ValueError(
            "A file must be decoded with the codebook that encoded it. "
            f"Received: a codebook with fingerprint {codebook.fingerprint}; "
            f"{name!r} needs {reader.fingerprint}. Pass that codebook."
        )
    digest = hashlib.sha256()
    num_bytes = num_codes = 0
    for codes in reader.blocks():
        text = codebook.decode(codes)
        digest.update(text)
        sink.write(text)
        num_bytes += len(text)
        num_codes += len(codes)
        progress(codes.nbytes)
    if (num_bytes, digest.digest()) != (reader.num_bytes, reader.sha256):
        raise reader.damaged("codes whose text does not match its checksum")
    return num_bytes, num_codes


force_option = click.option(
    "--force", is_flag=True, help="Replace a file that exists."
)


@click.command()
@click.argument("file")
@codebook_option("The codebook to encode with: its file, or a preset.")
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
@codebook_option("The codebook file or preset that FILE was encoded with.")
@click.option(
    "-o", "--output", help=f"Output file. [default: FILE without {SUFFIX}]"
)
@force_option
def decode(file, codebook, output, force):
    """Decode FILE ('-' for standard input), an output of `encode`.

    The text gets its name only if its checksum is right.
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
