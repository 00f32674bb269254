"""Bits per byte of texts."""

import itertools
import math

import keras
import numpy as np

from keras_nc.coding import END_ID
from keras_nc.coding import PAD_ID
from keras_nc.coding import START_ID
from keras_nc.coding.inputs import as_documents


class ScoresText:
    """Mixin of `DecoderCausalLM`: what texts cost under the model."""

    def bits_per_byte(self, texts, sequence_length=None, batch_size=8):
        """Bits of all tokens of some texts / their bytes.

        Each text is scored whole, by itself: its tokens and the end id, which
        stands for no bytes, are cut into sequences. Every sequence begins
        with the start id and sees nothing of the one before, as in training.
        Nats are summed in float64. For a corpus, write token shards and use
        `keras_nc.evaluation.bits_per_byte`.

        Args:
            texts: `str` or `bytes`, or a list of them.
            sequence_length: int, T, tokens per sequence; the preprocessor's
                if `None`.
            batch_size: int, B, sequences per batch.

        Returns:
            float, bits per byte.

        Raises:
            ValueError: If there are no bytes, or there is no tokenizer.
        """
        if self.preprocessor is None:
            raise ValueError(
                "Texts need a tokenizer. Received: a model with "
                "preprocessor=None. Create it with a preprocessor."
            )
        length = sequence_length
        if length is None:
            length = self.preprocessor.sequence_length
        if length < 1 or batch_size < 1:
            raise ValueError(
                "`sequence_length` and `batch_size` must be positive. Received:"
                f" sequence_length={length}, batch_size={batch_size}"
            )
        documents = as_documents(texts)
        num_bytes = sum(map(len, documents))
        if not num_bytes:
            raise ValueError(
                "Bits per byte need at least one byte. Received: "
                f"{len(documents)} texts of 0 bytes. Pass some text."
            )
        ids, offsets = self.preprocessor.tokenizer.encode_batch(documents)
        targets = sequences(ids, offsets, length)
        nats = 0.0
        for start in range(0, len(targets), batch_size):
            nats += self._sum_of_nats(
                targets[start : start + batch_size], batch_size
            )
        return nats / math.log(2) / num_bytes

    def _sum_of_nats(self, targets, batch_size):
        """Nats of the targets of a batch, pads left out, a float."""
        rows = len(targets)
        # Every batch has the same shape, so that nothing compiles twice.
        targets = np.pad(targets, [(0, batch_size - rows), (0, 0)])
        token_ids = np.full_like(targets, START_ID)
        token_ids[:, 1:] = targets[:, :-1]
        nats = keras.Model.predict_on_batch(
            self,
            {
                "token_ids": token_ids,
                "padding_mask": (token_ids != PAD_ID).astype("int32"),
                "target_ids": targets,
            },
        )
        return float(nats.astype("float64")[targets != PAD_ID].sum())


def sequences(ids, offsets, length):
    """Cut documents, each with an end id, into padded rows `(rows, length)`.

    Args:
        ids: An integer array, the ids of all documents.
        offsets: An integer array of one more than there are documents.
        length: int. Tokens per row.
    """
    rows = []
    for start, stop in itertools.pairwise(offsets):
        tokens = np.append(ids[start:stop], END_ID).astype("int32")
        count = -(-len(tokens) // length)
        padded = np.full(count * length, PAD_ID, "int32")
        padded[: len(tokens)] = tokens
        rows.append(padded.reshape(count, length))
    return np.concatenate(rows)
