"""Turn the text of a block into its content and back, by codes or by a model.

The header of a file says which of the two it needs, and which codebook or which
model.
"""

import hashlib
import pathlib
import queue
import zlib

import numpy as np

from keras_nc import presets
from keras_nc.cli.container import BLOCK_BYTES
from keras_nc.cli.container import BY_CODES
from keras_nc.cli.container import BY_MODEL
from keras_nc.cli.container import MAX_BLOCK_BYTES
from keras_nc.cli.container import NO_PROBE
from keras_nc.cli.container import PROBE_BYTES
from keras_nc.cli.container import Block
from keras_nc.cli.files import MODEL_CONFIG
from keras_nc.cli.files import holds_model
from keras_nc.cli.files import load_codebook
from keras_nc.cli.files import locate
from keras_nc.cli.files import read_json
from keras_nc.cli.files import read_scheme
from keras_nc.coding import AdaptiveCoder
from keras_nc.coding import StreamCoder
from keras_nc.imports import prepare_keras

#: Streams of a block, which a model codes side by side.
LANES = 16
#: A model restarts after this many bytes: the longest sequences that the
#: built-in M1 was trained on.
CONTEXT_BYTES = 1024
#: Contexts of a stream, at most, in a block that we write. Longer streams are
#: fewer, so the content has fewer sizes.
_MAX_CONTEXTS = 4
#: See `pack_by_lzma`.
_SAMPLE_BYTES = 1 << 16


class CodeBlocks:
    """Blocks that hold the codes of a codebook, or text by LZMA if smaller.

    Args:
        codebook: what `load_codebook` returns.

    Attributes:
        method, fingerprint, probe: what a file says in its header.
        block_bytes: bytes of text in a block.

    Example:
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.entropy_models import UnigramModel
    >>> codebook = Codebook.paper(UnigramModel([1] * 256), window_bits=10)
    >>> blocks = CodeBlocks(codebook)
    >>> text = b"no " * 100
    >>> block = blocks.pack(text)
    >>> len(block.content), blocks.unpack(block) == text
    (9, True)
    """

    method = BY_CODES
    probe = NO_PROBE
    block_bytes = BLOCK_BYTES

    def __init__(self, codebook):
        self.codebook = codebook
        self.fingerprint = codebook.fingerprint
        used = codebook.token_lengths > 0
        self._coder = AdaptiveCoder(used, codebook.costs)

    def pack(self, text):
        """Return the block of a text."""
        codes = self.codebook.encode(text)
        content = self._coder.encode(codes, limit=len(text) - 1) or text
        packed = pack_by_lzma(text, len(content) - 1)
        return Block(
            len(codes), packed or content, len(text), packed is not None
        )

    def codes(self, block):
        """Return the codes of a block; if it has none, encode its text."""
        if block.holds_text or block.by_lzma:
            return self.codebook.encode(self.unpack(block))
        return self._coder.decode(block.content, block.num_codes)

    def unpack(self, block):
        """Return the text of a block.

        Raises:
            ValueError: if the content is damaged.
        """
        if block.holds_text:
            return block.content
        if block.by_lzma:
            return unpack_by_lzma(block)
        text = self.codebook.decode(self.codes(block))
        if block.num_bytes != len(text):
            raise ValueError(
                "The codes of a block must stand for the bytes that it tells. "
                f"Received: {len(text)} bytes instead of {block.num_bytes}. "
                "Encode the text again."
            )
        return text


