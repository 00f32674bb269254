"""Arithmetic coding as in the paper: of documents, and of zero-padded windows.

`ArithmeticTokenizer` is AC and StaticAC. `ZeroPaddedTokenizer` is EqualInfoAC,
which can be encoded only.
"""

import zlib

import keras
import numpy as np

from keras_nc.coding import StreamCoder
from keras_nc.coding import ZeroPaddedWindows
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.shares import check_precision
from keras_nc.coding.zero_padded import check_windows
from keras_nc.entropy_models import RememberingStepper
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers.compressed import DocumentScheme
from keras_nc.tokenizers.compressed import ModelScheme
from keras_nc.tokenizers.compressed import refuse_ids
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: Documents that are coded side by side. It changes the speed, not the codes.
_BATCH_SIZE = 32
_CHECKSUM_BYTES = 4
_MAX_HEAD_BYTES = 8


@register_scheme
class ArithmeticScheme(DocumentScheme, ModelScheme):
    """Documents as streams of an arithmetic coder.

    The stream of a document is

    - its number of bytes, in groups of 7 bits, lowest first. Each group is in a
      byte whose highest bit tells whether another group follows. For 16-bit
      tokens, the number is doubled, plus 1 if a zero byte fills the last token;
    - with `checksum`, the CRC-32 of its bytes, most significant byte first;
    - its code, see `keras_nc.coding.arithmetic`.

    All parts count as tokens.

    Args:
        model: `None` until assets are loaded; see `ArithmeticTokenizer` for it
            and for the other arguments.
        entropy_model: dict. Only without a model: its configuration.
    """

    name = "arithmetic"

    def __init__(
        self,
        model=None,
        token_bits=8,
        precision=16,
        context_bytes=1024,
        checksum=True,
        entropy_model=None,
    ):
        DocumentScheme.__init__(self, token_bits)
        ModelScheme.__init__(self, model, entropy_model)
        self.precision = check_precision(precision)
        self.context_bytes = as_integer("context_bytes", context_bytes, 1)
        self.checksum = bool(checksum)

    def make_coder(self, model):
        """Return the `StreamCoder`."""
        stepper = stepper_for(model, _BATCH_SIZE, self.context_bytes)
        return StreamCoder(stepper, self.precision)

    @property
    def fingerprint(self):
        """Hex digest of the model's fingerprint and all settings."""
        settings = {**self.get_config(), **self._asset.get_config()}
        line = "keras_nc stream {name} {kind} {fingerprint} {token_bits} "
        line += "{precision} {context_bytes} {checksum:d}\n"
        return fingerprint_of(line.format(**settings))

    def compress(self, documents):
        """Return length, checksum and code of every document, joined."""
        codes, offsets = self.coder.encode_batch(documents)
        streams = []
        for i, document in enumerate(documents):
            body = codes[offsets[i] : offsets[i + 1]].tobytes()
            if self.checksum:
                checksum = zlib.crc32(document)
                body = checksum.to_bytes(_CHECKSUM_BYTES, "big") + body
            streams.append(self._with_length(len(document), body))
        return streams

    def _with_length(self, length, body):
        if self.token_bits == 8:
            return to_groups(length) + body
        head = to_groups(2 * length)
        if (len(head) + len(body)) % 2:
            head = to_groups(2 * length + 1)  # as many groups
        return head + body

    def decompress(self, streams):
        """Decode the codes, and check the checksums."""
        parts = [self._split(stream) for stream in streams]
        lengths = np.array([length for length, _, _ in parts], "int64")
        codes = [code for _, _, code in parts]
        offsets = np.cumsum([0, *map(len, codes)], dtype="int64")
        documents = self.coder.decode_batch(b"".join(codes), offsets, lengths)
        for document, (_, checksum, _) in zip(documents, parts, strict=True):
            if self.checksum and zlib.crc32(document) != checksum:
                refuse_ids("ids that give bytes with another checksum")
        return documents

    def _split(self, stream):
        """Split a stream into length, checksum and code."""
        length, at = from_groups(stream)
        end = len(stream)
        if self.token_bits == 16:
            if length & 1:
                end -= 1
                if stream[end]:
                    refuse_ids("an odd number of bytes without a filling")
            length >>= 1
        first = at + _CHECKSUM_BYTES * self.checksum
        if length < 1 or first >= end:
            refuse_ids(f"{len(stream)} bytes for a text of {length}")
        checksum = int.from_bytes(stream[at:first], "big")
        return length, checksum, stream[first:end]

    def get_config(self):
        """Return settings and a reference to the model, which is an asset."""
        return {
            "name": self.name,
            "token_bits": self.token_bits,
            "precision": self.precision,
            "context_bytes": self.context_bytes,
            "checksum": self.checksum,
            "entropy_model": self._asset.get_config(),
        }


