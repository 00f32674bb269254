"""The fields of a codebook, and the file that holds them.

A codebook file is an archive (see `archive`). Format version 2 has these fields
and no others:

    format_version    int64, shape (): 2
    window_bits       int64, shape (): W, 9 to 16
    max_window_bytes  int64, shape (): 1 to 255
    allocation        str, shape (): "arithmetic", "tunstall" or "frequency"
    parse             str, shape (): "greedy", "aligned", "flexible",
                      "likely", "likely_aligned" or "likely_words"
    lengths           uint8, shape (2^W,): bytes of the window of each id,
                      0 for an id that stands for no window
    bytes             uint8, shape (sum(lengths),): all windows in the order
                      of their ids
    costs             uint16, shape (2^W,) for the parses that begin with
                      "likely": the cost of each id's window, -log2 p and
                      perhaps a price that all windows have, in units of 2^-10
                      bits, at least 1, and 0 for an id without a window;
                      shape (0,) for the other parses
    fingerprint       str, shape (): SHA-256 in hexadecimal

The fingerprint is taken over the ASCII line

    keras_nc codebook <format_version> <window_bits> <max_window_bytes>
    <allocation> <parse>

(one line, single spaces, ended by a newline), then the bytes of `lengths`,
then `bytes`, then the costs in little-endian order. Decoding uses these fields
only. A codebook is never rebuilt from its entropy model.

In every codebook, ids 0 to 2 have no window. Windows are in lexicographic
order, so they are unique. All 256 single bytes are windows. No window is longer
than `max_window_bytes`. Without pruning, every prefix of a window is a window.
"""

import itertools

import numpy as np

from keras_nc.coding.archive import ArchiveFormat
from keras_nc.coding.codes import NUM_SPECIAL
from keras_nc.coding.codes import refuse_id
from keras_nc.coding.inputs import as_choice
from keras_nc.coding.inputs import as_id
from keras_nc.coding.inputs import as_integer
from keras_nc.coding.parses import PARSES
from keras_nc.coding.trie import split_windows
from keras_nc.coding.trie import window_starts
from keras_nc.coding.window_choice import ALLOCATIONS

FORMAT_VERSION = 2
MIN_WINDOW_BITS = 9
MAX_WINDOW_BITS = 16


def fields_of(windows, window_bits, max_window_bytes, allocation, parse, costs):
    """Return the fields of a codebook; see `Codebook` for the arguments."""
    V = 1 << window_bits
    lengths = np.zeros(V, np.uint8)
    for i, window in windows.items():
        if not isinstance(window, bytes):
            raise TypeError(
                "Windows must be bytes. Received: "
                f"{type(window).__name__} for id {i!r}."
            )
        i = as_integer("id", i, 0, V - 1)
        if not 1 <= len(window) <= 255:
            raise ValueError(
                "Windows must have 1 to 255 bytes. Received: id "
                f"{i} with {len(window)} bytes. Build the windows with "
                "`Codebook.build`."
            )
        lengths[i] = len(window)
    content = b"".join(windows[i] for i in sorted(windows))
    return {
        "window_bits": window_bits,
        "max_window_bytes": max_window_bytes,
        "allocation": as_choice("allocation", allocation, ALLOCATIONS),
        "parse": as_choice("parse", parse, PARSES),
        "lengths": lengths,
        "bytes": np.frombuffer(content, np.uint8),
        # Copy: the codebook's arrays are read-only, the caller's may change.
        "costs": np.zeros(0, np.uint16) if costs is None else np.array(costs),
    }


def check_fields(fields):
    """Raise a ValueError if the fields are not a codebook."""
    fault = _find_fault(fields)
    if fault is not None:
        raise ValueError(
            "A codebook is a set of windows in lexicographic order that holds "
            f"every single byte. Received: {fault}. Build it with "
            "`Codebook.build`."
        )