class ModelBlocks:
    """Blocks that hold streams, with a model in the loop.

    A block's text is cut into at most `LANES` parts of whole contexts; the last
    part may be shorter. The model codes them side by side. The content has the
    size of each stream in bytes, a uint16, and then the streams.

    Args:
        model: an `EntropyModel`.

    Attributes:
        method, fingerprint, probe: what a file says in its header.
        block_bytes: bytes of text in a block.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> blocks = ModelBlocks(UnigramModel.from_text(b"no "))
    >>> text = b"no " * 1000
    >>> block = blocks.pack(text)
    >>> block.num_codes, blocks.unpack(block) == text
    (3, True)
    """

    method = BY_MODEL
    block_bytes = LANES * CONTEXT_BYTES * _MAX_CONTEXTS

    def __init__(self, model):
        self._model = model
        self.fingerprint = model.fingerprint
        #: Steppers have a state, so each thread takes a coder of its own.
        self._coders = queue.SimpleQueue()
        self.probe = self._probe()

    def pack(self, text):
        """Return the block of a text."""
        parts = _cut(text)
        codes, offsets = self._run(lambda coder: coder.encode_batch(parts))
        sizes = np.diff(offsets).astype("<u2")
        content = sizes.tobytes() + codes.tobytes()
        if len(content) >= len(text):
            content = text
        return Block(len(parts), content, len(text))

    def unpack(self, block):
        """Return the text of a block.

        Raises:
            ValueError: if the content is damaged.
        """
        if block.holds_text:
            return block.content
        if block.by_lzma:
            return unpack_by_lzma(block)
        lengths = _part_lengths(block.num_bytes)
        head = 2 * len(lengths)
        data = np.frombuffer(block.content, np.uint8)
        codes = data[head:]
        # Zeros, which are refused below, if the content ends within its sizes.
        sizes = np.zeros(len(lengths), "<u2")
        if len(data) >= head:
            sizes = data[:head].view("<u2").astype(np.int64)
        if block.num_codes != len(lengths) or sizes.sum() != len(codes):
            raise ValueError(
                "The streams of a block must fill it. Received: "
                f"{block.num_codes} streams of {sizes.sum()} bytes in "
                f"{len(codes)} bytes. Encode the text again."
            )
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        parts = self._run(
            lambda coder: coder.decode_batch(codes, offsets, lengths)
        )
        return b"".join(parts)

    def _run(self, function):
        """Call a function with a coder that no other thread has."""
        from keras_nc.entropy_models import stepper_for

        try:
            coder = self._coders.get_nowait()
        except queue.Empty:
            stepper = stepper_for(self._model, LANES, CONTEXT_BYTES)
            coder = StreamCoder(stepper)
        try:
            return function(coder)
        finally:
            self._coders.put(coder)

    def _probe(self):
        """Return a hash of probabilities that may differ between machines."""
        from keras_nc.entropy_models import stepper_for

        columns = np.arange(256, dtype=np.uint8).reshape(4, 64).T
        stepper = stepper_for(self._model, 4, 64)
        digest = hashlib.sha256()
        for column in columns:
            digest.update(stepper.probabilities().astype("<f8").tobytes())
            stepper.step(column, np.ones(4, bool))
        return digest.digest()[:PROBE_BYTES]


def pack_by_lzma(text, limit):
    """Pack a text by LZMA, for the content of a block.

    LZMA finds long strings that occur again, as in tables. It also packs
    languages that a codebook does not know. It is slow, so try it only
    if zlib makes a sample small enough.

    Args:
        text: bytes.
        limit: int. A result of more bytes is of no use.

    Returns:
        bytes, or `None` if they would be more than `limit`, or this Python has
        no LZMA.
    """
    try:
        import lzma
    except ImportError:
        return None
    start = max(len(text) - _SAMPLE_BYTES, 0) // 2
    sample = text[start : start + _SAMPLE_BYTES]
    # Codes of English need less than seven tenths of what zlib needs at its
    # fastest. LZMA seldom makes that smaller.
    if len(zlib.compress(sample, 1)) * 7 * len(text) > 10 * limit * len(sample):
        return None
    packed = lzma.compress(
        text, lzma.FORMAT_RAW, filters=[_lzma_filter() | {"preset": 6}]
    )
    return packed if len(packed) <= limit else None