def to_groups(number):
    """Return a number as groups of 7 bits, the lowest first."""
    groups = bytearray()
    while number > 127:
        groups.append(128 | number & 127)
        number >>= 7
    return bytes([*groups, number])


def from_groups(data):
    """Return the number that bytes begin with, and how many bytes it has."""
    number = 0
    for at, group in enumerate(data[:_MAX_HEAD_BYTES]):
        number |= (group & 127) << 7 * at
        if group < 128:
            if at and not group:
                break
            return number, at + 1
    return refuse_ids("ids that do not begin with a length")


@keras.saving.register_keras_serializable(package="keras_nc")
class ArithmeticTokenizer(SchemeTokenizer):
    """Tokenizer that codes each document as one arithmetic-coded stream.

    With M1 (a `ByteLMModel`) this is AC of arXiv 2404.03626, section 3.3, and
    with a `UnigramModel` StaticAC. The paper runs M1 over 10,240 bytes and
    quantises probabilities to 14 bits: `context_bytes=10240, precision=14`. A
    language model learns next to nothing from such tokens. They are a baseline.

    Any bytes round-trip: with a count model on every machine, with M1 only
    where software and hardware are the same. Generated ids rarely form a stream
    that decodes. Prompts cannot be continued.

    Args:
        model: An `EntropyModel` of a registered class, such as a
            `UnigramModel`, `NGramModel` or `ByteLMModel`.
        token_bits: int. Bits of a token, 8 (259 ids) or 16 (65,539 ids).
        precision: int. Bits of a probability, 14 (the paper's) to 24.
        context_bytes: int. Bytes after which the model's context restarts.
        checksum: bool. Whether each document carries 4 bytes of checksum.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"to be or not to be")
    >>> tokenizer = ArithmeticTokenizer(model, token_bits=16, checksum=False)
    >>> len(tokenizer("to be or not"))
    6
    >>> tokenizer.detokenize(tokenizer("to be or not"))
    b'to be or not'
    """

    scheme_cls = ArithmeticScheme


