"""Equal-info windows as tokens."""

import dataclasses
import operator
import os

import keras

from keras_nc.coding import NUM_SPECIAL
from keras_nc.coding import Codebook
from keras_nc.coding import TextTokenizer
from keras_nc.coding import join_codes
from keras_nc.coding import split_codes
from keras_nc.coding.codes import SpecialTokens
from keras_nc.coding.inputs import JoinedDocuments
from keras_nc.coding.inputs import as_flag
from keras_nc.presets import TOKENIZERS
from keras_nc.tokenizers.presets import register_presets
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import TokenLayout
from keras_nc.tokenizers.scheme import check_fingerprint
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer


@register_scheme
class EqualInfoScheme(Scheme):
    """Windows of a codebook, each written in one or more tokens.

    Args:
        codebook: `None` until assets are loaded; see `EqualInfoTokenizer` for
            it and for the other arguments.
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
        special_tokens=(),
        parse_special=False,
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
        self.window_bits = operator.index(
            window_bits if codebook is None else codebook.window_bits
        )
        self.token_bits = self.window_bits
        if token_bits is not None:
            self.token_bits = operator.index(token_bits)
        if self.token_bits < 1 or self.window_bits % self.token_bits:
            raise ValueError(
                "`token_bits` must divide the codebook's window bits. "
                f"Received: token_bits={self.token_bits}, "
                f"window_bits={self.window_bits}"
            )
        special = SpecialTokens(special_tokens, 1 << self.window_bits)
        if special and not self._one_token:
            raise ValueError(
                "Special tokens need windows of one token each. Received: "
                f"token_bits={self.token_bits}, "
                f"window_bits={self.window_bits}. Leave `token_bits` out."
            )
        self.special_tokens = special.names
        self.parse_special = as_flag("parse_special", parse_special)
        self._expected = codebook_fingerprint
        self._set_codebook(codebook)

    def _set_codebook(self, codebook):
        self._codebook = codebook
        if codebook is not None and self._one_token:
            self._text_tokenizer = TextTokenizer(
                codebook, self.special_tokens, self.parse_special
            )

    @property
    def _one_token(self):
        """Whether a window is one token."""
        return self.token_bits == self.window_bits

    @property
    def codebook(self):
        """The codebook. Raises an error if it is not loaded yet."""
        return self.require(self._codebook, "codebook")

    @property
    def text_tokenizer(self):
        """The `TextTokenizer` with the same ids.

        Raises:
            ValueError: If a window is several tokens.
        """
        self.require(self._codebook, "codebook")
        if not self._one_token:
            raise ValueError(
                "A token of a split window stands for no bytes of its own. "
                f"Received: token_bits={self.token_bits}, "
                f"window_bits={self.window_bits}. Leave `token_bits` out."
            )
        return self._text_tokenizer

    @property
    def vocabulary_size(self):
        """Number of ids.

        2^W and the special tokens for one-token windows, else 3 + 2^N.
        """
        if self._one_token:
            return 2**self.window_bits + len(self.special_tokens)
        return NUM_SPECIAL + 2**self.token_bits

    @property
    def fingerprint(self):
        """The codebook's fingerprint, the token bits and special tokens."""
        if self._one_token:
            return self.text_tokenizer.fingerprint
        return f"{self.codebook.fingerprint}-{self.token_bits}"

    @property
    def layout(self):
        """The `TokenLayout`: codes are windows, and then special tokens."""
        coder = self.text_tokenizer if self._one_token else self.codebook
        lengths = coder.token_lengths
        return TokenLayout(
            lengths > 0, self.window_bits, self.token_bits, lengths
        )

    @property
    def token_lengths(self):
        """Number of bytes of every id; `None` for split windows."""
        if self._codebook is None or not self._one_token:
            return None
        return self.text_tokenizer.token_lengths

    def encode_batch(self, documents):
        """Walk the codebook's trie, and cut codes into tokens."""
        if self._one_token:
            return self.text_tokenizer.encode_batch(documents)
        codes, offsets = self.codebook.encode_batch(documents)
        ids = split_codes(codes, self.window_bits, self.token_bits)
        return ids, offsets * (self.window_bits // self.token_bits)

    def encode_joined(self, text, offsets):
        """Encode joined documents as they are."""
        return self.encode_batch(JoinedDocuments(text, offsets))

    def decode(self, ids, skip_special=False):
        """Look up every window."""
        if self._one_token:
            return self.text_tokenizer.decode_bytes(ids, skip_special)
        codes = join_codes(
            ids, self.window_bits, self.token_bits, skip_special=skip_special
        )
        return self.codebook.decode(codes)

    def token_bytes(self, token_id):
        """Return the bytes of a window; raise an error for split windows."""
        return self.text_tokenizer.id_to_token(token_id)

    def token_id(self, token):
        """Return the id of a window or a special token, by a look-up."""
        if self.token_lengths is None:
            return super().token_id(token)  # it raises an error with the reason
        return self.text_tokenizer.token_to_id(token)

    def split_prompt(self, prompt):
        """Commit the windows that no continuation can change."""
        if self._one_token:
            return self.text_tokenizer.split_prompt(prompt)
        prompt = self.codebook.split_prompt(prompt)
        ids = split_codes(prompt.ids, self.window_bits, self.token_bits)
        return dataclasses.replace(prompt, ids=ids)

    def get_config(self):
        """Return the bits and the codebook's fingerprint."""
        fingerprint = self._expected
        if self._codebook is not None:
            fingerprint = self._codebook.fingerprint
        config = {
            "name": self.name,
            "token_bits": self.token_bits,
            "window_bits": self.window_bits,
            "codebook_fingerprint": fingerprint,
        }
        if self.special_tokens:
            config["special_tokens"] = list(self.special_tokens)
            config["parse_special"] = self.parse_special
        return config

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
        self._set_codebook(codebook)


@keras.saving.register_keras_serializable(package="keras_nc")
class EqualInfoTokenizer(SchemeTokenizer):
    """Tokenizer of the equal-info windows of a codebook.

    Any bytes are encoded and decoded exactly, on every backend, inside and
    outside tf.data. The codebook decides what windows are: words and phrases by
    default, or those of arXiv 2404.03626, section 3.3, by `Codebook.paper`.

    Args:
        codebook: A `keras_nc.coding.Codebook`.
        token_bits: int. Bits of a token, `N`, a divisor of the codebook's
            window bits. By default, a window is one token, and its id is its
            code.
        special_tokens: A list of `str`, such as the roles of a chat. Their ids
            follow those of the windows, so a model needs a row for each.
        parse_special: bool. Whether special tokens that a text holds become
            their ids. Otherwise no text gives these ids.
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

    @property
    def text_tokenizer(self):
        """The `keras_nc.coding.TextTokenizer` with the same ids."""
        return self.scheme.text_tokenizer

    def to_hugging_face(self, folder, parse=None, text=None):
        """Write the tokenizer as files of Hugging Face.

        See `keras_nc.coding.TextTokenizer.to_hugging_face`.
        """
        return self.text_tokenizer.to_hugging_face(folder, parse, text)


register_presets(TOKENIZERS, EqualInfoTokenizer)