def unpack_by_lzma(block):
    """Return the text of a block that holds it by LZMA.

    Raises:
        ValueError: if the content is damaged, or this Python has no LZMA.
    """
    try:
        import lzma
    except ImportError as error:
        raise ValueError(
            "A block by LZMA needs Python's module lzma. Received: a Python "
            "without it. Decode the file with another one."
        ) from error
    reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma_filter()])
    try:
        text = reader.decompress(block.content, block.num_bytes + 1)
    except lzma.LZMAError:
        text = b""
    if len(text) != block.num_bytes or not reader.eof or reader.unused_data:
        raise ValueError(
            "A block by LZMA must hold its text and nothing else. Received: "
            f"{len(text)} bytes instead of {block.num_bytes}. Encode the text "
            "again."
        )
    return text


def _lzma_filter():
    import lzma

    return {"id": lzma.FILTER_LZMA2, "dict_size": MAX_BLOCK_BYTES}


def _part_lengths(num_bytes):
    """Return the lengths of the parts that a text is cut into."""
    contexts = -(-num_bytes // (LANES * CONTEXT_BYTES))
    size = contexts * CONTEXT_BYTES
    starts = range(0, num_bytes, size)
    return [min(size, num_bytes - start) for start in starts]


def _cut(text):
    lengths = _part_lengths(len(text))
    size = lengths[0]
    return [text[i * size : i * size + n] for i, n in enumerate(lengths)]


def load_blocks(path):
    """Return the coder of blocks that a codebook or a preset stands for.

    Args:
        path: str, a codebook, a preset, or a built-in name. If it is the preset
            of a model over bytes, that model is in the loop.
    """
    folder = pathlib.Path(locate(path))
    if not _holds_byte_lm(folder):
        return CodeBlocks(load_codebook(path))
    prepare_keras()
    from keras_nc.entropy_models import ByteLMModel
    from keras_nc.models import ByteBackbone

    return ModelBlocks(ByteLMModel(ByteBackbone.from_preset(str(folder))))


def _holds_byte_lm(folder):
    """Return whether a path is the preset of a model over bytes."""
    if not folder.is_dir() or not holds_model(folder):
        return False
    config = read_json(folder / MODEL_CONFIG)
    return config.get("registered_name") == "keras_nc>ByteBackbone"


def find_blocks(reader, path=None):
    """Return the coder of blocks that decodes a file.

    Args:
        reader: the `ContainerReader` of the file.
        path: str, what it was encoded with; `None` for what is built in.

    Raises:
        ValueError: if the file needs another one, or cannot be decoded here.
    """
    by_model = reader.method == BY_MODEL
    what = "model" if by_model else "codebook or tokenizer"
    if path is None:
        path = _find_built_in(reader)
    if path is None:
        raise ValueError(
            "Without --with, a file must be encoded with a built-in codebook "
            f"or model. Received: {reader.name!r}, which needs the {what} with "
            f"fingerprint {reader.fingerprint}. Pass it with --with."
        )
    blocks = load_blocks(path)
    if (blocks.method, blocks.fingerprint) != (
        reader.method, reader.fingerprint
    ):  # fmt: skip
        raise ValueError(
            f"A file must be decoded with the {what} that encoded it. "
            f"Received: {path!r} with fingerprint {blocks.fingerprint}; "
            f"{reader.name!r} needs {reader.fingerprint}. Pass that one with "
            "--with."
        )
    if blocks.probe != reader.probe:
        raise ValueError(
            "A file that was encoded with a model in the loop decodes only "
            "where the model gives the same probabilities, bit for bit. "
            f"Received: {reader.name!r}, for which {path!r} gives others here. "
            "Decode it on the hardware and with the software that encoded it."
        )
    return blocks


def _find_built_in(reader):
    """Return the built-in name of what a file needs, or `None`."""
    if reader.method == BY_MODEL:
        # The fingerprint of a model is known only after it is loaded.
        return next(iter(presets.BYTE_LMS))
    for name in presets.TOKENIZERS:
        scheme = read_scheme(pathlib.Path(presets.resolve(name)))
        if scheme["codebook_fingerprint"] == reader.fingerprint:
            return name
    return None
