"""A stepper that remembers distributions, for contexts that restart often."""

import numpy as np

from keras_nc.entropy_models.stepping import check_room


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
