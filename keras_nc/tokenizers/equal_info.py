"""Equal-info windows as tokens."""

import dataclasses
import operator
import os

import keras

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Codebook
from keras_nc.coding import join_codes
from keras_nc.coding import split_codes
from keras_nc.presets import TOKENIZERS
from keras_nc.tokenizers.presets import register_presets
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import check_fingerprint
from keras_nc.tokenizers.scheme import refuse_token
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer


@register_scheme
class EqualInfoScheme(Scheme):
    """Windows of a codebook, each written in one or more tokens.

    Args:
        codebook: See `EqualInfoTokenizer`; `None` until assets are loaded.
        token_bits: See `EqualInfoTokenizer`.
        window_bits: int. Only without a codebook: its future window bits.
        codebook_fingerprint: str. Only without a codebook: its future
            fingerprint.
    """

    name = "equal_info"
    file_assets = ["codebook.npz"]

    def __init__(
        self,
        codebook=None,
        token_bits=None,
        *,
        window_bits=None,
        codebook_fingerprint=None,
    ):
        if codebook is not None and not isinstance(codebook, Codebook):
            raise TypeError(
                "`codebook` must be a `keras_nc.coding.Codebook`. Received: "
                f"{type(codebook).__name__}. Load a file with "
                "`Codebook.load(path)`."
            )
        if codebook is None and window_bits is None:
            raise ValueError(
                "Pass a `codebook`. Received: codebook=None, window_bits=None"
            )
        self._codebook = codebook
        self.window_bits = operator.index(
            window_bits if codebook is None else codebook.window_bits
        )
        self.token_bits = self.window_bits
        if token_bits is not None:
            self.token_bits = operator.index(token_bits)
        self._expected = codebook_fingerprint
        if self.token_bits < 1 or self.window_bits % self.token_bits:
            raise ValueError(
                "`token_bits` must divide the codebook's window bits. "
                f"Received: token_bits={self.token_bits}, "
                f"window_bits={self.window_bits}"
            )

    @property
    def codebook(self):
        """The codebook. Raises an error if it is not loaded yet."""
        return self.require(self._codebook, "codebook")

    @property
    def vocabulary_size(self):
        """Number of ids: 2^W for one-token windows, else 3 + 2^N."""
        if self.token_bits == self.window_bits:
            return 2**self.window_bits
        return NUM_SPECIAL + 2**self.token_bits

    @property
    def fingerprint(self):
        """The codebook's fingerprint and the token bits, a str."""
        return f"{self.codebook.fingerprint}-{self.token_bits}"

    @property
    def layout(self):
        """The `TokenLayout`: codes are those of the codebook's windows."""
        lengths = self.codebook.token_lengths
        return TokenLayout(
            lengths > 0, self.window_bits, self.token_bits, lengths
        )

    @property
    def token_lengths(self):
        """Number of bytes of every window; `None` for split windows."""
        if self._codebook is None or self.token_bits != self.window_bits:
            return None
        return self.codebook.token_lengths

    def encode_batch(self, documents):
        """Walk the codebook's trie, and cut codes into tokens."""
        codes, offsets = self.codebook.encode_batch(documents)
        per_window = self.window_bits // self.token_bits
        ids = split_codes(codes, self.window_bits, self.token_bits)
        return ids, offsets * per_window

    def decode(self, ids, skip_special=False):
        """Look up every window."""
        codes = join_codes(
            ids, self.window_bits, self.token_bits, skip_special=skip_special
        )
        return self.codebook.decode(codes)

    def token_bytes(self, token_id):
        """Return the bytes of a window; raise an error for split windows."""
        if self.token_bits != self.window_bits:
            raise ValueError(
                "A token of a split window stands for no bytes of its own. "
                f"Received: token_bits={self.token_bits}, "
                f"window_bits={self.window_bits}"
            )
        return self.codebook.token_bytes(token_id)

    def token_id(self, token):
        """Return the id of a window, by a look-up."""
        if self.token_lengths is None:
            return super().token_id(token)  # it raises an error with the reason
        found = self.codebook.find(token)
        return refuse_token(token) if found is None else int(found)

    def split_prompt(self, prompt):
        """Commit the windows that no continuation can change."""
        prompt = self.codebook.split_prompt(prompt)
        ids = split_codes(prompt.ids, self.window_bits, self.token_bits)
        return dataclasses.replace(prompt, ids=ids)

    def get_config(self):
        """Return the bits and the codebook's fingerprint."""
        fingerprint = self._expected
        if self._codebook is not None:
            fingerprint = self._codebook.fingerprint
        return {
            "name": self.name,
            "token_bits": self.token_bits,
            "window_bits": self.window_bits,
            "codebook_fingerprint": fingerprint,
        }

    def save_assets(self, directory):
        """Write the codebook."""
        self.codebook.save(os.path.join(directory, self.file_assets[0]))

    def load_assets(self, directory):
        """Read the codebook and check that it is the expected one."""
        path = os.path.join(directory, self.file_assets[0])
        codebook = Codebook.load(path)
        expected = self.get_config()["codebook_fingerprint"]
        check_fingerprint(path, expected, codebook.fingerprint)
        if codebook.window_bits != self.window_bits:
            raise ValueError(
                f"{path} must be a codebook of {self.window_bits} window bits. "
                f"Received: {codebook.window_bits}"
            )
        self._codebook = codebook


@keras.saving.register_keras_serializable(package="keras_nc")
class EqualInfoTokenizer(SchemeTokenizer):
    """Tokenizer of the equal-info windows of a codebook.

    Any bytes are encoded and decoded exactly, on every backend, inside and
    outside tf.data. The windows are those of arXiv 2404.03626, section 3.3; the
    integer rule is that of keras_nc.

    Args:
        codebook: A `keras_nc.coding.Codebook`.
        token_bits: int. Bits of a token, `N`, a divisor of the codebook's
            window bits. By default, a window is one token, and its id is its
            code.
        sequence_length: int, or `None` for ragged output.
        **kwargs: See `SchemeTokenizer`.

    Example:
    >>> from keras_nc.coding import Codebook
    >>> from keras_nc.entropy_models import UnigramModel
    >>> text = b"to be or not to be"
    >>> model = UnigramModel.from_text(text)
    >>> codebook = Codebook.build(model, text, window_bits=12)
    >>> tokenizer = EqualInfoTokenizer(codebook)
    >>> tokenizer.detokenize(tokenizer("to be"))
    b'to be'
    """

    scheme_cls = EqualInfoScheme

    @property
    def codebook(self):
        """The `keras_nc.coding.Codebook`."""
        return self.scheme.codebook


register_presets(TOKENIZERS, EqualInfoTokenizer)