@register_scheme
class ZeroPaddedScheme(DocumentScheme, ModelScheme):
    """Windows by the paper's rule, whose codes are padded with zeros.

    The codes of a document's windows follow one another, `W / 8` bytes each;
    a token is N bits of them and may cross windows, as in the paper's b24 with
    16-bit tokens. See `keras_nc.coding.ZeroPaddedWindows`.

    Args:
        model: `None` until assets are loaded; see `ZeroPaddedTokenizer` for it
            and for the other arguments.
        entropy_model: dict. Only without a model: its configuration.

    Raises:
        ValueError: If `encode_only` is not `True`.
    """

    name = "zero_padded"

    def __init__(
        self,
        model=None,
        window_bits=16,
        token_bits=16,
        delay=False,
        reset_every=1,
        precision=14,
        context_bytes=1024,
        encode_only=False,
        entropy_model=None,
    ):
        if encode_only is not True:
            raise ValueError(
                "Zero-padded windows cannot be decoded: different windows have "
                "the same code. Pass `encode_only=True` if ids are all you "
                f"need. Received: encode_only={encode_only!r}. Use an "
                "`EqualInfoTokenizer` for ids that decode."
            )
        DocumentScheme.__init__(self, token_bits)
        ModelScheme.__init__(self, model, entropy_model)
        settings = check_windows(window_bits, precision, reset_every)
        self.window_bits, self.precision, self.reset_every = settings
        self.delay = bool(delay)
        self.context_bytes = as_integer("context_bytes", context_bytes, 1)

    def make_coder(self, model):
        """Return the `ZeroPaddedWindows`."""
        stepper = stepper_for(model, _BATCH_SIZE, self.context_bytes)
        if self.reset_every == 1 and not hasattr(stepper, "window_parts"):
            # Many windows begin alike.
            stepper = RememberingStepper(stepper)
        return ZeroPaddedWindows(
            stepper,
            self.window_bits,
            self.precision,
            self.delay,
            self.reset_every,
        )

    @property
    def fingerprint(self):
        """Hex digest of the model's fingerprint and all settings."""
        settings = {**self.get_config(), **self._asset.get_config()}
        line = "keras_nc windows {name} {kind} {fingerprint} {window_bits} "
        line += "{token_bits} {delay:d} {reset_every} {precision} "
        line += "{context_bytes}\n"
        return fingerprint_of(line.format(**settings))

    def compress(self, documents):
        """Return the codes of all windows, joined."""
        return self.coder.encode_codes(documents)

    def decompress(self, streams):
        """Raise an error: see `decode`."""
        return self.decode(streams)

    def decode(self, ids, skip_special=False):
        """Raise an error: different windows have the same code."""
        raise ValueError(
            "Zero-padded windows are for encoding only: different windows have "
            f"the same code. Received: {len(ids)} ids to decode. Use an "
            "`EqualInfoTokenizer` for ids that decode."
        )

    def split_prompt(self, prompt):
        """Commit nothing of an empty prompt; an error for any other."""
        if prompt:
            raise ValueError(
                "Zero-padded windows are for encoding only, so there is no "
                f"text to continue. Received: a prompt of {len(prompt)} bytes. "
                "Use an `EqualInfoTokenizer`."
            )
        return super().split_prompt(prompt)

    def get_config(self):
        """Return settings and a reference to the model, which is an asset."""
        return {
            "name": self.name,
            "window_bits": self.window_bits,
            "token_bits": self.token_bits,
            "delay": self.delay,
            "reset_every": self.reset_every,
            "precision": self.precision,
            "context_bytes": self.context_bytes,
            "encode_only": True,
            "entropy_model": self._asset.get_config(),
        }


@keras.saving.register_keras_serializable(package="keras_nc")
class ZeroPaddedTokenizer(SchemeTokenizer):
    """Tokenizer of the paper's own equal-info windows, for encoding only.

    EqualInfoAC of arXiv 2404.03626, section 3.3, its Delay variant, and its
    ablation of how often M1 restarts. The coder restarts at every window
    always. It is here to repeat what the paper did: windows collide, so ids
    cannot be decoded. `count_collisions` says how many do.

    Args:
        model: An `EntropyModel` of a registered class, such as a
            `UnigramModel`, `NGramModel` or `ByteLMModel`.
        window_bits: int. Bits of a window: 16, 24, 32, 64 or 128 in the paper.
        token_bits: int. Bits of a token, 8 (259 ids) or 16 (65,539 ids).
        delay: bool. Whether bytes at the end of a window that change nothing
            in its padded code move to the next one.
        reset_every: int. The model's context restarts at every window, at
            every second, ...; `None` for never.
        precision: int. Bits of a probability; 14 in the paper.
        context_bytes: int. Bytes after which the context restarts anyway.
        encode_only: bool. It must be `True`.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> text = "to be or not to be, that is the question"
    >>> model = UnigramModel.from_text(text.encode())
    >>> tokenizer = ZeroPaddedTokenizer(model, encode_only=True)
    >>> tokenizer(text).shape
    (20,)
    >>> tokenizer.count_collisions(text)
    (1, 20)
    """

    scheme_cls = ZeroPaddedScheme

    def count_collisions(self, text):
        """Count the windows of a text that collide with other ones.

        Args:
            text: `str` or `bytes`.

        Returns:
            A pair of ints: windows whose code decodes to other bytes, even if
            everything before is known, and all windows.
        """
        return self.scheme.coder.count_collisions(as_bytes(text))
