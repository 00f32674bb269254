"""The Keras layer that carries a tokenization scheme."""

import inspect
import os

import keras
import keras_hub
import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.inputs import as_batch
from keras_nc.coding.inputs import as_byte_array
from keras_nc.coding.inputs import as_bytes
from keras_nc.coding.inputs import as_documents
from keras_nc.coding.inputs import as_id
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.inputs import make_folder
from keras_nc.coding.origin import TokenOrigin
from keras_nc.tokenizers import presets
from keras_nc.tokenizers.scheme import NEEDS_PYTHON
from keras_nc.tokenizers.scheme import Scheme
from keras_nc.tokenizers.scheme import pad_rows
from keras_nc.tokenizers.scheme import scheme_from_config
from keras_nc.tokenizers.scheme import to_id_rows


@keras.saving.register_keras_serializable(package="keras_nc")
class SchemeTokenizer(keras_hub.tokenizers.Tokenizer):
    """Turn text into ids and back, exactly.

    Calls run in NumPy and need no TensorFlow. Inside a tf.data pipeline the
    same code runs behind a `tf.numpy_function`, so both paths give the same
    ids. Only the process that made the tokenizer can run it: map it before or
    after the tf.data service, and export models without it. Ids 0, 1 and 2 are
    pad, start and end; encoding never gives them.

    A subclass sets `scheme_cls` and needs no constructor, because arguments for
    the scheme are passed on to it.

    Args:
        *args: Arguments of the scheme, such as a codebook.
        scheme: A `Scheme` or its configuration, in place of its arguments.
        sequence_length: int. Rows are padded with 0 to this many ids, or cut
            after the last whole window that fits. `None` for ragged output.
        **kwargs: Further arguments of the scheme, and those of
            `keras_hub.tokenizers.Tokenizer`.

    Call arguments:
        inputs: `str` or `bytes`, a list or array of them, or a string tensor.
            NumPy's fixed-width strings lose trailing NULs before they get
            here; lists do not.

    Returns:
        Int32 ids: an array of shape `(T,)` for one text, a list of such arrays
        for several, an array `(B, sequence_length)` if that is set. In tf.data:
        tensors, ragged without `sequence_length`.
    """

    # keras-hub needs a class here, but a tokenizer belongs to no backbone.
    backbone_cls = presets.TokenizerPreset
    #: The schemes that this class carries.
    scheme_cls = Scheme

    def __init_subclass__(cls, **kwargs):
        """Show the arguments of the scheme in the signature of the layer."""
        super().__init_subclass__(**kwargs)
        settings = inspect.signature(cls.scheme_cls).parameters.values()
        own = inspect.signature(SchemeTokenizer.__init__).parameters.values()
        own = [p for p in own if p.name in ("scheme", "sequence_length")]
        rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
        cls.__signature__ = inspect.Signature([*settings, *own, rest])

    def __init__(self, *args, scheme=None, sequence_length=None, **kwargs):
        scheme = self._make_scheme(args, scheme, kwargs)
        kwargs.setdefault("dtype", "int32")
        super().__init__(**kwargs)
        if self.compute_dtype != "int32":
            raise ValueError(
                "Ids are int32. "
                f"Received: dtype={self.compute_dtype!r}. Cast the ids."
            )
        if not isinstance(scheme, self.scheme_cls):
            raise TypeError(
                f"`scheme` must be a {self.scheme_cls.__name__}. Received: "
                f"{type(scheme).__name__}. Put a codebook into an "
                "`EqualInfoTokenizer`."
            )
        if sequence_length is not None:
            sequence_length = as_integer("sequence_length", sequence_length, 1)
        self.scheme = scheme
        self.sequence_length = sequence_length
        self.file_assets = list(scheme.file_assets)
        self.pad_token_id = PAD_ID
        self.start_token_id = START_ID
        self.end_token_id = END_ID

    @classmethod
    def _make_scheme(cls, args, scheme, kwargs):
        """Return the scheme, and take its arguments out of `kwargs`."""
        first = args[0] if args else None
        if isinstance(first, Scheme) or (args and cls.scheme_cls is Scheme):
            args, scheme = args[1:], first
        if isinstance(scheme, dict):
            scheme = scheme_from_config(scheme)
        names = inspect.signature(cls.scheme_cls).parameters
        settings = {n: kwargs.pop(n) for n in names if n in kwargs}
        if scheme is None and cls.scheme_cls is not Scheme:
            return cls.scheme_cls(*args, **settings)
        if args or settings:
            raise TypeError(
                "Pass a `scheme`, or what one is made of, not both. Received: "
                f"a {type(scheme).__name__} and {[*args, *settings]}"
            )
        return scheme

    # === Properties of the scheme ===

    @property
    def scheme_name(self):
        """Name of the scheme."""
        return self.scheme.name

    @property
    def fingerprint(self):
        """Hex digest; tokenizers that give the same ids have the same one."""
        return self.scheme.fingerprint

    @property
    def origin(self):
        """The `TokenOrigin` of ids that this tokenizer makes."""
        return TokenOrigin(
            self.fingerprint,
            self.scheme_name,
            self.vocabulary_size(),
            "ids of another tokenizer",
        )

    @property
    def layout(self):
        """The scheme's `TokenLayout`."""
        return self.scheme.layout

    @property
    def token_lengths(self):
        """Number of bytes of every id, int32 `(V,)`.

        `None` if several ids stand for bytes together.
        """
        return self.scheme.token_lengths

    @property
    def special_token_ids(self):
        """Ids of pad, start and end."""
        return [PAD_ID, START_ID, END_ID]

    def vocabulary_size(self):
        """Return the number of ids, `V`, special ids included."""
        return self.scheme.vocabulary_size

    # === Vocabulary ===

    # Tokens are bytes, because many are parts of characters, which no `str`
    # holds.

    def get_vocabulary(self):
        """Return the tokens of all ids.

        Returns:
            A list of `V` bytes; empty for ids that stand for none, such as the
            special ones.

        Raises:
            ValueError: If ids stand for no bytes of their own, as in split
                windows and streams.
        """
        return self.scheme.vocabulary()

    def id_to_token(self, id):
        """Return the token of an id.

        Args:
            id: int.

        Returns:
            bytes.

        Raises:
            ValueError: If the id stands for no bytes of its own.
        """
        id = as_id(id)
        if not 0 <= id < self.vocabulary_size():
            raise ValueError(
                f"An id must be from 0 to {self.vocabulary_size() - 1}. "
                f"Received: id {id}"
            )
        return self.scheme.token_bytes(id)

    def token_to_id(self, token):
        """Return the id of a token.

        Args:
            token: bytes, or a `str`, which stands for its UTF-8.

        Returns:
            int. If several ids stand for these bytes, the one that encoding
            prefers.

        Raises:
            ValueError: If no id stands for these bytes alone.
        """
        return self.scheme.token_id(as_bytes(token))

    # === Encoding ===

    def encode_batch(self, documents):
        """Encode one text or a list of them; see `Scheme.encode_batch`."""
        return self.scheme.encode_batch(as_documents(documents))

    def split_prompt(self, prompt):
        """Cut a prompt; see `Scheme.split_prompt`."""
        return self.scheme.split_prompt(as_bytes(prompt))

    def decode_generated(self, rows):
        """Decode ids that a model generated; see `Scheme.decode_generated`."""
        return self.scheme.decode_generated(rows)

    def call(self, inputs, *args, training=None, **kwargs):
        """Encode text; see the class."""
        # keras-hub's own `call` would lose bytes.
        return self.tokenize(inputs, *args, **kwargs)

    def tokenize(self, inputs):
        """Encode text; see the class."""
        if self._use_tf_workflow():
            return self._tokenize_tensor(inputs)
        documents, batched = as_batch(inputs)
        ids, offsets = self.scheme.encode_batch(documents)
        ids = ids.astype("int32")
        if self.sequence_length is not None:
            padded = self._pad(ids, offsets)
            return padded if batched else padded[0]
        rows = np.split(ids, offsets[1:-1]) if documents else []
        return rows if batched else rows[0]

    def _tokenize_tensor(self, inputs):
        """Encode a string tensor of tf.data of rank 0 or 1."""
        import tensorflow as tf

        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank not in (0, 1):
            raise ValueError(
                "A string tensor must have rank 0 or 1. "
                f"Received: shape={inputs.shape}"
            )
        texts = inputs if inputs.shape.rank else inputs[None]
        padded = self.sequence_length is not None
        # A Python object for each document would take longer than encoding.
        # stateful=False: the function is pure, so tf.data may run it anywhere.
        arrays = tf.numpy_function(
            self._encode_rows if padded else self._encode_joined,
            [tf.strings.reduce_join(texts), tf.strings.length(texts)],
            [tf.int32] if padded else [tf.int32, tf.int64],
            stateful=False,
            name=NEEDS_PYTHON,
        )
        # `set_shape` adds no operation to the graph. Each would take time.
        shape = [texts.shape[0], self.sequence_length] if padded else [None]
        for array in arrays:
            array.set_shape(shape)
        rows = arrays[0]
        if not padded:
            rows = tf.RaggedTensor.from_row_splits(*arrays, validate=False)
        return rows if inputs.shape.rank else rows[0]

    def _encode_joined(self, text, lengths):
        """Encode documents that are given joined, with their lengths."""
        offsets = np.zeros(lengths.size + 1, "int64")
        np.cumsum(lengths, out=offsets[1:])
        text = as_byte_array(text)
        ids, offsets = self.scheme.encode_joined(text, offsets)
        return ids.astype("int32", copy=False), offsets

    def _encode_rows(self, text, lengths):
        """Encode documents as rows of one length."""
        return self._pad(*self._encode_joined(text, lengths))

    def _pad(self, ids, offsets):
        length = self.sequence_length
        return pad_rows(ids, offsets, length, self.whole_length())

    def whole_length(self):
        """Return how many ids of whole windows fit `sequence_length`."""
        per_window = self.layout.tokens_per_window
        return self.sequence_length - self.sequence_length % per_window

    # === Decoding ===

    def detokenize(self, inputs, skip_special=False, errors=None):
        """Decode ids.

        Args:
            inputs: Ids of one text (a list or array `(T,)`) or several (lists,
                an array `(B, T)`, a ragged tensor).
            skip_special: bool. Whether to drop pad, start and end ids.
                Otherwise they are an error.
            errors: `None` to return bytes. To return `str`, how `bytes.decode`
                treats invalid UTF-8, such as `"replace"`. Not in tf.data, where
                strings are bytes.

        Returns:
            `bytes` or `str`, or a list of them. In tf.data: string tensors.

        Raises:
            ValueError: If an id stands for no bytes.
        """
        if self._use_tf_workflow():
            if errors is not None:
                raise ValueError(
                    "Strings of tf.data are bytes: `errors` must be `None`. "
                    f"Received: errors={errors!r}. Decode outside."
                )
            return self._detokenize_tensor(inputs, skip_special)
        rows, batched = to_id_rows(inputs)
        texts = self.scheme.decode_batch(rows, skip_special)
        if errors is not None:
            texts = [text.decode(errors=errors) for text in texts]
        return texts if batched else texts[0]

    def _detokenize_tensor(self, inputs, skip_special):
        """Decode a tensor of ids of tf.data of rank 1 or 2, or a ragged one."""
        import tensorflow as tf

        def decode_row(row):
            text = tf.numpy_function(
                lambda ids: self.scheme.decode(ids, skip_special),
                [row],
                tf.string,
                stateful=False,
                name=NEEDS_PYTHON,
            )
            return tf.ensure_shape(text, [])

        if inputs.shape.rank == 1:
            return decode_row(inputs)
        text = tf.TensorSpec([], tf.string)
        return tf.map_fn(decode_row, inputs, fn_output_signature=text)

    # === Saving ===

    def save_to_preset(self, preset_dir):
        """Save the tokenizer, alone or beside a model.

        To load it, use `from_preset` of this class, of `SchemeTokenizer` or of
        `keras_hub.tokenizers.Tokenizer`. `keras_hub.upload_preset` requires a
        model's weights, so upload a tokenizer alone yourself.

        Args:
            preset_dir: str. The directory, which may hold a model's preset.
        """
        preset_dir = os.fspath(make_folder(preset_dir))
        super().save_to_preset(preset_dir)
        presets.mark(preset_dir)

    @classmethod
    def from_preset(cls, preset, config_file="tokenizer.json", **kwargs):
        """Load the tokenizer of a preset, with or without a model.

        Args:
            preset: str. A directory, or a handle such as `hf://user/model`.
            config_file: str. The file that describes the tokenizer.
            **kwargs: Constructor arguments to override, such as
                `sequence_length`.

        Returns:
            A tokenizer of this class.

        Raises:
            ValueError: If the preset does not hold a complete tokenizer.
            TypeError: If the preset's scheme is not one of this class.
        """
        return presets.load(cls, os.fspath(preset), config_file, kwargs)

    def get_config(self):
        """Return constructor arguments; assets hold codebooks and models."""
        config = super().get_config()
        config.update(
            scheme=self.scheme.get_config(),
            sequence_length=self.sequence_length,
        )
        return config

    def save_assets(self, dir_path):
        """Write the scheme's files to a directory."""
        self.scheme.save_assets(dir_path)

    def load_assets(self, dir_path):
        """Read the scheme's files from a directory."""
        self.scheme.load_assets(dir_path)
