"""Use the ids of any scheme like the codes of a codebook."""

import math

import numpy as np

MAX_VOCABULARY = 1 << 16  # ids are written in two bytes


class SchemeCodes:
    """The interface of a `Codebook` that commands need, for any scheme.

    Args:
        scheme: a `keras_nc.tokenizers.Scheme` whose ids all stand for bytes
            of their own.

    Raises:
        ValueError: if an id has no bytes of its own, or there are too many.
    """

    def __init__(self, scheme):
        lengths = scheme.token_lengths
        if lengths is None or len(lengths) > MAX_VOCABULARY:
            own = "each stand for bytes" if lengths is not None else "do not"
            raise ValueError(
                "Ids must each stand for bytes, and be at most "
                f"{MAX_VOCABULARY:,}. Received: the scheme {scheme.name!r} "
                f"with {scheme.vocabulary_size:,} ids that {own}. Pass a "
                "codebook, or another preset."
            )
        self._scheme = scheme
        self.fingerprint = scheme.fingerprint
        self.vocabulary_size = scheme.vocabulary_size
        #: Bits of a token if all ids were equally probable, a float.
        self.window_bits = math.log2(scheme.vocabulary_size)

    def encode(self, data):
        """Return the ids of bytes, uint16 of shape (T,)."""
        ids, _ = self._scheme.encode_batch([data])
        return ids.astype(np.uint16)

    def decode(self, ids):
        """Return the bytes of ids."""
        return self._scheme.decode(ids.astype(np.int32))

    def token_bytes(self, token_id):
        """Return the bytes of one id."""
        return self._scheme.token_bytes(token_id)

    def encode_part(self, data):
        """Encode a whole part; tokens do not cross the end of the part."""
        return self.encode(data), len(data)
