"""Token embeddings, tied to the output logits."""

import contextlib
import contextvars

import keras
import numpy as np
from keras import ops

from keras_nc.coding.inputs import as_integer
from keras_nc.layers.byte_ngrams import NGRAM_ROWS
from keras_nc.layers.byte_ngrams import RowSums
from keras_nc.layers.byte_ngrams import ngram_rows
from keras_nc.layers.byte_ngrams import pack_vocabulary
from keras_nc.layers.byte_ngrams import to_vocabulary
from keras_nc.layers.initializers import initializer

#: Embedding tables have a multiple of this many rows, so that they shard.
ROW_MULTIPLE = 128
#: Logit of a row that is not an id. It is finite, so that no gradient is NaN.
MASKED_LOGIT = -1e30
#: Tables that were computed for the step in progress, by the id of their layer.
#: Not an attribute: a TensorFlow strategy runs a step in several threads.
_TABLES = contextvars.ContextVar("tables", default={})  # noqa: B039


@keras.saving.register_keras_serializable(package="keras_nc")
class TokenEmbedding(keras.layers.ReversibleEmbedding):
    """Embeddings that also give the logits of the next token.

    The table is padded to a multiple of 128 rows, and the logits of padding
    rows are masked. Rows have variance `1 / D`. Inputs are scaled to unit
    variance, and logits of a normalised vector have unit variance too.

    With a vocabulary, rows are made from bytes. The vector of an id is a free
    vector, plus the sum of the vectors of the n-grams of its bytes, divided by
    the square root of their number. N-grams are 2 to 4 bytes long, with
    beginning and end marked, and hashed to 8,192 vectors, which begin at zero.
    So ids that are rare in training learn from others.

    Args:
        vocabulary_size: int. Number of ids, `V`.
        hidden_dim: int. Model width, `D`.
        vocabulary: `None`; or the bytes of all ids: a tokenizer, or a list of
            at most `V` bytes, empty for ids that stand for none.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Ids of shape `(B, T)`, or, with `reverse=True`, hidden states
            of shape `(B, T, D)`.
        reverse: bool. Whether to compute logits.

    Returns:
        Embeddings of shape `(B, T, D)`, NaN for invalid ids; or float32 logits
        of shape `(B, T, rows)`, where `rows` is `V` rounded up to a multiple of
        128.

    Raises:
        ValueError: If ids of the vocabulary have no bytes of their own, or it
            has more than `V`.

    Example:
    >>> import numpy as np
    >>> embedding = TokenEmbedding(vocabulary_size=259, hidden_dim=8)
    >>> hidden = embedding(np.array([[1, 70, 2]]))
    >>> tuple(embedding(hidden, reverse=True).shape)
    (1, 3, 384)
    """

    def __init__(self, vocabulary_size, hidden_dim, vocabulary=None, **kwargs):
        vocabulary_size = as_integer("vocabulary_size", vocabulary_size)
        hidden_dim = as_integer("hidden_dim", hidden_dim)
        rows = -(-vocabulary_size // ROW_MULTIPLE) * ROW_MULTIPLE
        super().__init__(
            rows,
            hidden_dim,
            embeddings_initializer=initializer(
                keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
            ),
            # Rows are cast after they are looked up, so that the gradients of
            # one id are added in float32.
            autocast=False,
            **kwargs,
        )
        self.vocabulary_size = vocabulary_size
        #: The vocabulary as text, for configurations; `None` without one.
        self.packed_vocabulary = None
        if vocabulary is not None:
            self._prepare(to_vocabulary(vocabulary))

    def _prepare(self, tokens):
        """Prepare the sums of n-grams for a vocabulary."""
        if len(tokens) > self.vocabulary_size:
            raise ValueError(
                "`vocabulary` must have at most `vocabulary_size` ids. "
                f"Received: {len(tokens)} ids for vocabulary_size="
                f"{self.vocabulary_size}. Pass the vocabulary of the model's "
                "own tokenizer."
            )
        if self.quantization_mode is not None:
            raise ValueError(
                "Embeddings made from bytes are not quantized. Received: "
                f"dtype={self.dtype_policy.name!r}. Train in floats, then call "
                "`fold_embedding()`, which returns a model with a plain table."
            )
        self.packed_vocabulary = pack_vocabulary(tokens)
        padding = [b""] * (self.input_dim - len(tokens))
        indices, offsets = ngram_rows([*tokens, *padding])
        self._sums = RowSums(indices, offsets, NGRAM_ROWS)
        counts = np.maximum(np.diff(offsets), 1)
        self._scales = (counts**-0.5).astype("float32")[:, None]

    @property
    def is_made_from_bytes(self):
        """Whether rows are sums of free vectors and n-grams' vectors."""
        return self.packed_vocabulary is not None

    def build(self, input_shape=None):
        """Create the table, and the vectors of n-grams if there are any."""
        if self.built:
            return
        if self.is_made_from_bytes:
            self.ngrams = self.add_weight(
                shape=(NGRAM_ROWS, self.output_dim),
                initializer="zeros",
                name="ngrams",
            )
        super().build(input_shape)

    def add_weight(self, *args, **kwargs):
        """Create a weight, and do not cast it if the table is made from bytes.

        Then weights are added in float32, and only the sum is rounded.
        """
        if self.is_made_from_bytes:
            kwargs["autocast"] = False
        return super().add_weight(*args, **kwargs)

    def call(self, inputs, reverse=False):
        """Embed ids, or return the logits of hidden states."""
        if reverse and self.quantization_mode is None:
            return self.logits_of(inputs, self.table)
        if reverse:
            return self.masked(super().call(inputs, reverse=True))
        # Backends differ in what they return for ids outside of the table.
        known = (inputs >= 0) & (inputs < self.vocabulary_size)
        ids = ops.where(known, inputs, 0)
        if self.is_made_from_bytes:
            outputs = ops.take(self.table, ops.cast(ids, "int32"), axis=0)
        else:
            outputs = super().call(ids)
        outputs = outputs * self.output_dim**0.5
        return ops.where(known[..., None], outputs, float("nan"))

    def masked(self, logits):
        """Return logits in float32, those of rows that are no ids masked."""
        # Sums of exponentials need float32, even if the policy computes in
        # less.
        logits = ops.cast(logits, "float32")
        is_id = ops.arange(self.input_dim) < self.vocabulary_size
        return ops.where(is_id, logits, MASKED_LOGIT)

    @property
    def table(self):
        """The table `(rows, D)` in the compute dtype."""
        if id(self) in _TABLES.get():
            return _TABLES.get()[id(self)]
        return ops.cast(self.folded_table(), self.compute_dtype)

    def folded_table(self):
        """Return the table `(rows, D)`, n-grams and LoRA added."""
        if not self.is_made_from_bytes:
            return ops.convert_to_tensor(self.embeddings)
        sums = self._sums(ops.convert_to_tensor(self.ngrams))
        free = ops.cast(self.embeddings, "float32")
        return free + sums * ops.convert_to_tensor(self._scales)

    @contextlib.contextmanager
    def shared_table(self):
        """Compute a table made from bytes once for all calls inside.

        A step needs the table for the inputs and for the logits.
        """
        tables = _TABLES.get()
        if not self.is_made_from_bytes or id(self) in tables:
            yield
            return
        reset = _TABLES.set({**tables, id(self): self.table})
        try:
            yield
        finally:
            _TABLES.reset(reset)

    def logits_of(self, hidden, table):
        """Return logits as with `reverse=True`, for a given table.

        Args:
            hidden: A tensor of shape `(B, T, D)`.
            table: The value of the property `table`.

        Returns:
            Float32 logits of shape `(B, T, rows)`.
        """
        hidden = ops.cast(hidden, table.dtype)
        return self.masked(ops.matmul(hidden, ops.transpose(table)))

    def compute_output_spec(self, inputs, reverse=False):
        """Return shape and dtype of the embeddings or logits."""
        spec = super().compute_output_spec(inputs, reverse=reverse)
        return keras.KerasTensor(spec.shape, "float32") if reverse else spec

    def enable_lora(self, rank, **kwargs):
        """Add LoRA weights, and freeze the vectors of ids and n-grams."""
        super().enable_lora(rank, **kwargs)
        if self.is_made_from_bytes:
            self.ngrams.trainable = False

    def quantize(self, mode=None, **kwargs):
        """Quantize the table; see `keras.layers.Embedding.quantize`."""
        if self.is_made_from_bytes:
            raise ValueError(
                "Embeddings made from bytes are not quantized. Received: "
                f"mode={mode!r}. Call `fold_embedding()` first, which returns "
                "a model with a plain table."
            )
        super().quantize(mode, **kwargs)

    @property
    def variable_serialization_spec(self):
        """Names of the weights to save, by quantization mode."""
        spec = super().variable_serialization_spec
        if self.is_made_from_bytes:
            spec[None] = [*spec[None], "ngrams"]
        return spec

    def get_config(self):
        """Return the constructor arguments."""
        config = super().get_config()
        for name in (
            "input_dim",
            "output_dim",
            "embeddings_initializer",
            "embeddings_regularizer",
            "embeddings_constraint",
            "activity_regularizer",
            "mask_zero",
            "tie_weights",
            "reverse_dtype",
            "logit_soft_cap",
        ):
            config.pop(name, None)
        config.update(
            vocabulary_size=self.vocabulary_size,
            hidden_dim=self.output_dim,
            vocabulary=self.packed_vocabulary,
        )
        return config
