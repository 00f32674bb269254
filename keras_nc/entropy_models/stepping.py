"""Probabilities of the next byte, step by step, for a batch of contexts.

A coder with the model in the loop asks for one distribution per row, feeds the
byte that it wrote or read, and asks again. An encoder and a decoder agree only
if they see the same bits. A stepper guarantees this: a row's probabilities
depend only on the bytes since that row's restart. They do not depend on other
rows, the row's index, `batch_size`, `context_bytes`, or how many bytes were
appended at a time. So a document that was encoded in a row of a batch can be
decoded alone, by the same software on the same hardware.

M1's stepper achieves this with its own arithmetic; see `ByteLMStepper`. A
`PrefixStepper` passes on the rows of its model, so it has the guarantee only if
its model has it, as count models do.
"""

import numpy as np

from keras_nc.coding.inputs import as_integer
from keras_nc.coding.shares import check_rows


class PrefixStepper:
    """The stepper of any entropy model; it keeps the bytes of each row.

    Letters: `B` batch. All rows start empty.

    A stepper may also have methods `encode_streams` and `decode_streams`,
    which code whole documents faster; see `keras_nc.coding.StreamCoder`. If it
    has `encode_only = True`, coders do not decode with it.

    Args:
        model: An `EntropyModel`. It is asked for the rows that changed.
        batch_size: int, `B`.
        context_bytes: int. Most bytes of a row between restarts.

    Raises:
        TypeError: If `model` has no `probabilities`, or a size is not an
            integer.
        ValueError: If a size is not positive.

    Example:
    >>> import numpy as np
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"abracadabra")
    >>> stepper = PrefixStepper(model, batch_size=2, context_bytes=8)
    >>> stepper.step(np.array([97, 0], "uint8"), np.array([True, False]))
    >>> stepper.probabilities().shape
    (2, 256)
    """

    def __init__(self, model, batch_size, context_bytes):
        check_model(model)
        self.model = model
        self.batch_size = as_integer("batch_size", batch_size, 1)
        self.context_bytes = as_integer("context_bytes", context_bytes, 1)
        B = self.batch_size
        self._prefixes = [bytearray() for _ in range(B)]
        self._rows = np.zeros((B, 256))
        self._changed = np.ones(B, bool)

    def restart(self, rows):
        """Begin a new context.

        Args:
            rows: bool array of shape `(B,)`: which rows.
        """
        for row in np.flatnonzero(rows):
            self._prefixes[row].clear()
        self._changed |= rows

    def append(self, data, counts):
        """Feed any number of bytes to each row.

        Args:
            data: uint8 array of shape `(B, n)`.
            counts: int array of shape `(B,)`: row b is fed
                `data[b, :counts[b]]`.

        Raises:
            ValueError: If a row would get more than `context_bytes` bytes.
        """
        fed = np.array([len(prefix) for prefix in self._prefixes])
        check_room(fed + counts, self.context_bytes)
        for row in np.flatnonzero(counts):
            self._prefixes[row] += data[row, : counts[row]].tobytes()
        self._changed |= np.asarray(counts) > 0

    def step(self, next_bytes, active):
        """Feed one byte to each active row.

        Args:
            next_bytes: uint8 array of shape `(B,)`.
            active: bool array of shape `(B,)`: which rows take their byte.

        Raises:
            ValueError: If a row already has `context_bytes` bytes.
        """
        self.append(np.asarray(next_bytes)[:, None], np.asarray(active, int))

    def probabilities(self):
        """Return the distribution of each row's next byte.

        Returns:
            A float64 array of shape `(B, 256)`; rows sum to 1. It is not
            written to later.

        Raises:
            ValueError: If the model does not give a row for each prefix.
        """
        rows = np.flatnonzero(self._changed)
        if rows.size:
            prefixes = [bytes(self._prefixes[row]) for row in rows]
            self._rows = self._rows.copy()
            self._rows[rows] = self._ask(rows, prefixes)
            self._changed[:] = False
        return self._rows

    def _ask(self, rows, prefixes):
        """Return the distributions after the prefixes of these rows."""
        answer = self.model.probabilities(prefixes)
        return check_rows(answer, len(prefixes), self.model)


