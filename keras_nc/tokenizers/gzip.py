"""A baseline of the paper: the bytes of gzip as tokens."""

import os
import zlib

import keras

from keras_nc.coding.archive import atomic_file
from keras_nc.coding.archive import fingerprint_of
from keras_nc.tokenizers.compressed import DocumentScheme
from keras_nc.tokenizers.compressed import refuse_ids
from keras_nc.tokenizers.scheme import check_rule
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: A window of 32 KiB, and the header and footer of gzip.
_GZIP = 31
#: Its compressed form is part of the fingerprint, because other versions of
#: zlib may compress it differently.
_SAMPLE = b" ".join(b"%d squared is %d." % (n, n * n) for n in range(1000))


@register_scheme
class GZipScheme(DocumentScheme):
    """Documents compressed by gzip, with zlib at its default level.

    A document becomes a whole gzip file, with its header and its footer (length
    and CRC-32). If a token is two bytes, a zero byte may fill the last one.
    Other versions of zlib may compress differently, but all decompress the
    same.

    Args:
        token_bits: int. Bits of a token, 8 or 16.
    """

    name = "gzip"
    # keras-hub presets need an asset. Loading checks its content.
    file_assets = ["gzip_scheme.txt"]
    _asset = "gzip, zlib's default level; id = 3 + {} bits\n"

    def __init__(self, token_bits=8):
        super().__init__(token_bits)

    @property
    def fingerprint(self):
        """Hex digest of the rule and of a sample that this zlib compresses."""
        rule = self._asset.format(self.token_bits)
        return fingerprint_of(rule, zlib.compress(_SAMPLE, wbits=_GZIP))

    def compress(self, documents):
        """Compress every document."""
        return [zlib.compress(text, wbits=_GZIP) for text in documents]

    def decompress(self, streams):
        """Decompress files, and check header, length and checksum."""
        return [self._inflate(stream) for stream in streams]

    def _inflate(self, stream):
        inflater = zlib.decompressobj(wbits=_GZIP)
        try:
            text = inflater.decompress(stream)
        except zlib.error as error:
            refuse_ids(f"ids that are no gzip file ({error})")
        if not inflater.eof:
            refuse_ids("the beginning of a gzip file")
        size = len(stream) - len(inflater.unused_data)
        filling = bytes(-size % (self.token_bits // 8))
        if inflater.unused_data != filling:
            refuse_ids("a gzip file and ids after it")
        if not text:
            refuse_ids("a gzip file of an empty text, which has no ids here")
        return text

    def get_config(self):
        """Return the name and the token bits."""
        return {"name": self.name, "token_bits": self.token_bits}

    def save_assets(self, directory):
        """Write the rule."""
        path = os.path.join(directory, self.file_assets[0])
        with atomic_file(path) as file:
            file.write(self._asset.format(self.token_bits).encode())

    def load_assets(self, directory):
        """Check that the file holds this rule."""
        path = os.path.join(directory, self.file_assets[0])
        rule = self._asset.format(self.token_bits)
        check_rule(path, rule.encode())


@keras.saving.register_keras_serializable(package="keras_nc")
class GZipTokenizer(SchemeTokenizer):
    """Tokenizer that compresses each document with gzip.

    These are GZip v256 and v65k of arXiv 2404.03626: zlib at its default level,
    with header and footer, and one token per byte or per pair of bytes.

    Args:
        token_bits: int. Bits of a token, 8 (259 ids) or 16 (65,539 ids).
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> tokenizer = GZipTokenizer(token_bits=16)
    >>> ids = tokenizer("to be or not to be")
    >>> hex(ids[0] - 3)  # how every gzip file begins
    '0x1f8b'
    >>> tokenizer.detokenize(ids)
    b'to be or not to be'
    """

    scheme_cls = GZipScheme
