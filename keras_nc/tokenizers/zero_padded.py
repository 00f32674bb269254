"""The paper's own equal-info tokens, which can be encoded only."""

import keras

from keras_nc.coding import ZeroPaddedWindows
from keras_nc.coding.archive import fingerprint_of
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.zero_padded import check_windows
from keras_nc.entropy_models import RememberingStepper
from keras_nc.entropy_models import stepper_for
from keras_nc.tokenizers.compressed import DocumentScheme
from keras_nc.tokenizers.compressed import ModelScheme
from keras_nc.tokenizers.scheme import register_scheme
from keras_nc.tokenizers.tokenizer import SchemeTokenizer

#: Documents side by side. It changes the speed and not the codes.
_BATCH_SIZE = 32


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