class RememberingStepper:
    """Ask another stepper only about contexts that are not remembered.

    If contexts restart at every window, a text has few different ones. A row's
    probabilities depend only on its bytes since its restart, so remembered
    probabilities are the same, bit for bit; see `stepping`.

    Args:
        stepper: The other stepper.
        most_bytes: int. Longer contexts are not remembered, because they
            seldom repeat.
        most_contexts: int. How many contexts are remembered at most; each takes
            2 KB.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel, stepper_for
    >>> model = UnigramModel.from_text(b"abracadabra")
    >>> inner = stepper_for(model, batch_size=1, context_bytes=4)
    >>> stepper = RememberingStepper(inner)
    >>> bytes([stepper.probabilities()[0].argmax()])
    b'a'
    """

    def __init__(self, stepper, most_bytes=24, most_contexts=2**17):
        self.batch_size = stepper.batch_size
        self.context_bytes = stepper.context_bytes
        self.encode_only = getattr(stepper, "encode_only", False)
        self._stepper = stepper
        self._most_bytes = most_bytes
        self._most_contexts = most_contexts
        self._known = {}
        B = self.batch_size
        self._contexts = [bytearray() for _ in range(B)]
        # How many bytes of each context the other stepper has.
        self._fed = np.zeros(B, int)
        # Rows that the other stepper must restart first.
        self._behind = np.ones(B, bool)
        self._rows = np.zeros((B, 256))
        self._changed = np.ones(B, bool)

    def restart(self, rows):
        """Begin a new context; see `PrefixStepper.restart`."""
        for row in np.flatnonzero(rows):
            self._contexts[row].clear()
        self._behind |= rows
        self._changed |= rows

    def append(self, data, counts):
        """Feed any number of bytes to each row; see `PrefixStepper.append`."""
        counts = np.asarray(counts)
        sizes = np.array([len(context) for context in self._contexts])
        check_room(sizes + counts, self.context_bytes)
        for row in np.flatnonzero(counts):
            self._contexts[row] += data[row, : counts[row]].tobytes()
        self._changed |= counts > 0

    def step(self, next_bytes, active):
        """Feed one byte to each active row; see `PrefixStepper.step`."""
        self.append(np.asarray(next_bytes)[:, None], np.asarray(active, int))

    def probabilities(self):
        """Return the distribution of each row's next byte.

        See `PrefixStepper.probabilities`.
        """
        if not self._changed.any():
            return self._rows
        self._rows = self._rows.copy()
        unknown = {}
        for row in np.flatnonzero(self._changed):
            context = bytes(self._contexts[row])
            known = self._known.get(context)
            if known is None:
                unknown[row] = context
            else:
                self._rows[row] = known
        if unknown:
            self._ask(unknown)
        self._changed[:] = False
        return self._rows

    def _ask(self, unknown):
        """Ask the other stepper for the contexts of some rows."""
        rows = np.fromiter(unknown, int)
        behind = np.zeros(self.batch_size, bool)
        behind[rows] = self._behind[rows]
        self._stepper.restart(behind)
        self._fed[behind] = 0
        self._behind[rows] = False
        counts = np.zeros(self.batch_size, int)
        counts[rows] = [len(context) for context in unknown.values()]
        counts[rows] -= self._fed[rows]
        data = np.zeros((self.batch_size, counts.max()), np.uint8)
        for row, context in unknown.items():
            new = context[self._fed[row] :]
            data[row, : len(new)] = np.frombuffer(new, np.uint8)
        self._stepper.append(data, counts)
        self._fed += counts
        answer = self._stepper.probabilities()
        for row, context in unknown.items():
            self._rows[row] = answer[row]
            room = len(self._known) < self._most_contexts
            if room and len(context) <= self._most_bytes:
                self._known[context] = self._rows[row].copy()


def stepper_for(model, batch_size, context_bytes):
    """Return the stepper of a model.

    If the model has a method `stepper(batch_size, context_bytes)`, as M1 does,
    call it. Otherwise, return a `PrefixStepper`.

    Args:
        model: An `EntropyModel`.
        batch_size: int, `B`. Contexts side by side.
        context_bytes: int. Most bytes of a row between restarts.

    Returns:
        An object with the methods of `PrefixStepper`.

    Raises:
        TypeError: If `model` is not an entropy model, or a size is not an
            integer.
        ValueError: If a size is not positive.

    Example:
    >>> from keras_nc.entropy_models import UnigramModel
    >>> model = UnigramModel.from_text(b"abracadabra")
    >>> stepper = stepper_for(model, batch_size=1, context_bytes=4)
    >>> bytes([stepper.probabilities()[0].argmax()])
    b'a'
    """
    check_model(model)
    make = getattr(model, "stepper", None)
    if make is None:
        return PrefixStepper(model, batch_size, context_bytes)
    return make(batch_size, context_bytes)


def check_model(model):
    """Raise a TypeError unless a model has `probabilities`."""
    if isinstance(model, type) or not hasattr(model, "probabilities"):
        raise TypeError(
            "`model` must be an entropy model, with `probabilities(prefixes)`. "
            f"Received: {model!r}. See `keras_nc.entropy_models`."
        )


def check_room(fed, context_bytes):
    """Raise a ValueError if a row has more than `context_bytes` bytes."""
    if fed.max() > context_bytes:
        raise ValueError(
            f"A row takes at most {context_bytes} bytes between restarts. "
            f"Received: {fed.max()} bytes. Restart it, or make the stepper "
            "with more `context_bytes`."
        )
