"""Checks on the ids that a codebook decodes."""

import numpy as np

from keras_nc.coding.special import NUM_SPECIAL


def as_ids(ids, window_bits):
    """Give ids in range as a read-only array of uint16, shape (T,)."""
    ids = np.asarray(ids)
    if ids.size == 0:
        return np.zeros(0, np.uint16)
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise ValueError(
            "Ids must be integers along one axis. Received: "
            f"dtype={ids.dtype}, shape={ids.shape}. Cast them, and decode "
            "one sequence at a time."
        )
    V = 1 << window_bits
    # Every uint16 is an id of 16 bits: the usual case takes no look.
    sure = V == 1 << 16 and np.can_cast(ids.dtype, np.uint16)
    if not sure and (int(ids.min()) < 0 or int(ids.max()) >= V):
        at = int(np.argmax((ids < 0) | (ids > V - 1)))
        refuse_id(int(ids[at]), window_bits, at)
    ids = np.ascontiguousarray(ids.astype(np.uint16, copy=False)).view()
    ids.setflags(write=False)
    return ids


def refuse_id(i, window_bits, position=None):
    """Raise the ValueError for an id that stands for no window."""
    V = 1 << window_bits
    remedy = "Use the codebook that the text was encoded with"
    if not 0 <= i < V:
        rule = f"Ids must be from 0 to {V - 1}"
    elif i < NUM_SPECIAL:
        rule = "Special ids (0 to 2) stand for no bytes"
        remedy = "Remove it, or decode with `skip_special=True`"
    else:
        rule = "Ids must stand for a window, and this codebook uses not all"
    where = "" if position is None else f" at position {position}"
    raise ValueError(f"{rule}. Received: id {i}{where}. {remedy}.")