def _find_fault(fields):
    W = fields["window_bits"]
    longest = fields["max_window_bytes"]
    lengths, content, costs = (fields[name] for name in FORMAT.arrays)
    if not MIN_WINDOW_BITS <= W <= MAX_WINDOW_BITS:
        return f"window_bits={W}"
    if not 1 <= longest <= 255:
        return f"max_window_bytes={longest}"
    if fields["allocation"] not in ALLOCATIONS:
        return f"allocation={fields['allocation']!r}"
    parse = PARSES.get(fields["parse"])
    if parse is None:
        return f"parse={fields['parse']!r}"
    dtypes = {"lengths": np.uint8, "bytes": np.uint8, "costs": np.uint16}
    for name, dtype in dtypes.items():
        array = fields[name]
        if array.dtype != dtype or array.ndim != 1:
            return f"{name} with dtype={array.dtype}, shape={array.shape}"
    if lengths.size != 1 << W:
        return f"{lengths.size} lengths for window_bits={W}"
    if content.size != lengths.sum(dtype=np.int64):
        return f"{content.size} bytes for {lengths.sum(dtype=np.int64)}"
    if lengths[:NUM_SPECIAL].any():
        return "special ids that stand for windows"
    if lengths.max() > longest:
        return f"a window of {lengths.max()} bytes, more than {longest}"
    windows = split_windows(lengths, content)
    known = set(windows)
    if any(a >= b for a, b in itertools.pairwise(windows)):
        return "windows out of order"
    if any(bytes([b]) not in known for b in range(256)):
        return "not all 256 single bytes"
    if costs.size != (lengths.size if parse.weighs_windows else 0):
        return f"{costs.size} costs for parse={fields['parse']!r}"
    if costs.size and ((costs > 0) != (lengths > 0)).any():
        return "costs that are not those of the windows"
    return None


#: How codebooks are written, read and fingerprinted.
FORMAT = ArchiveFormat(
    kind="codebook",
    title="codebook",
    version=FORMAT_VERSION,
    scalars={
        "window_bits": int,
        "max_window_bytes": int,
        "allocation": str,
        "parse": str,
    },
    arrays={"lengths": "|u1", "bytes": "|u1", "costs": "<u2"},
    values=lambda fields: [fields[name] for name in FORMAT.scalars],
    find_fault=_find_fault,
    remedy="Save it again with `Codebook.save`, or fetch it again.",
)


class WindowTable:
    """The content of a codebook: a window for each id, and its settings.

    `Codebook` adds how text is cut into windows.
    """

    def _set_fields(self, fields):
        for name in FORMAT.arrays:
            fields[name].setflags(write=False)
        self._fields = fields
        self._fingerprint = FORMAT.fingerprint(fields)
        self._token_lengths = fields["lengths"].astype(np.int32)
        self._token_lengths.setflags(write=False)
        self._starts = window_starts(fields["lengths"])

    @classmethod
    def _from_fields(cls, fields):
        table = cls.__new__(cls)
        table._set_fields(fields)
        return table

    def __reduce__(self):
        # Pickle the content only. Tables are rebuilt at first use.
        return type(self)._from_fields, (dict(self._fields),)

    def save(self, path):
        """Write the codebook to a file, `.npz`, whole or not at all."""
        FORMAT.write(path, self._fields)

    @classmethod
    def load(cls, path):
        """Read a codebook from a file that `save` wrote, and check all of it.

        Raises:
            ValueError: if the file is damaged, foreign, or of another format
                version.
        """
        return cls._from_fields(FORMAT.read(path))

    @property
    def window_bits(self):
        """W, bits per code."""
        return self._fields["window_bits"]

    @property
    def max_window_bytes(self):
        """Bytes that a window has at most."""
        return self._fields["max_window_bytes"]

    @property
    def allocation(self):
        """How codes were given to windows; see `Codebook`."""
        return self._fields["allocation"]

    @property
    def parse(self):
        """How text is cut into windows; see `Codebook.build`."""
        return self._fields["parse"]

    @property
    def fingerprint(self):
        """SHA-256 of the content, in hexadecimal."""
        return self._fingerprint

    @property
    def token_lengths(self):
        """Bytes of each id's window, int32 of shape (2^W,), 0 for none."""
        return self._token_lengths

    @property
    def costs(self):
        """`-log2 p` of each id's window in units of 2^-10 bits.

        uint16 of shape (2^W,), 0 for ids without a window; `None` if the parse
        does not weigh windows.
        """
        costs = self._fields["costs"]
        return costs if costs.size else None

    def token_bytes(self, token_id):
        """Return the window of one id, bytes.

        Raises:
            ValueError: if the id stands for no window.
        """
        i = as_id(token_id)
        if not 0 <= i < 1 << self.window_bits or not self._token_lengths[i]:
            refuse_id(i, self.window_bits)
        start = self._starts[i]
        end = start + self._token_lengths[i]
        return self._fields["bytes"][start:end].tobytes()

    def __eq__(self, other):
        if not isinstance(other, WindowTable):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self):
        return hash(self.fingerprint)

    def __repr__(self):
        return (
            f"{type(self).__name__}(window_bits={self.window_bits}, "
            f"allocation={self.allocation!r}, parse={self.parse!r}, "
            f"max_window_bytes={self.max_window_bytes}, "
            f"windows={np.count_nonzero(self._token_lengths)}, "
            f"fingerprint={self.fingerprint[:12]!r})"
        )
