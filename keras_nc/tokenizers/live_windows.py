"""Equal-info windows of more than 16 bits as tokens."""

import math
import operator
import os
import zlib

import keras
import numpy as np

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import PrefixCache
from keras_nc.coding import Prompt
from keras_nc.coding import WindowCoder
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.windows import MAX_WINDOW_BYTES
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers.compressed import ModelScheme
from keras_nc.tokenizers.compressed import bytes_to_pieces
from keras_nc.tokenizers.compressed import pieces_to_bytes
from keras_nc.tokenizers.scheme import check_fingerprint
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

_CACHE_FILE = "prefix_cache.npz"
_WORD_BITS = 64
_CHECKSUM_BYTES = 4
#: The paper's b24/v65k: three tokens hold two windows.
CROSSING = (24, 16)


@register_scheme
class LiveWindowScheme(ModelScheme):
    """Windows of `W` bits in `W / N` tokens each, with M1 in the loop.

    Args:
        model: `None` until assets are loaded; see `LiveWindowTokenizer` for it
            and for the other arguments.
        model_asset: A dict. Only without a model: its future configuration.
        cache_fingerprint: str. Only without a cache: its future fingerprint.

    Raises:
        ValueError: If `window_bits` or `token_bits` is not supported.
    """

    name = "live_windows"

    def __init__(
        self,
        model=None,
        window_bits=32,
        token_bits=16,
        cache=None,
        checksum=True,
        verify=False,
        max_window_bytes=MAX_WINDOW_BYTES,
        batch_size=64,
        model_asset=None,
        cache_fingerprint=None,
    ):
        if cache is not None and not isinstance(cache, PrefixCache):
            raise TypeError(
                "`cache` must be a `keras_nc.coding.PrefixCache`. Received: "
                f"{type(cache).__name__}. Make one with `PrefixCache.build`."
            )
        self.window_bits = operator.index(window_bits)
        self.token_bits = operator.index(token_bits)
        check_bits(self.window_bits, self.token_bits)
        self.checksum = bool(checksum)
        self.verify = bool(verify)
        self.max_window_bytes = operator.index(max_window_bytes)
        self.batch_size = operator.index(batch_size)
        super().__init__(model, model_asset)
        self._cache = cache
        self._expected_cache = cache_fingerprint
        if cache is not None:
            self._expected_cache = cache.fingerprint
        if self._expected_cache is not None:
            self.file_assets.append(_CACHE_FILE)
        if model is not None:
            _ = self.coder  # checks the model and the other arguments

    def make_coder(self, model):
        """Return the `WindowCoder`."""
        if self._expected_cache is not None:
            self.require(self._cache, "prefix cache")
        stepper = stepper_for(model, self.batch_size, self.max_window_bytes)
        return WindowCoder(
            stepper, window_bits=self.window_bits, cache=self._cache
        )

    @property
    def fingerprint(self):
        """Hex digest of the model, the cache and settings that change ids."""
        parts = (
            self.name,
            self._asset.fingerprint,
            self._expected_cache,
            self.window_bits,
            self.token_bits,
            self.checksum,
            self.max_window_bytes,
        )
        return fingerprint_of(repr(parts))

    @property
    def _checksum_ids(self):
        """Number of ids of a document's checksum."""
        return 8 * _CHECKSUM_BYTES // self.token_bits * self.checksum

    def whole_length(self, length):
        """Return how many ids of whole windows fit a length.

        With a checksum, a document that is cut cannot be decoded at all.
        """
        if self.checksum:
            return length
        # The smallest number of ids that holds whole windows exactly.
        group = math.lcm(self.window_bits, self.token_bits) // self.token_bits
        return length - length % group

    def encode_batch(self, documents):
        """Encode windows and the checksum, and cut both into pieces."""
        codes, offsets = self.coder.encode_batch(documents)
        if self.verify:
            self._verify(documents, codes, offsets)
        unit = self.token_bits // 8
        rows = []
        for i, document in enumerate(documents):
            own = codes[offsets[i] : offsets[i + 1]]
            row = codes_to_bytes(own, self.window_bits)
            row += bytes(-len(row) % unit)
            if self.checksum:
                row += zlib.crc32(document).to_bytes(_CHECKSUM_BYTES, "big")
            rows.append(row)
        sizes = [len(row) // unit for row in rows]
        pieces = bytes_to_pieces(b"".join(rows), self.token_bits)
        return pieces + NUM_SPECIAL, np.cumsum([0, *sizes], dtype="int64")

    def _verify(self, documents, codes, offsets):
        found = self.coder.decode_batch(codes, offsets)
        for i, document in enumerate(documents):
            if found[i] != bytes(document):
                raise RuntimeError(
                    "Decoding must give back what was encoded. Received: "
                    f"other bytes for document {i} of {len(document)} bytes. "
                    "The model does not give the same probabilities twice."
                )

    def decode(self, ids, skip_special=False):
        """Decode the ids of one document."""
        return self.decode_batch([ids], skip_special)[0]

    def decode_batch(self, rows, skip_special=False):
        """Decode several documents side by side; see `Scheme.decode_batch`.

        Special ids may be skipped before and after a document only. Raise a
        ValueError if ids are not windows of this scheme, or a checksum does
        not match the decoded bytes.
        """
        all_codes, sums = [], []
        for row in rows:
            pieces = self._pieces(np.asarray(row), skip_special)
            sums.append(None)
            if self.checksum:
                n = self._checksum_ids
                if len(pieces) < n:
                    raise ValueError(
                        f"A document ends with a checksum of {n} ids. "
                        f"Received: {len(pieces)} ids. Decode whole documents, "
                        "or encode with `checksum=False`."
                    )
                crc = pieces_to_bytes(pieces[-n:], self.token_bits)
                sums[-1] = int.from_bytes(crc, "big")
                pieces = pieces[:-n]
            all_codes.append(
                join_pieces(pieces, self.window_bits, self.token_bits)
            )
        if not all_codes:
            return []
        offsets = np.cumsum([0, *map(len, all_codes)])
        texts = self.coder.decode_batch(np.concatenate(all_codes), offsets)
        for text, expected in zip(texts, sums, strict=True):
            if expected not in (None, zlib.crc32(text)):
                raise ValueError(
                    "The checksum of a document must be that of its bytes. "
                    f"Received: checksum {expected:#010x}, and bytes of "
                    f"checksum {zlib.crc32(text):#010x}. The ids are damaged "
                    "or cut, or the software or the machine that encoded "
                    "them was another one."
                )
        return texts

    def _pieces(self, ids, skip_special):
        """Return the pieces of one document's ids, or raise a ValueError."""
        if skip_special:
            kept = np.flatnonzero((ids < 0) | (ids >= NUM_SPECIAL))
            ids = ids[kept[0] : kept[-1] + 1] if kept.size else ids[:0]
        lacking = (ids < NUM_SPECIAL) | (ids >= self.vocabulary_size)
        if lacking.any():
            at = int(np.argmax(lacking))
            raise ValueError(
                f"Ids of a document must be from {NUM_SPECIAL} to "
                f"{self.vocabulary_size - 1}. Received: id {int(ids[at])} at "
                f"position {at}. Pass `skip_special=True` to drop special ids "
                "around a document; inside a window they are refused."
            )
        return ids - NUM_SPECIAL

    def split_prompt(self, prompt):
        """Commit all windows but the last, and give bounds for its code.

        The bounds span as many further ids as a checksum has, because decoding
        takes the last ids of a text for its checksum.
        """
        if not prompt:
            return Prompt(np.empty(0, "int32"))
        codes, length, (low, stop) = self.coder.encode_part(prompt)
        closed = codes_to_bytes(codes, self.window_bits)
        unit = self.token_bits // 8
        # If tokens cross windows, the last token may hold bits of the next
        # window.
        complete = len(closed) - len(closed) % unit
        bounds = []
        for code, filling in ((low, b"\0"), (stop - 1, b"\xff")):
            data = closed[complete:] + code.to_bytes(
                self.window_bits // 8, "big"
            )
            data += filling * (-len(data) % unit)
            data += filling * (self._checksum_ids * unit)
            bounds.append(bytes_to_pieces(data, self.token_bits))
        ids = bytes_to_pieces(closed[:complete], self.token_bits) + NUM_SPECIAL
        return Prompt(ids, prompt[-length:], bounds=np.stack(bounds))

    def decode_generated(self, rows):
        """Decode ids that a model generated, side by side.

        If documents have a checksum, the last ids are dropped, because a model
        does not generate a valid checksum. A text ends at the first code that
        stands for no window; see `WindowCoder.decode_batch`.
        """
        codes = []
        for row in rows:
            pieces = self._pieces(np.asarray(row), False)
            data = pieces_to_bytes(
                pieces[: max(0, len(pieces) - self._checksum_ids)],
                self.token_bits,
            )
            complete = len(data) - len(data) % (self.window_bits // 8)
            codes.append(bytes_to_codes(data[:complete], self.window_bits))
        if not codes:
            return []
        offsets = np.cumsum([0, *map(len, codes)])
        return self.coder.decode_batch(
            np.concatenate(codes), offsets, truncate=True
        )

    def get_config(self):
        """Return bits and fingerprints; model and cache are assets."""
        return {
            "name": self.name,
            "window_bits": self.window_bits,
            "token_bits": self.token_bits,
            "checksum": self.checksum,
            "verify": self.verify,
            "max_window_bytes": self.max_window_bytes,
            "batch_size": self.batch_size,
            "model_asset": self._asset.get_config(),
            "cache_fingerprint": self._expected_cache,
        }

    def save_assets(self, directory):
        """Write the model and the cache."""
        _ = self.coder  # raises an error if assets are not loaded yet
        super().save_assets(directory)
        if self._cache is not None:
            self._cache.save(os.path.join(directory, _CACHE_FILE))

    def load_assets(self, directory):
        """Read model and cache, and check that they are the expected ones."""
        super().load_assets(directory)
        if self._expected_cache is not None:
            path = os.path.join(directory, _CACHE_FILE)
            cache = PrefixCache.load(path)
            check_fingerprint(path, self._expected_cache, cache.fingerprint)
            self._cache = cache


@keras.saving.register_keras_serializable(package="keras_nc")
class LiveWindowTokenizer(SchemeTokenizer):
    """Tokenizer of equal-info windows of 24 to 128 bits, with M1 in the loop.

    These are windows of the paper (arXiv 2404.03626, section 3.3) with too many
    codes for a table, so the entropy model runs while coding. Any bytes are
    encoded and decoded exactly, **by the same software on the same hardware**:
    both ends must compute the same probabilities, bit for bit. The fingerprint
    prevents decoding with another model. The checksum detects all other
    differences: each document ends with the CRC-32 of its bytes, in `32 / N`
    tokens, most significant piece first.

    An id is 3 plus a piece of N bits, most significant first. With `W` = 24 and
    `N` = 16, tokens cross windows, and zero bits pad the last piece of a
    document's windows.

    Args:
        model: An `EntropyModel` of a registered class, such as a
            `ByteLMModel`, `NGramModel` or `UnigramModel`.
        window_bits: int. `W`: 24, 32, 40, 48, 56, 64 or 128.
        token_bits: int. `N`: 8, or 16 if that divides `W` or `W` is 24.
        cache: A `keras_nc.coding.PrefixCache`, or `None`. It holds frequencies
            of prefixes, so that the model is asked less often.
        checksum: bool. Whether documents end with a checksum. Rows that are cut
            can be decoded only without it.
        verify: bool. Whether encoding decodes its result and compares.
        max_window_bytes: int. Bytes that a window has at most, up to 1,024.
        batch_size: int. Documents that are coded side by side; it changes no
            id.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"to be or not to be")
    >>> tokenizer = LiveWindowTokenizer(model, window_bits=32, token_bits=8)
    >>> ids = tokenizer("to be")  # a window and a checksum, 4 ids each
    >>> ids.shape, tokenizer.detokenize(ids)
    ((8,), b'to be')
    """

    scheme_cls = LiveWindowScheme

    def whole_length(self):
        """Return how many ids of whole windows fit `sequence_length`."""
        return self.scheme.whole_length(self.sequence_length)


def check_bits(window_bits, token_bits):
    """Raise a ValueError unless W and N are a supported pair."""
    widths = [*range(24, 65, 8), 128]
    divides = token_bits in (8, 16) and window_bits % token_bits == 0
    crosses = (window_bits, token_bits) == CROSSING
    if window_bits not in widths or not (divides or crosses):
        raise ValueError(
            f"`window_bits` must be one of {widths}, and `token_bits` 8 or 16 "
            "and a divisor of `window_bits`, or 16 with 24. Received: "
            f"window_bits={window_bits}, token_bits={token_bits}. Windows of "
            "up to 16 bits are for an `EqualInfoTokenizer`."
        )


# === Codes of windows in pieces of N bits ===


def codes_to_bytes(codes, window_bits):
    """Join the codes of a `WindowCoder` into bytes."""
    width = 8 * -(-window_bits // _WORD_BITS)
    rows = np.ascontiguousarray(codes, ">u8").view(np.uint8)
    rows = rows.reshape(len(codes), width)
    return rows[:, width - window_bits // 8 :].tobytes()


def bytes_to_codes(data, window_bits):
    """Undo `codes_to_bytes`; `data` holds whole windows."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, window_bits // 8)
    width = 8 * -(-window_bits // _WORD_BITS)
    wide = np.zeros((len(rows), width), np.uint8)
    wide[:, width - rows.shape[1] :] = rows
    codes = wide.view(">u8").astype(np.uint64)
    return codes if window_bits > _WORD_BITS else codes[:, 0]


def join_pieces(pieces, window_bits, token_bits):
    """Return the codes of the windows of a document.

    After the last window, zero bits fill its last piece.

    Raises:
        ValueError: If a window is incomplete, or padding is not zero.
    """
    data = pieces_to_bytes(pieces, token_bits)
    complete = len(data) - len(data) % (window_bits // 8)
    used = -(-complete // (token_bits // 8))
    if used != len(pieces):
        raise ValueError(
            f"Windows of {window_bits} bits in tokens of {token_bits} must be "
            f"whole. Received: {len(pieces)} ids of windows, of which only "
            f"{used} are. Decode whole documents."
        )
    if any(data[complete:]):
        raise ValueError(
            "Bits after the last window must be zero. Received: "
            f"{list(data[complete:])}. Decode whole documents."
        )
    return bytes_to_codes(data[:complete], window_bits)
